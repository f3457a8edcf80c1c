import Files
import StrictJSON

/// Edits a packed file and repairs the checksums around the edit, so that what lies behind them is reached.
///
/// For files whose directory is stored plainly and is the last section.
struct Surgeon {
    var bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    // MARK: - Header

    func number(at offset: Int, count: Int) -> UInt64 {
        (0..<count).reversed().reduce(0) { $0 << 8 | UInt64(bytes[offset + $1]) }
    }

    mutating func set(_ value: UInt64, at offset: Int, count: Int) {
        for index in 0..<count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }

    /// Makes the header's checksum right.
    mutating func seal() { set(XXH3.hash(Array(bytes[..<120])), at: 120, count: 8) }

    /// The file with a number of its header changed and the header sealed.
    func header(_ value: UInt64, at offset: Int, count: Int) -> [UInt8] {
        var copy = self
        copy.set(value, at: offset, count: count)
        copy.seal()
        return copy.bytes
    }

    // MARK: - Directory

    var directoryText: [UInt8] { Array(bytes[Int(number(at: 32, count: 8))...]) }

    func directory() throws -> JSONValue { try JSONValue.parse(directoryText) }

    /// The file with another directory, its place, checksum and hash in the header made right.
    func directory(_ text: [UInt8]) -> [UInt8] {
        var copy = self
        copy.bytes.removeSubrange(Int(number(at: 32, count: 8))...)
        copy.bytes.append(contentsOf: text)
        copy.set(UInt64(copy.bytes.count), at: 24, count: 8)
        copy.set(UInt64(text.count), at: 40, count: 4)
        copy.set(UInt64(text.count), at: 44, count: 4)
        copy.set(XXH3.hash(text), at: 48, count: 8)
        let digest = Array(SHA256Stream.digest(text).utf8)
        for index in 0..<32 {
            let pair = String(decoding: digest[2 * index..<2 * index + 2], as: UTF8.self)
            copy.bytes[80 + index] = UInt8(pair, radix: 16) ?? 0
        }
        copy.seal()
        return copy.bytes
    }

    /// The file with one member of its directory changed, or removed where `value` is nil. Steps of the path are keys and indices.
    func member(_ path: String, _ value: JSONValue?) throws -> [UInt8] {
        directory(try directory().edited(path.split(separator: "/").map(String.init)[...], value).canonicalText)
    }

    // MARK: - Content

    /// The file with bytes of a plane changed, and the frame's checksum and, if asked for, the plane's hash in the directory made right.
    func content(tensor: Int, plane: Int, at position: Int, _ replacement: [UInt8], rehash: Bool) throws -> [UInt8] {
        let path = "tensors/\(tensor)/planes/\(plane)"
        guard let json = try directory().value(at: path), let offset = json["offset"]?.integer, let size = json["frames"]?.array?[0].array?[0].integer else {
            throw SurgeryError.noSuchMember(path)
        }
        var copy = self
        let start = Int(offset)
        copy.bytes.replaceSubrange(start + position..<start + position + replacement.count, with: replacement)
        let stored = Array(copy.bytes[start..<start + Int(size)])
        copy.bytes = try copy.member("\(path)/frames/0/2", .string(Hex.digits(XXH3.hash(stored))))
        return rehash ? try copy.member("\(path)/sha256", .string(SHA256Stream.digest(stored))) : copy.bytes
    }
}

enum SurgeryError: Error { case noSuchMember(String) }

extension JSONValue {
    func value(at path: String) -> JSONValue? {
        path.split(separator: "/").map(String.init).reduce(self) { value, step in
            value.flatMap { $0.array.flatMap { array in Int(step).flatMap { array.indices.contains($0) ? array[$0] : nil } } ?? $0[step] }
        }
    }

    /// The value with the member at `path` set or, for nil, removed.
    func edited(_ path: ArraySlice<String>, _ new: JSONValue?) throws -> JSONValue {
        guard let step = path.first else { return new ?? .null }
        let rest = path.dropFirst()
        if var array, let index = Int(step), index <= array.count {
            if index == array.count {
                array.append(new ?? .null)
            } else if rest.isEmpty, new == nil {
                array.remove(at: index)
            } else {
                array[index] = try array[index].edited(rest, new)
            }
            return .array(array)
        }
        guard var object else { throw SurgeryError.noSuchMember(step) }
        if rest.isEmpty {
            object[step] = new
        } else {
            guard let member = object[step] else { throw SurgeryError.noSuchMember(step) }
            object[step] = try member.edited(rest, new)
        }
        return .object(object)
    }
}
