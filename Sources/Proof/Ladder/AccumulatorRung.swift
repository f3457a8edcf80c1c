import Inference
import PackedFiles
import Parity
import Tensors

/// P3: the integer products of this processor's kernels are the sums of 64-bit integers, for the shapes and weights of this file.
struct AccumulatorRung: LadderRung {
    private(set) var outcome = Outcome()
    /// Output channels of each weight that are multiplied.
    private static let mostOutputs = 512

    init(_ file: PackedFile) throws {
        var shapes: Set<[Int]> = []
        var (held, all) = (0, 0)
        for entry in file.directory.tensors where entry.planes[0].dtype == .i8 && entry.shape.rank == 2 {
            // Values count for nothing where shapes are equal: one weight of each shape.
            guard shapes.insert(entry.shape.extents).inserted, entry.shape.elementCount <= 1 << 26 else { continue }
            let values = try file.planes(of: entry)[0]
            let outputs = min(entry.shape.rows, Self.mostOutputs)
            let codes = unsafe Array(values.bytes.assumingMemoryBound(to: Int8.self)[..<(outputs * entry.shape.columns)])
            try check(entry.name, codes, outputs, entry.shape.columns, &held, &all)
        }
        // Sizes that fill no vector, and the largest sums there are.
        for (outputs, inputs) in [(1, 1), (17, 33), (16, 127), (33, 4096)] {
            var bits: UInt32 = 1
            let codes = (0..<outputs * inputs).map { index in
                bits = bits &* 1_664_525 &+ 1_013_904_223
                return index % 3 == 0 ? Int8(127) : Int8(truncatingIfNeeded: Int(bits >> 24) % 128)
            }
            try check("\(outputs) x \(inputs)", codes, outputs, inputs, &held, &all)
        }
        outcome.add(
            "P3", "integer accumulators are those of 64-bit integers", held: held, of: all, unit: "shapes",
            reason: "sums of integers are exact or wrong; each output also through the epilogue of the integer contract")
    }

    private mutating func check(_ name: String, _ codes: [Int8], _ outputs: Int, _ inputs: Int, _ held: inout Int, _ all: inout Int) throws {
        all += 1
        let tokens = 5
        let weight = try EncodedTensor(dtype: .i8, shape: [outputs, inputs])
        unsafe weight.buffer.mutableBytes.copyBytes(from: codes.map { UInt8(bitPattern: $0) })
        let scales = try Tensor([outputs], (0..<outputs).map { 0.5 + Float($0 % 7) })
        let linear = try Linear(.int8PerChannel(values: weight, scales: scales, activations: .int8PerToken))
        // Whole numbers of which one is 127: their scale is 1, and quantizing leaves them as they are.
        let activations = (0..<tokens * inputs).map { index in
            let (token, input) = (index / inputs, index % inputs)
            return input == 0 || token == 0 ? 127 : token == 1 ? -127 : (input * 37 + token * 101) % 255 - 127
        }
        let found = try linear(try Tensor([tokens, inputs], activations.map { Float($0) }))
        for token in 0..<tokens {
            for output in 0..<outputs {
                var sum: Int64 = 0
                for input in 0..<inputs { sum += Int64(activations[token * inputs + input]) * Int64(codes[output * inputs + input]) }
                let expected = scales.span[output] * Float(sum)
                guard found.span[token * outputs + output] == expected else {
                    outcome.findings.append(
                        Finding(
                            subject: name, what: "integer product, token \(token), channel \(output)", expected: "\(expected)",
                            found: "\(found.span[token * outputs + output])", hint: "the kernels of this processor are wrong; report it"))
                    return
                }
            }
        }
        held += 1
    }
}
