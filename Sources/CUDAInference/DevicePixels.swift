internal import CGPUKernels
internal import CUDADriver
internal import Operations
internal import Tensors

/// What is done to rows of maps. Convolutions take maps as they lie, in rings too; all else takes rows that lie one behind the other.
extension Engine {
    /// What follows a convolution.
    enum Following: Sendable {
        case nothing
        case activation(Activation)
        /// A norm, and the map added to it.
        case norm(DeviceNorm, adding: DeviceMap)
        /// The addition of a map of half the extents, each channel repeated.
        case shortcut(DeviceMap)

        fileprivate var activation: Activation? {
            if case .activation(let activation) = self { activation } else { nil }
        }
    }

    /// Whether an integer convolution does all that follows itself. For norms and codes a block needs all outputs of a pixel, which a doubling never has.
    static func fuses(_ outputs: Int, _ sampling: Int, normed: Bool, codes: Bool) -> Bool {
        guard normed || codes else { return true }
        guard sampling != cg_doubled else { return false }
        return unsafe cg_best("conv_i8_", 1, [cg_int(outputs)], 1, 1, true) >= 0
    }

    /// Makes rows of the target, floats and codes as it wants them: of what a convolution makes of a map, with what follows.
    func convolve(
        _ convolution: DeviceConvolution, _ source: DeviceMap, _ sampling: Int, then following: Following, rows: Range<Int>, of target: DeviceMap
    ) throws(MachineError) {
        precondition(source.channels == convolution.inputs && target.channels == convolution.outputs)
        if case .shortcut(let base) = following { Self.check(base, of: target) }
        switch convolution.weights {
        case .integers(let codes, let scales):
            let isNormed = if case .norm = following { true } else { false }
            let fuses = Self.fuses(convolution.outputs, sampling, normed: isNormed, codes: target.codes != nil)
            let floats = fuses ? target.floats : try floats(rows, of: target)
            var argument = argument(convolution, source, sampling, following, rows, of: target, to: floats)
            (argument.w, argument.s) = (codes.address, scales.address)
            if fuses { fuse(following, target, into: &argument) }
            if sampling == cg_doubled {
                let blocks = Self.pieces(rows.count / 2, of: 6) * Self.pieces(source.width, of: 14)
                try launch("conv_up_i8", grid: (blocks, Self.pieces(convolution.outputs, of: 64), 1), argument)
            } else {
                let whole = argument.norm != 0 || argument.q != 0
                try launchBest("conv_i8_", rows: rows.count * target.width, columns: [convolution.outputs], whole: whole, argument)
            }
            if !fuses, let floats { try finish(floats, following, rows, of: target) }
        case .floats(let weight):
            let floats = try floats(rows, of: target)
            try multiply(weight, convolution, source, sampling, following.activation, rows, of: target, to: floats)
            if case .shortcut(let base) = following { try add(base, doubledTo: floats, rows, of: target) }
            try finish(floats, following, rows, of: target)
        }
    }

    /// The convolution of a map alone, and its activation or shortcut.
    private func argument(
        _ convolution: DeviceConvolution, _ source: DeviceMap, _ sampling: Int, _ following: Following, _ rows: Range<Int>, of target: DeviceMap,
        to floats: DeviceLines?
    ) -> cg_integer_convolution {
        guard let (values, scales) = source.codes else { preconditionFailure("the map was not made for integers") }
        var argument = cg_integer_convolution()
        (argument.x, argument.sx, argument.maskX) = (values.start, scales.start, values.mask)
        (argument.bias, argument.y) = (convolution.bias?.address ?? 0, floats?.start ?? 0)
        (argument.maskY, argument.maskBase) = (floats?.mask ?? target.codes?.values.mask ?? -1, -1)
        (argument.height, argument.width, argument.channels) = (cg_int(source.height), cg_int(source.width), cg_int(source.channels))
        (argument.pitch, argument.outputs, argument.sampling) = (cg_int(source.pitch), cg_int(convolution.outputs), cg_int(sampling))
        (argument.from, argument.to) = (cg_int(rows.lowerBound * target.width), cg_int(rows.upperBound * target.width))
        argument.activation = Self.function(following.activation)
        if case .shortcut(let base) = following, let lines = base.floats {
            (argument.base, argument.maskBase, argument.inputs) = (lines.start, lines.mask, cg_int(base.channels))
        }
        return argument
    }

    private func fuse(_ following: Following, _ target: DeviceMap, into argument: inout cg_integer_convolution) {
        if case .norm(let norm, let base) = following, let lines = base.floats {
            (argument.norm, argument.normBias) = Self.pointers(norm)
            (argument.epsilon, argument.epsilonRest) = Self.split(norm.epsilon)
            (argument.base, argument.maskBase) = (lines.start, lines.mask)
        }
        guard let (values, scales) = target.codes else { return }
        (argument.q, argument.sq, argument.pitchQ) = (values.start, scales.start, cg_int(target.pitch))
    }

    private func multiply(
        _ weight: Block, _ convolution: DeviceConvolution, _ source: DeviceMap, _ sampling: Int, _ activation: Activation?, _ rows: Range<Int>,
        of target: DeviceMap, to floats: DeviceLines
    ) throws(MachineError) {
        guard let lines = source.floats else { preconditionFailure("the map was not made for floats") }
        let (pixels, outputs) = (rows.count * target.width, convolution.outputs)
        let argument = cg_convolution(
            x: lines.start, w: weight.address, bias: convolution.bias?.address ?? 0, y: floats.start, height: cg_int(source.height),
            width: cg_int(source.width), channels: cg_int(source.channels), outputs: cg_int(outputs), sampling: cg_int(sampling),
            activation: Self.function(activation), from: cg_int(rows.lowerBound * target.width), to: cg_int(rows.upperBound * target.width),
            maskX: lines.mask, maskY: floats.mask)
        let narrow = Int(cg_narrow_shared(UInt32(source.channels), UInt32(outputs)))
        guard outputs <= 4, narrow <= device.sharedBytes else { return try launchBest("conv_f32_", rows: pixels, columns: [outputs], argument) }
        try launch("conv_f32_narrow", grid: (Self.pieces(pixels, of: 32), 1, 1), sharedBytes: narrow, argument)
    }
}

// MARK: - Rows that lie one behind the other

extension Engine {
    /// Where rows of a map go in floats, though nobody may read them there later.
    func floats(_ rows: Range<Int>, of map: DeviceMap) throws(MachineError) -> DeviceLines {
        if let floats = map.floats { return floats }
        let bytes = map.plan.rowBytes.floats
        return DeviceLines(try take(rows.count * bytes), for: rows, rowBytes: bytes, height: map.height)
    }

    /// What follows rows of floats and was not done with them: their norm, and their codes where the map has some.
    func finish(_ floats: DeviceLines, _ following: Following, _ rows: Range<Int>, of target: DeviceMap) throws(MachineError) {
        guard case .norm(let norm, let base) = following else { return try quantize(floats, rows, of: target) }
        try self.norm(floats, by: norm, nil, adding: base.floats, to: floats, rows, of: target)
    }

    /// The codes of rows of floats, where the map has some.
    func quantize(_ floats: DeviceLines, _ rows: Range<Int>, of map: DeviceMap) throws(MachineError) {
        guard let (values, scales) = map.codes else { return }
        for rows in Self.pieces(rows, floats, values) {
            let pixels = rows.count * map.width
            let argument = cg_pixels(
                x: floats.address(rows.lowerBound), q: values.address(rows.lowerBound), s: scales.address(rows.lowerBound), rows: cg_int(pixels),
                columns: cg_int(map.channels), pitch: cg_int(map.pitch))
            try launch("quantize_pixels", grid: (Self.pieces(pixels, of: 8), 1, 1), argument)
        }
    }

    /// base + activation(norm(x)), and the codes of that where the map has some.
    func norm(
        _ x: DeviceLines, by norm: DeviceNorm, _ activation: Activation?, adding base: DeviceLines?, to y: DeviceLines, _ rows: Range<Int>, of map: DeviceMap
    ) throws(MachineError) {
        let ((weight, bias), (epsilon, rest)) = (Self.pointers(norm), Self.split(norm.epsilon))
        precondition(norm.weight.count == map.channels)
        for rows in Self.pieces(rows, x, base, y, map.codes?.values) {
            let (first, pixels) = (rows.lowerBound, rows.count * map.width)
            let argument = cg_norm_pixels(
                x: x.address(first), weight: weight, bias: bias, base: base?.address(first) ?? 0, y: y.address(first),
                q: map.codes?.values.address(first) ?? 0, s: map.codes?.scales.address(first) ?? 0, epsilon: epsilon, epsilonRest: rest,
                activation: Self.function(activation), rows: cg_int(pixels), columns: cg_int(map.channels), pitch: cg_int(map.pitch))
            try launch("norm_pixels", grid: (Self.pieces(pixels, of: 8), 1, 1), argument)
        }
    }

    /// Rows of four times the channels become rows of twice the pixels, two of them each, with a shortcut added where there is one.
    func shuffle(_ x: DeviceLines, _ shortcut: DeviceMap?, to y: DeviceLines, _ rows: Range<Int>, of target: DeviceMap) throws(MachineError) {
        if let shortcut { Self.check(shortcut, of: target) }
        for rows in Self.pairs(rows, y, x, shortcut?.floats) {
            let argument = cg_shuffle(
                x: x.address(rows.lowerBound), y: y.address(2 * rows.lowerBound), base: shortcut?.floats?.address(rows.lowerBound) ?? 0,
                height: cg_int(rows.count), width: cg_int(target.width / 2), channels: cg_int(target.channels), inputs: cg_int(shortcut?.channels ?? 0))
            try launch("shuffle", grid: (Self.pieces(2 * rows.count * target.width * target.channels, of: 1024), 1, 1), argument)
        }
    }

    private func add(_ base: DeviceMap, doubledTo y: DeviceLines, _ rows: Range<Int>, of target: DeviceMap) throws(MachineError) {
        guard let lines = base.floats else { preconditionFailure("the map was not made for floats") }
        for rows in Self.pairs(rows, y, lines) {
            let count = 2 * rows.count * target.width * target.channels
            let argument = cg_shortcut(
                x: lines.address(rows.lowerBound), y: y.address(2 * rows.lowerBound), count: UInt32(count), inputs: cg_int(base.channels),
                outputs: cg_int(target.channels), width: cg_int(base.width))
            try launch("add_doubled", grid: (Self.pieces(count, of: 1024), 1, 1), argument)
        }
    }

    /// A map of half the extents has a quarter of the channels or more, each repeated.
    private static func check(_ base: DeviceMap, of target: DeviceMap) { precondition(4 * target.channels % base.channels == 0) }

    /// Rows in pieces that end nowhere inside but where one of the rings begins again.
    private static func pieces(_ rows: Range<Int>, _ lines: DeviceLines?...) -> [Range<Int>] { cut(rows, lines.compactMap { $0?.capacity }) }

    /// Rows of maps of half the height, under those of `y`, in such pieces.
    private static func pairs(_ rows: Range<Int>, _ y: DeviceLines, _ lines: DeviceLines?...) -> [Range<Int>] {
        cut(rows.lowerBound / 2..<rows.upperBound / 2, [y.capacity / 2] + lines.compactMap { $0?.capacity })
    }

    private static func cut(_ rows: Range<Int>, _ capacities: [Int]) -> [Range<Int>] {
        var (result, first) = ([Range<Int>](), rows.lowerBound)
        while first < rows.upperBound {
            let end = capacities.reduce(rows.upperBound) { min($0, (first / $1 + 1) * $1) }
            result.append(first..<end)
            first = end
        }
        return result
    }

    private static func function(_ activation: Activation?) -> cg_int {
        switch activation {
        case nil: cg_int(cg_none)
        case .relu: cg_int(cg_relu)
        case .silu: cg_int(cg_silu)
        }
    }

    /// Weight and bias, as the autoencoder's norms have them.
    private static func pointers(_ norm: DeviceNorm) -> (weight: UInt64, bias: UInt64) {
        guard let bias = norm.bias, norm.offset == 0 else { preconditionFailure("the autoencoder's norms have a bias and no offset") }
        return (norm.weight.address, bias.address)
    }
}
