import Glibc
import Inference
import Operations
import Tensors

extension ModelParts {
    /// The velocities at a moment where a control network follows a picture, in one pass over the weights of both.
    /// - Parameters:
    ///   - features, pictures: by draw; of the pictures, their latents `[channels, side, side]`.
    ///   - progress: is told before each block of the base.
    func velocities(
        _ guidance: Double, _ moment: Moment, _ features: [Tensor], following pictures: [Tensor], _ progress: () -> Void = {}
    ) throws(InferenceError) -> [Tensor] {
        guard let control = configuration.control else { return try velocities(guidance, [moment], features, progress)[0] }
        let resident = try residentControl()
        let told = try MeasuredModels.Conditions.at([moment.time], self, guidance, features)[0]
        let own = control.hasEmbedders ? try MeasuredModels.Conditions.at([moment.time], resident.conditioning, guidance, features)[0] : told
        let (grid, hints) = (grid(moment.inputs[0]), try pictures.map { picture throws(InferenceError) in try resident.input(picture) })
        var streams = try tokens(moment.inputs)
        var branch: [Tensor] = []
        func start(_ tokens: [Tensor]) throws(InferenceError) {
            branch = try zip(tokens, moment.draws).map { tokens, draw throws(InferenceError) in try allocating(try tokens.plus(hints[draw])) }
        }
        /// Runs a block of the branch, where it has one of that number, and adds what it has to add.
        func join(_ index: Int) throws(InferenceError) {
            guard (0..<control.branch.layers).contains(index) else { return }
            let block = try residentControlBlock(index)
            try grid.advance(&branch, of: moment.draws, block.block, own)
            for (place, tokens) in branch.enumerated() {
                let residual = try block.residual(tokens)
                streams[place] = try allocating(try streams[place].plus(residual))
            }
        }
        if control.wiring == .diffusers {
            try start(try moment.inputs.map { input throws(InferenceError) in try resident.patches(input) })
        }
        for layer in 0..<configuration.transformer.layers {
            progress()
            if control.wiring == .nvlabs {
                if layer == 1 { try start(streams) }
                try join(layer - 1)
            }
            try grid.advance(&streams, of: moment.draws, try residentBlock(layer), told)
            if control.wiring == .diffusers { try join(layer - 1) }
        }
        return try zip(streams, moment.inputs).map { x, input throws(InferenceError) in try finish(x, told, input) }
    }
}

/// Pictures for a control network to follow: outlines of one shape, white on black, as people scribble them.
enum Outlines {
    /// Corners of the shapes, and how far every second one is from the middle, as a share of the others.
    private static let shapes: [(corners: Int, inner: Double)] = [(24, 1), (4, 1), (10, 0.45), (3, 1), (12, 0.8), (6, 1), (8, 0.5), (5, 1)]

    /// The picture of a number, `[size, size, 3]`.
    static func picture(_ index: Int, size: Int) -> Picture {
        let (corners, inner) = shapes[index % shapes.count]
        // Places, sizes and turns that do not repeat: multiples of irrational numbers.
        func share(_ factor: Double) -> Double { (Double(index + 1) * factor).truncatingRemainder(dividingBy: 1) }
        let unit = Double(size)
        let (radius, turn) = (unit * (0.15 + 0.25 * share(0.6180339887)), share(0.4142135624) * 0.6)
        let (x, y) = (unit * (0.4 + 0.2 * share(0.7320508076)), unit * (0.4 + 0.2 * share(0.2360679775)))
        let points = (0..<corners).map { corner in
            let angle = 2 * Double.pi * Double(corner) / Double(corners) + turn
            let distance = corner % 2 == 0 ? radius : radius * inner
            return (x: x + distance * cos(angle), y: y + distance * sin(angle))
        }
        let width = max(1, unit / 128)
        var rgb = [UInt8](repeating: 0, count: 3 * size * size)
        for row in 0..<size {
            for column in 0..<size {
                let pixel = (x: Double(column) + 0.5, y: Double(row) + 0.5)
                let isOnLine = points.indices.contains { isNear(pixel, points[$0], points[($0 + 1) % corners], width) }
                guard isOnLine else { continue }
                for channel in 0..<3 { rgb[3 * (row * size + column) + channel] = .max }
            }
        }
        return Picture(width: size, height: size, rgb: rgb)
    }

    /// Whether a point is no further from a line between two others.
    private static func isNear(_ p: (x: Double, y: Double), _ a: (x: Double, y: Double), _ b: (x: Double, y: Double), _ distance: Double) -> Bool {
        let (dx, dy) = (b.x - a.x, b.y - a.y)
        let t = min(1, max(0, ((p.x - a.x) * dx + (p.y - a.y) * dy) / (dx * dx + dy * dy)))
        let (ex, ey) = (a.x + t * dx - p.x, a.y + t * dy - p.y)
        return ex * ex + ey * ey <= distance * distance
    }
}
