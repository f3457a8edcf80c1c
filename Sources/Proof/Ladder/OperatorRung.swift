import Inference
import Operations
import PackedFiles
import Parity
import Tensors

/// P4: single operations of the runtime against double precision, on odd sizes and with the model's own weights where they have some.
struct OperatorRung: LadderRung {
    private(set) var outcome = Outcome()
    private var measured = Measurements(limit: 1e-6)
    private var numbers: TestNumbers
    private let executor: CPU

    init(_ configuration: SanaSprintConfiguration, _ source: any WeightSource, seed: UInt64, on executor: CPU) throws {
        self.executor = executor
        numbers = TestNumbers(seed: seed)
        if source.has(.transformer) { try transformer(configuration.transformer, Weights64(source: source)) }
        try elementwise()
        try attention()
        outcome = measured.outcome(
            "P4", "single operations compute what their formulas say in float64", unit: "operations",
            reason: "one operation in float32: sums of some hundred products, rounded at 2^-24 each")
    }

    private mutating func transformer(_ c: TransformerConfiguration, _ w: Weights64) throws {
        let name = "dit.blocks.00."
        let x = try numbers.tensor([37, c.width])
        let weight = try w.tensor(name + "ff.in.weight")
        let rows = min(weight.rows, 1024)
        let part = try weight.rows(0..<rows)
        measured.add("linear, float32", expected: Matrix64(x).times(Matrix64(part)), found: try Linear(.plain(EncodedTensor(part)), on: executor)(x))
        for dtype in [DType.bf16, .f16] {
            let narrow = try part.narrowed(to: dtype)
            measured.add(
                "linear, \(dtype.rawValue)", expected: Matrix64(x).times(Matrix64(try narrow.widened())), found: try Linear(.plain(narrow), on: executor)(x))
        }
        let planes = try Scheme.int8PerChannel.encode(part, subject: name)
        let decoded = try Scheme.int8PerChannel.decode(planes, shape: part.shape)
        let weights = try Linear(StoredWeight(.int8PerChannel, part.shape, planes: planes), on: executor)
        measured.add("linear, int8 weights", expected: Matrix64(x).times(Matrix64(decoded)), found: try weights(x))

        let kernel = try w.tensor(name + "ff.depth.weight")
        let channels = min(kernel.rows, 512)
        let taps = try kernel.rows(0..<channels)
        let map = try numbers.tensor([5, 7, channels])
        let flat = Matrix64(map.reshaped([35, channels]))
        measured.add(
            "depthwise 3x3", expected: Formulas64.depthwise(flat, Matrix64(taps), bias: nil, height: 5, width: 7),
            found: try Depthwise(taps, bias: nil, on: executor)(map))

        let vector = try numbers.tensor([c.width])
        let norm = RMSNorm(weight: vector, epsilon: 1e-5, on: executor)
        measured.add("RMS norm", expected: Formulas64.rmsNorm(Matrix64(x), vector.elements.map(Double.init), epsilon: 1e-5), found: try norm(x))
        let (scale, shift) = (try numbers.tensor([c.width]), try numbers.tensor([c.width]))
        let expected = Formulas64.modulatedLayerNorm(
            Matrix64(x), scale: scale.elements.map(Double.init), shift: shift.elements.map(Double.init), epsilon: c.normEpsilon)
        measured.add(
            "modulated layer norm", expected: expected, found: try executor.normed(x, by: ModulatedNorm(scale: scale, shift: shift, epsilon: c.normEpsilon)))
    }

    private mutating func elementwise() throws {
        var x = try numbers.tensor([13, 66])
        let matrix = Matrix64(x)
        measured.add(
            "GLU with SiLU", expected: matrix.slice(0..<33).combined(matrix.slice(33..<66)) { $0 * Formulas64.silu($1) }, found: try executor.siluGated(x))
        measured.add(
            "GLU with GELU", expected: matrix.slice(0..<33).combined(matrix.slice(33..<66)) { Formulas64.geluTanh($0) * $1 }, found: try executor.geluGated(x))
        executor.apply(.silu, to: &x)
        measured.add("SiLU", expected: matrix.map(Formulas64.silu), found: x)
        let angle = 0.731
        let waves = try Sinusoid.embed(angle, channels: 66)
        var expected = Matrix64(1, 66)
        for index in 0..<33 {
            let phase = angle * Double.power(10_000, -Double(index) / 33)
            (expected[0, index], expected[0, index + 33]) = (Double.cosine(phase), Double.sine(phase))
        }
        measured.add("sinusoids", expected: expected, found: waves)
    }

    private mutating func attention() throws {
        let (heads, dimension, tokens) = (3, 24, 29)
        let width = heads * dimension
        let joined = try numbers.tensor([tokens, 3 * width])
        let matrix = Matrix64(joined)
        var linear = try Tensor([tokens, width])
        executor.linearAttention(joined, .blocks(heads: heads, headDimension: dimension), into: &linear)
        measured.add(
            "linear attention",
            expected: Formulas64.heads(heads, dimension, rows: tokens) { _, c in
                Formulas64.linearAttention(
                    matrix.slice(c), matrix.slice(c.lowerBound + width..<c.upperBound + width),
                    matrix.slice(c.lowerBound + 2 * width..<c.upperBound + 2 * width))
            }, found: linear)
        for (name, cap, window) in [("softmax attention", nil, nil), ("softmax attention, capped, causal, 7 back", 5.0, 7)] as [(String, Double?, Int?)] {
            let softmax = SoftmaxAttention(
                heads: heads, keyValueHeads: heads, headDimension: dimension, scale: 0.2, softCap: cap, window: window)
            let found = try softmax(
                .init(matrix: joined, column: 0), .init(matrix: joined, column: width), .init(matrix: joined, column: 2 * width), on: executor)
            let expected = Formulas64.heads(heads, dimension, rows: tokens) { _, c in
                Formulas64.softmaxAttention(
                    matrix.slice(c), matrix.slice(c.lowerBound + width..<c.upperBound + width),
                    matrix.slice(c.lowerBound + 2 * width..<c.upperBound + 2 * width),
                    scale: 0.2, softCap: cap, causal: true, window: window)
            }
            measured.add(name, expected: expected, found: found)
        }
        let prompt = try numbers.tensor([17, 2 * width])
        let (queries, keyValues) = (try numbers.tensor([tokens, width]), Matrix64(prompt))
        let crossed = Formulas64.heads(heads, dimension, rows: tokens) { _, c in
            Formulas64.softmaxAttention(
                Matrix64(queries).slice(c), keyValues.slice(c), keyValues.slice(c.lowerBound + width..<c.upperBound + width),
                scale: 1 / Double(dimension).squareRoot())
        }
        measured.add(
            "cross-attention", expected: crossed, found: try PackedKeyValues(prompt, heads: heads, headDimension: dimension, on: executor).attend(queries))
    }
}
