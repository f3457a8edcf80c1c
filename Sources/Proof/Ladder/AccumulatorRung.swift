import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// P3: the integer products of this processor's kernels, of linears and of convolutions, are the sums of 64-bit integers, for the shapes and
/// weights of this file.
struct AccumulatorRung: LadderRung {
    private(set) var outcome = Outcome()
    private let executor: CPU
    private var (linears, convolutions) = (Tally(), Tally())
    /// Output channels of each weight that are multiplied.
    private static let mostOutputs = 512
    private static let mostConvolutionOutputs = 48

    init(_ file: PackedFile, on executor: CPU) throws {
        self.executor = executor
        var shapes: Set<[Int]> = []
        let weights = try PackedWeights(file)
        for entry in file.directory.tensors where [2, 4].contains(entry.shape.rank) {
            let isConvolution = entry.shape.rank == 4
            // A linear of float activations has codes that are as good as any.
            guard isConvolution ? entry.activations == .int8PerToken : entry.activations == .int8PerToken || entry.scheme.integerTurn != nil else { continue }
            // Values count for nothing where shapes are equal: one weight of each shape.
            guard shapes.insert(entry.shape.extents).inserted else { continue }
            let outputs = min(entry.shape.rows, isConvolution ? Self.mostConvolutionOutputs : Self.mostOutputs)
            let codes: [Int8]
            do throws(InferenceError) {
                codes = try Self.codes(try weights.rows(Array(0..<outputs), of: entry.name), entry.name)
            } catch {
                let tally = isConvolution ? \Self.convolutions : \Self.linears
                self[keyPath: tally].all += 1
                outcome.findings.append(Finding(subject: entry.name, what: "integer products", expected: "codes to multiply", found: "\(error)"))
                continue
            }
            if isConvolution {
                try check(convolution: entry.name, codes, outputs, entry.shape.columns / 9)
            } else {
                try check(entry.name, codes, outputs, entry.shape.columns)
            }
        }
        // Sizes that fill no vector, and the largest sums there are.
        for (outputs, inputs) in [(1, 1), (17, 33), (16, 127), (33, 4096)] {
            try check("\(outputs) x \(inputs)", Self.codes(outputs * inputs), outputs, inputs)
        }
        for (outputs, inputs) in [(1, 1), (3, 33), (17, 65), (33, 1024)] {
            try check(convolution: "\(outputs) x 3 x 3 x \(inputs)", Self.codes(outputs * 9 * inputs), outputs, inputs)
        }
        outcome.add(
            "P3", "integer accumulators of linears are those of 64-bit integers", held: linears.held, of: linears.all, unit: "shapes",
            reason: "sums of integers are exact or wrong; each output also through the epilogue of the integer contract")
        outcome.add(
            "P3", "integer accumulators of convolutions are those of 64-bit integers", held: convolutions.held, of: convolutions.all,
            unit: "shapes, each plain, with a stride and on a doubled image",
            reason: "as of linears, tap by tap in the contract's order; pixels have scales that differ")
    }

    private struct Tally {
        var held = 0
        var all = 0
    }

    /// The codes that the integer contract multiplies.
    private static func codes(_ stored: StoredWeight, _ name: String) throws(InferenceError) -> [Int8] {
        guard let rows = try allocating(try stored.integerRows()) else { throw .unreadable(name: name, reason: "\(stored.scheme) has no integer arithmetic") }
        return rows.codes.contents.map { Int8(bitPattern: $0) }
    }

    /// Codes that repeat, many of them the largest.
    private static func codes(_ count: Int) -> [Int8] {
        var bits: UInt32 = 1
        return (0..<count).map { index in
            bits = bits &* 1_664_525 &+ 1_013_904_223
            return index % 3 == 0 ? Int8(127) : Int8(truncatingIfNeeded: Int(bits >> 24) % 128)
        }
    }

    private mutating func check(_ name: String, _ codes: [Int8], _ outputs: Int, _ inputs: Int) throws {
        linears.all += 1
        let tokens = 5
        let weight = try EncodedTensor(dtype: .i8, shape: [outputs, inputs], copying: codes.map { UInt8(bitPattern: $0) })
        let scales = try Tensor([outputs], (0..<outputs).map { 0.5 + Float($0 % 7) })
        let linear = try Linear(
            StoredWeight(.int8PerChannel, weight.shape, planes: [weight, EncodedTensor(scales)], activations: .int8PerToken), on: executor)
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
        linears.held += 1
    }

    /// One convolution on a small image, against `PlainConvolution`.
    private mutating func check(convolution name: String, _ codes: [Int8], _ outputs: Int, _ inputs: Int) throws {
        let weight = try EncodedTensor(dtype: .i8, shape: [outputs, 3, 3, inputs], copying: codes.map { UInt8(bitPattern: $0) })
        let plain = PlainConvolution(codes: codes, scales: (0..<outputs).map { 0.5 + Float($0 % 7) }, inputs: inputs)
        let planes = [weight, EncodedTensor(try Tensor([outputs], plain.scales))]
        let convolution = try Convolution(StoredWeight(.int8PerChannel, weight.shape, planes: planes, activations: .int8PerToken), on: executor)
        let image = PlainConvolution.Image(height: 3, width: 2, channels: inputs)
        let map = try Tensor([image.height, image.width, inputs], image.values)
        for (sampling, what) in [(Convolution.Sampling.same, "plain"), (.stride2, "stride 2"), (.upsampled, "doubled")] {
            convolutions.all += 1
            let found = try convolution(map, sampling)
            let expected = plain.apply(image, sampling)
            guard let element = expected.indices.first(where: { found.span[$0] != expected[$0] }) else {
                convolutions.held += 1
                continue
            }
            outcome.findings.append(
                Finding(
                    subject: name, what: "integer convolution, \(what), pixel \(element / outputs), channel \(element % outputs)",
                    expected: "\(expected[element])", found: "\(found.span[element])", hint: "the kernels of this processor are wrong; report it"))
        }
    }
}
