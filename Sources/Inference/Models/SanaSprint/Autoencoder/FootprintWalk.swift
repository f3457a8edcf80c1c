import Operations
import Tensors

/// A map on its way, and the operations that it has still to pass through, with their weights.
struct FootprintWalk<E: Executor> {
    let sizes: WeightSizes<E>
    private let headDimension: Int
    var map: (height: Int, width: Int, channels: Int)
    private(set) var most = Footprint()
    private var pending: [RowWork] = []
    private var weights = Footprint()
    /// Bytes of the weights before.
    private var before = 0

    init(_ sizes: WeightSizes<E>, _ c: AutoencoderConfiguration, _ map: (height: Int, width: Int, channels: Int)) {
        (self.sizes, headDimension, self.map) = (sizes, c.headDimension, map)
    }

    var mapBytes: Int { sizes.executor.byteCount(of: map.height * map.width * map.channels) }

    mutating func append(_ operation: RowWork, _ loading: Footprint) {
        pending.append(operation)
        weights = Footprint(kept: weights.kept + loading.kept, passing: max(weights.passing, loading.passing))
    }

    /// The blocks of a stage, with what loading each of them takes.
    mutating func append(_ blocks: [AutoencoderRows.Block], _ loading: (Int) -> Footprint) {
        for (number, block) in blocks.enumerated() {
            switch block {
            case .residual(let rows): append(.residual(first: sizes.size(rows.first), second: sizes.size(rows.second)), loading(number))
            case .efficientViT(let rows):
                make()
                note(loading(number), mapBytes + EfficientViTBlock.workingBytes(rows, sizes, headDimension: headDimension, pixels: map.height * map.width))
            }
        }
    }

    /// Has the map pass through what it has to.
    mutating func make() {
        guard !pending.isEmpty else { return }
        note(weights, mapBytes + sizes.executor.footprint(of: .rows(pending, height: map.height, width: map.width, channels: map.channels)).peak)
        for operation in pending { map = operation.result(of: map) }
        (pending, weights) = ([], Footprint())
    }

    mutating func note(_ weights: Footprint, _ working: Int) {
        let passing = max(working, mapBytes + sizes.executor.lingering(before))
        if weights.kept > 0 { before = weights.kept }
        if weights.peak + passing > most.peak { most = Footprint(kept: weights.peak, passing: passing) }
    }
}
