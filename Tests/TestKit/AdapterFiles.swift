import Safetensors
package import Tensors

/// A tensor of a file that a test writes.
package struct FileTensor {
    package var name: String
    package var shape: Shape
    package var values: [Float]
    package var dtype = DType.f32

    /// Values that tell places apart, unless others are given.
    package init(_ name: String, _ shape: Shape, _ values: [Float]? = nil, dtype: DType = .f32) {
        (self.name, self.shape, self.dtype) = (name, shape, dtype)
        self.values = values ?? (0..<shape.elementCount).map { Float(($0 * 37 + name.utf8.count) % 23) / 64 - 0.17 }
    }

    /// A LoRA of one module, by the names of PEFT.
    package static func pair(_ module: String, rank: Int, outputs: Int, inputs: Int) -> [FileTensor] {
        [FileTensor("\(module).lora_A.weight", [rank, inputs]), FileTensor("\(module).lora_B.weight", [outputs, rank])]
    }
}

extension TemporaryFolder {
    /// Writes a safetensors file.
    @discardableResult
    package func put(_ tensors: [FileTensor], _ name: String, metadata: [String: String] = [:]) throws -> String {
        let writer = try SafetensorsWriter(
            path: file(name), kind: .anything, replace: true, tensors: tensors.map { ($0.name, $0.dtype, $0.shape) },
            metadata: metadata.sorted { $0.key < $1.key }.map { (key: $0.key, value: $0.value) })
        for tensor in tensors {
            guard tensor.dtype != .i8 else {
                try writer.append([UInt8](repeating: 1, count: tensor.shape.elementCount))
                continue
            }
            try writer.append(Tensor(tensor.shape, tensor.values).narrowed(to: tensor.dtype))
        }
        try writer.finish()
        return file(name)
    }
}
