/// Little-endian integers of a byte array, one after the other. Past the end everything is nil.
struct LittleEndian {
    private let bytes: ArraySlice<UInt8>
    private(set) var position: Int

    init(_ bytes: ArraySlice<UInt8>) { (self.bytes, position) = (bytes, bytes.startIndex) }
    init(_ bytes: [UInt8]) { self.init(bytes[...]) }

    var remaining: Int { bytes.endIndex - position }

    mutating func integer<Integer: FixedWidthInteger & UnsignedInteger>(_ type: Integer.Type = Integer.self) -> Integer? {
        let size = Integer.bitWidth / 8
        guard remaining >= size else { return nil }
        var value: Integer = 0
        for index in 0..<size { value |= Integer(truncatingIfNeeded: bytes[position + index]) << Integer(8 * index) }
        position += size
        return value
    }

    mutating func slice(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, remaining >= count else { return nil }
        defer { position += count }
        return bytes[position..<position + count]
    }
}
