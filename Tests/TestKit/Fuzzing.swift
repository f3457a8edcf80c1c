/// What mutations the fuzz tests share; `make fuzz` goes on longer, guided by coverage.
package enum Fuzzing {
    /// Damages bytes as disks, networks and people do: flips, overwritten and lost and doubled pieces, cut ends.
    package static func damage(_ bytes: [UInt8], using random: inout SplitMix64) -> [UInt8] {
        guard !bytes.isEmpty else { return [UInt8.random(in: 0 ... .max, using: &random)] }
        var result = bytes
        let position = Int.random(in: 0..<result.count, using: &random)
        let end = min(result.count, position + Int.random(in: 1...16, using: &random))
        switch Int.random(in: 0..<6, using: &random) {
        case 0: result[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: result[position] = UInt8.random(in: 0 ... .max, using: &random)
        case 2: result.removeSubrange(position..<end)
        case 3: result.insert(contentsOf: result[position..<end], at: position)
        case 4: result.removeSubrange(position...)
        default: for index in position..<end { result[index] = 0xFF }
        }
        return result
    }
}
