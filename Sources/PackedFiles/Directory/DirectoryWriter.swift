import Files
import StrictJSON
import Tensors

extension Directory {
    /// The directory as JSON; its canonical text is what the content hash covers.
    var json: JSONValue {
        [
            "blobs": .array(blobs.map(\.json)),
            "components": .array(components.map(\.json)),
            "fusions": .array(fusions.map { .string($0) }),
            "policy": policy,
            "preset": .string(preset),
            "sources": .array(sourceFiles.map(\.json)),
            "tensors": .array(tensors.map(\.json)),
            "tool": .string(tool),
            "zstd": .string(zstd),
        ]
    }
}

extension ComponentEntry {
    fileprivate var json: JSONValue {
        var object = JSONObject([("name", .string(name))])
        object["configuration"] = configuration.map { .string($0) }
        return .object(object)
    }
}

extension SourceFile {
    fileprivate var json: JSONValue {
        var object = JSONObject([("path", .string(path)), ("size", .integer(Int64(byteCount)))])
        object["sha256"] = sha256.map { .string($0) }
        object["weight"] = weight.map { .number($0) }
        return .object(object)
    }
}

extension BlobEntry {
    var json: JSONValue {
        var object = section.json
        object["name"] = .string(name)
        return .object(object)
    }
}

extension TensorEntry {
    fileprivate var json: JSONValue {
        var object = JSONObject([
            ("name", .string(name)), ("component", .string(component)), ("shape", JSONValue(shape.extents)), ("role", .string(role)),
            ("layout", .string(layout.rawValue)), ("scheme", .string(scheme.name)), ("planes", .array(planes.map(\.json))),
            ("sources", .array(sources.map(\.json))),
        ])
        object["activations"] = activations.map { .string($0.rawValue) }
        object["error"] = error.map { ["maxAbs": .number($0.maxAbs), "relativeL2": .number($0.relativeL2)] }
        object["nonfinite"] = nonfinite > 0 ? JSONValue(nonfinite) : nil
        return .object(object)
    }
}

extension PlaneEntry {
    fileprivate var json: JSONValue {
        var object = section.json
        object["name"] = .string(name)
        object["dtype"] = .string(dtype.rawValue)
        object["shape"] = JSONValue(shape.extents)
        return .object(object)
    }
}

extension SourceRecord {
    fileprivate var json: JSONValue {
        var object = JSONObject([("name", .string(name)), ("dtype", .string(dtype.rawValue)), ("shape", JSONValue(shape.extents)), ("sha256", .string(sha256))])
        object["rowScale"] = rowScale.map { .string($0) }
        object["additions"] = additions.isEmpty ? nil : .array(additions.map(\.json))
        return .object(object)
    }
}

extension AdditionRecord {
    fileprivate var json: JSONValue {
        var object = JSONObject([("factor", .number(factor)), ("up", .string(up))])
        object["down"] = down.map { .string($0) }
        object["magnitude"] = magnitude.map { .string($0) }
        return .object(object)
    }
}

extension Section {
    fileprivate var json: JSONObject {
        JSONObject([
            ("codec", .string(codec.rawValue)), ("offset", .integer(Int64(offset))), ("sha256", .string(sha256)),
            ("frames", .array(frames.map { [JSONValue($0.storedByteCount), JSONValue($0.contentByteCount), .string(Hex.digits($0.checksum))] })),
        ])
    }
}
