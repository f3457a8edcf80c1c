internal import CGPUKernels
internal import CUDADriver
package import Operations
internal import PackedFiles
package import Tensors

/// y = x W^T + b, for a weight of any scheme on a device.
///
/// What the CPU computes with: int8 codes by the integer contract of Formats/schemes.md, to the bit; floats and int8 codes with float activations,
/// decoded where they are multiplied; with `Compute.bfloat16` and `.float16` all but the first rounded, for tensor cores. A scheme that no kernel knows is
/// decoded when the weight is loaded, one of int4 codes expanded to int8.
package struct DeviceLinear: Sendable {
    let outputs: Int
    let inputs: Int
    let weight: Weight
    let bias: DeviceRows?

    enum Weight: Sendable {
        /// Rows of int8, and what is done with inputs first.
        case integers(Engine.Block, scales: DeviceRows, InputTurn?, factors: DeviceRows?)
        /// Rows of 16-bit floats for inputs of the same type; the layer is what inputs beyond float16 leave.
        case narrow(Engine.Block, NarrowType, layer: UInt32)
        /// Dense rows of a type of `cg_floats`, with scales where that is int8.
        case floats(Engine.Block, cg_int, scales: DeviceRows?)
    }

    /// Whether rows that are made ready for the other's product serve this one's.
    func reads(as other: DeviceLinear) -> Bool {
        switch (weight, other.weight) {
        case (.integers(_, _, let own, _), .integers(_, _, let other, _)): InputTurn.agree(own, other)
        case (.narrow(_, let own, _), .narrow(_, let other, _)): own == other
        case (.floats, .floats): true
        default: false
        }
    }

    var multipliesIntegers: Bool { if case .integers = weight { true } else { false } }
}

/// A type of both operands of a product on tensor cores.
enum NarrowType {
    case bfloat16, float16

    /// As kernels know it.
    var code: cg_int { cg_int(self == .bfloat16 ? cg_bf16 : cg_f16) }
    /// The products.
    var family: String { self == .bfloat16 ? "gemm_bf16_" : "gemm_f16_" }
}

/// How a device holds the rows of a weight, by its form.
enum DeviceForm: Equatable {
    case integers, half, codes, float32
    case narrow(NarrowType)

    init(_ form: KernelForm, _ compute: Compute) {
        self =
            switch form {
            case .integers: .integers
            case _ where compute == .bfloat16: .narrow(.bfloat16)
            case _ where compute == .float16: .narrow(.float16)
            case .half: .half
            case .scaledRows: .codes
            case .float32: .float32
            }
    }

    private var elementBytes: Int {
        switch self {
        case .integers, .codes: 1
        case .narrow, .half: 2
        case .float32: 4
        }
    }

    /// Rows that tensor cores read begin so many bytes apart.
    static func pitch(_ bytes: Int) -> Int { (bytes + 63) / 64 * 64 }

    func rowBytes(_ inputs: Int) -> Int { inputs * elementBytes }
    func pitch(_ inputs: Int) -> Int {
        switch self {
        case .integers, .narrow: Self.pitch(rowBytes(inputs))
        case .half, .codes, .float32: rowBytes(inputs)
        }
    }
}

extension Engine {
    /// The linear of some of a weight's outputs, and of all its further axes as inputs.
    package func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> DeviceLinear {
        precondition(bias.map { $0.count == outputs.count } ?? true)
        let bias = try bias.map { bias throws(MachineError) in try rows(from: bias) }
        return DeviceLinear(outputs: outputs.count, inputs: stored.shape.columns, weight: try weight(stored, outputs, compute), bias: bias)
    }

    private func weight(_ stored: StoredWeight, _ outputs: Range<Int>, _ compute: Compute) throws(MachineError) -> DeviceLinear.Weight {
        let (form, inputs) = (DeviceForm(stored.form, compute), stored.shape.columns)
        func place(_ form: DeviceForm, _ make: (Range<Int>) throws(MachineError) -> EncodedTensor) throws(MachineError) -> Block {
            try matrix(outputs, of: form.rowBytes(inputs), pitch: form.pitch(inputs), make)
        }
        switch form {
        case .integers, .codes:
            guard let rows = try stored.integerRows() else { break }
            let codes = try place(form) { some throws(MachineError) in try rows.codes.rows(some) }
            let scales = try self.rows(from: Tensor(sharing: try rows.scales.rows(outputs)))
            guard form == .integers else { return .floats(codes, cg_int(cg_i8), scales: scales) }
            try check(inputs: inputs)
            let turn = try stored.inputTurn()
            return .integers(codes, scales: scales, turn, factors: try turn?.factors.map { factors throws(MachineError) in try self.rows(from: factors) })
        case .narrow(let type):
            let rows = try place(form) { some throws(MachineError) in
                let rows = try stored.rows(some)
                return try type == .float16 ? rows.roundedToFloat16() : rows.widened().narrowed(to: .bf16)
            }
            return .narrow(rows, type, layer: type == .float16 ? try beyond.number(of: stored.name) : 0)
        case .half:
            let type = stored.scheme.elementType == .bf16 ? cg_bf16 : cg_f16
            return .floats(try place(form) { some throws(MachineError) in try stored.planes[0].rows(some) }, cg_int(type), scales: nil)
        case .float32: break
        }
        let values = try place(.float32) { some throws(MachineError) in EncodedTensor(try stored.rows(some).widened()) }
        return .floats(values, cg_int(cg_f32), scales: nil)
    }

    /// The quantizer holds a row in shared memory.
    private func check(inputs: Int) throws(MachineError) {
        let needed = Int(cg_quantize_shared(UInt32(DeviceForm.integers.pitch(inputs))))
        guard needed <= device.sharedBytes else {
            throw .device(
                "\(device.name) cannot quantize rows of \(inputs) values: expected \(needed) bytes of shared memory, found \(device.sharedBytes); "
                    + "use another GPU, or compute on the CPU")
        }
    }

    /// Some rows of a matrix in place, made on the host a few at a time, each `pitch` bytes behind the one before with zeros between.
    /// - Parameter make: these rows, dense.
    func matrix(
        _ rows: Range<Int>, of rowBytes: Int, pitch: Int, _ make: (Range<Int>) throws(MachineError) -> EncodedTensor
    ) throws(MachineError) -> Block {
        let block = try takeForUpload(rows.count * pitch)
        let place = block.slice(rows.count * pitch)
        if pitch > rowBytes { try upload { stream throws(DeviceError) in try stream.fill(place, with: 0) } }
        let most = max(1, Self.hostBytes / rowBytes)
        for first in stride(from: rows.lowerBound, to: rows.upperBound, by: most) {
            let some = first..<min(first + most, rows.upperBound)
            let made = try make(some)
            let (start, end) = ((some.lowerBound - rows.lowerBound) * pitch, (some.upperBound - rows.lowerBound) * pitch)
            try upload { _ throws(DeviceError) in
                try unsafe uploads.upload(rows: some.count, of: rowBytes, to: place[start..<end], pitch: pitch) { own, bytes in
                    let from = unsafe made.bytes[own.lowerBound * rowBytes..<own.upperBound * rowBytes]
                    unsafe bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: from))
                }
            }
            withExtendedLifetime(made) {}
        }
        return block
    }

    /// Bytes of a weight that are made on the host at a time.
    private static let hostBytes = 4 << 20
}
