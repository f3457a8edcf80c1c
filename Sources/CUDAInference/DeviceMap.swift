internal import Tensors

/// What is kept of a map that a chain of operations makes from the top down: all rows, or the newest of them in a ring; in float32, as codes with a
/// scale for each pixel, or both.
struct DeviceMapPlan: Sendable {
    let height: Int
    let width: Int
    let channels: Int
    /// Whether somebody reads it in floats, and in codes.
    let floats: Bool
    let codes: Bool
    /// Rows that are there: all, or a power of two, by which kernels find a row with a mask.
    let capacity: Int
    /// The most rows that are written before those who read them get their turn.
    let batch: Int

    /// Rows that stay readable behind the ones being written: what a convolution and a residual around two of them look back at.
    private static let history = 4
    private static let least = 8

    /// - Parameters:
    ///   - cacheBytes: of the device. Half of them take the floats of a ring, so that what one operation writes is near when the next one reads it.
    ///   - ring: rows of a ring, for tests; nil goes by the cache.
    init(_ map: (height: Int, width: Int, channels: Int), floats: Bool, codes: Bool, cacheBytes: Int, ring: Int?) {
        (height, width, channels) = map
        (self.floats, self.codes) = (floats, codes)
        var rows = ring ?? Self.least
        while ring == nil, rows < map.height, 2 * rows * 4 * map.width * map.channels <= cacheBytes / 2 { rows *= 2 }
        capacity = min(rows, map.height)
        batch = rows < map.height ? rows - Self.history : map.height
    }

    /// Bytes of a row of floats, of codes, and of the scales of codes.
    var rowBytes: (floats: Int, codes: Int, scales: Int) { (4 * width * channels, width * DeviceForm.pitch(channels), 4 * width) }

    /// Of what is kept, and of all floats that are made at once.
    var floatBytes: Int { floats ? Engine.size(for: capacity * rowBytes.floats) : 0 }
    var codeBytes: Int { codes ? Engine.size(for: capacity * rowBytes.codes) + Engine.size(for: capacity * rowBytes.scales) : 0 }
    var batchBytes: Int { Engine.size(for: batch * rowBytes.floats) }
}

/// Rows on a device, of which row r is row r modulo `capacity`.
struct DeviceLines: Sendable {
    let block: Engine.Block
    let start: UInt64
    let rowBytes: Int
    let capacity: Int
    let height: Int

    init(_ block: Engine.Block, _ start: UInt64, rowBytes: Int, capacity: Int, height: Int) {
        (self.block, self.start, self.rowBytes, self.capacity, self.height) = (block, start, rowBytes, capacity, height)
    }

    /// Room for some of the rows alone, at the addresses that they have in a whole map.
    init(_ block: Engine.Block, for rows: Range<Int>, rowBytes: Int, height: Int) {
        self.init(block, block.address &- UInt64(rows.lowerBound * rowBytes), rowBytes: rowBytes, capacity: height, height: height)
    }

    /// As kernels take it.
    var mask: Int32 { capacity < height ? Int32(capacity - 1) : -1 }

    func address(_ row: Int) -> UInt64 { start &+ UInt64(row % capacity * rowBytes) }
}

/// A map on a device, or what is kept of it.
struct DeviceMap: Sendable {
    let plan: DeviceMapPlan
    let floats: DeviceLines?
    let codes: (values: DeviceLines, scales: DeviceLines)?

    var height: Int { plan.height }
    var width: Int { plan.width }
    var channels: Int { plan.channels }
    var pitch: Int { DeviceForm.pitch(plan.channels) }
}

extension Engine {
    /// What a plan keeps.
    /// - Parameter whole: all rows in floats, which are there already.
    func map(_ plan: DeviceMapPlan, whole: DeviceRows? = nil) throws(MachineError) -> DeviceMap {
        let bytes = plan.rowBytes
        func lines(_ rowBytes: Int) throws(MachineError) -> DeviceLines {
            let block = try take(plan.capacity * rowBytes)
            return DeviceLines(block, block.address, rowBytes: rowBytes, capacity: plan.capacity, height: plan.height)
        }
        let floats: DeviceLines? =
            if let whole {
                DeviceLines(whole.block, whole.address, rowBytes: bytes.floats, capacity: plan.height, height: plan.height)
            } else { plan.floats ? try lines(bytes.floats) : nil }
        return DeviceMap(plan: plan, floats: floats, codes: plan.codes ? (try lines(bytes.codes), try lines(bytes.scales)) : nil)
    }
}
