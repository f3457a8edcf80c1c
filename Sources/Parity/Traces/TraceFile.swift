package import Files
package import Safetensors
package import StrictJSON
package import Tensors

/// A file of probes: what one run of the model computed on its way (Formats/trace.md).
package struct TraceFile: Sendable {
    package let path: String
    /// The object of the metadata entry `meta`; empty where the file has none.
    package let metadata: JSONObject
    /// The probes, in data-flow order.
    package let probes: [String]
    private let file: SafetensorsFile

    package static func open(_ path: String) throws(ParityError) -> TraceFile {
        do {
            return try TraceFile(SafetensorsFile.open(path))
        } catch let error as SafetensorsError {
            throw .trace(error)
        } catch let error as JSONError {
            throw .metadata(path: path, reason: "\(error)")
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private init(_ file: SafetensorsFile) throws {
        self.file = file
        path = file.path
        probes = ProbeOrder.sorted(file.header.entries.map(\.name))
        if let text = file.header.metadata.first(where: { $0.key == "meta" })?.value {
            metadata = try JSONFields(JSONValue.parse(Array(text.utf8)), subject: "\(file.path): meta").object
        } else {
            metadata = JSONObject()
        }
    }

    package var identity: FileIdentity { file.file.identity }

    package func entry(_ probe: String) -> SafetensorsHeader.Entry? { file.entry(probe) }

    /// Elements of the largest probe.
    package var largestProbe: Int { file.header.entries.map(\.shape.elementCount).max() ?? 0 }

    /// One probe, whole.
    package func read(_ probe: String) throws(ParityError) -> EncodedTensor {
        return try wrapping(ParityError.trace, try file.read(probe))
    }

    /// What the run computed in: the metadata's `dtype`, else the coarsest type of the stored floats.
    package var arithmetic: Arithmetic {
        if let name = metadata["dtype"]?.string, let named = Arithmetic(rawValue: name) { return named }
        return file.header.entries.compactMap { Arithmetic($0.dtype) }.max() ?? .float32
    }

    /// How the run's weights were stored: the metadata's `weights`, else exact.
    package var weights: TraceWeights { metadata["weights"]?.string.flatMap(TraceWeights.init) ?? .exact }

    /// Writes a trace; probes go in as they come.
    package static func write(
        _ probes: [(name: String, tensor: EncodedTensor)], metadata: JSONObject, to path: String, replace: Bool, inputs: [FileIdentity] = []
    ) throws(ParityError) {
        do throws(SafetensorsError) {
            let writer = try SafetensorsWriter(
                path: path, kind: .trace, replace: replace, inputs: inputs, tensors: probes.map { ($0.name, $0.tensor.dtype, $0.tensor.shape) },
                metadata: [("meta", JSONValue.object(metadata).text)])
            for probe in probes { try writer.append(probe.tensor) }
            try writer.finish()
        } catch {
            throw .trace(error)
        }
    }
}

extension OutputKind {
    /// A trace whose metadata name this tool.
    package static let trace = OutputKind("a trace that sprintpack wrote") { file in
        (try? TraceFile.open(file.path))?.metadata["tool"]?.string?.hasPrefix("sprintpack ") == true
    }
}
