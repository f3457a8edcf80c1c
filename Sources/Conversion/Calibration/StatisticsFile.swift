package import Files
import Safetensors
import Tensors

/// Statistics as a safetensors file (Formats/calibration.md).
extension InputStatistics {
    private static let format = "sprintpack-calibration"
    private static let version = "1"
    /// A file that says more of a layer's inputs than this is not one of ours.
    private static let mostInputs = 1 << 20

    /// How an earlier file of this tool is known.
    private static let kind = OutputKind("statistics that sprintpack gathered") { file in
        (try? SafetensorsFile.open(file.path))?.header.metadata.contains { $0.key == "format" && $0.value == format } ?? false
    }

    /// What keeps statistics from being written here, found before any work.
    package static func check(_ path: String, replace: Bool, inputs: [FileIdentity]) throws(ConversionError) {
        _ = try wrapping(ConversionError.file, try OutputFile(path: path, kind: kind, replace: replace, inputs: inputs))
    }

    /// - Parameter replace: whether earlier statistics at `path` may be replaced.
    package func write(to path: String, replace: Bool, inputs: [FileIdentity] = []) throws(ConversionError) {
        let names = layers.keys.sorted()
        var tensors: [EncodedTensor] = []
        var items: [SafetensorsWriter.Item] = []
        func add(_ name: String, _ tensor: EncodedTensor) {
            tensors.append(tensor)
            items.append((name, tensor.dtype, tensor.shape))
        }
        do throws(MachineError) {
            for name in names {
                guard let layer = layers[name] else { continue }
                let (rows, inputs) = (layer.samples.count, layer.squares.count)
                add("\(name).rows", try EncodedTensor(dtype: .u64, shape: [], elements: [UInt64(layer.count)]))
                add("\(name).squares", try EncodedTensor(dtype: .f64, shape: [inputs], elements: layer.squares))
                add("\(name).numbers", try EncodedTensor(dtype: .u64, shape: [rows], elements: layer.samples.map(\.number)))
                add("\(name).samples", try EncodedTensor(dtype: .bf16, shape: [rows, inputs], elements: layer.samples.flatMap(\.values)))
            }
            if let impacts {
                add(Self.drawsName, try EncodedTensor(dtype: .u64, shape: [impacts.draws.count], elements: impacts.draws))
                for (unit, errors) in impacts.errors.sorted(by: { $0.key < $1.key }) {
                    add(unit + Self.impactsSuffix, try EncodedTensor(dtype: .f64, shape: [errors.count], elements: errors))
                }
            }
        } catch { throw .machine(error) }
        var metadata = [("format", Self.format), ("version", Self.version), ("prompts", prompts.joined(separator: "\n"))]
        if !devices.isEmpty { metadata.append(("devices", devices.joined(separator: "\n"))) }
        for name in names { metadata.append(("weight.\(name)", layers[name]?.weightDigest ?? "")) }
        try wrapping(ConversionError.safetensors) { () throws(SafetensorsError) in
            let writer = try SafetensorsWriter(
                path: path, kind: Self.kind, replace: replace, inputs: inputs, tensors: items, metadata: metadata.map { (key: $0.0, value: $0.1) })
            for tensor in tensors { try writer.append(tensor) }
            try writer.finish()
        }
    }

    package init(reading path: String) throws(ConversionError) {
        self.init()
        let file = try wrapping(ConversionError.safetensors) { () throws(SafetensorsError) in try SafetensorsFile.open(path) }
        let metadata = Dictionary(file.header.metadata.map { ($0.key, $0.value) }) { first, _ in first }
        guard metadata["format"] == Self.format else {
            throw .statistics("\(path): expected statistics that `sprintpack calibrate` gathered, found another safetensors file")
        }
        guard metadata["version"] == Self.version else {
            throw .statistics("\(path): expected version \(Self.version), found \(metadata["version"] ?? "none"); gather them again with this sprintpack")
        }
        prompts = (metadata["prompts"] ?? "").split(separator: "\n").map(String.init)
        devices = (metadata["devices"] ?? "").split(separator: "\n").map(String.init)
        let suffix = ".squares"
        for entry in file.header.entries where entry.name.hasSuffix(suffix) {
            let name = String(entry.name.dropLast(suffix.count))
            layers[name] = try Self.layer(name, file, digest: metadata["weight.\(name)"])
        }
        impacts = try Self.impacts(file)
        let others = impacts.map { $0.errors.count + 1 } ?? 0
        guard !layers.isEmpty, file.header.entries.count == 4 * layers.count + others else {
            throw .statistics("\(path): expected four tensors for each of its layers, found \(file.header.entries.count - others) for \(layers.count)")
        }
    }

    private static let drawsName = "draws"
    private static let impactsSuffix = ".impacts"

    /// The draws' numbers, and of each unit as many errors.
    private static func impacts(_ file: SafetensorsFile) throws(ConversionError) -> Impacts? {
        guard let count = file.entry(drawsName)?.shape.extents.first else { return nil }
        func read(_ name: String, _ dtype: DType, _ expected: String) throws(ConversionError) -> EncodedTensor {
            guard let entry = file.entry(name), entry.dtype == dtype, entry.shape == [count], (1...Impacts.mostDraws).contains(count) else {
                let found = file.entry(name).map { "\($0.dtype.rawValue) \($0.shape)" } ?? "none"
                throw .statistics("\(file.path): \(name): expected \(expected), found \(found)")
            }
            return try wrapping(ConversionError.safetensors) { () throws(SafetensorsError) in try file.read(name) }
        }
        let draws = try read(drawsName, .u64, "U64 [draws], 1 to \(Impacts.mostDraws)").elements(of: UInt64.self)
        var errors: [String: [Double]] = [:]
        for name in file.header.entries.map(\.name) where name.hasSuffix(impactsSuffix) {
            let found = try read(name, .f64, "F64 [\(count)]").elements(of: Double.self)
            guard found.allSatisfy({ $0 >= 0 && $0.isFinite }) else {
                throw .statistics("\(file.path): \(name): expected powers, found \(found.first { !($0 >= 0 && $0.isFinite) } ?? 0)")
            }
            errors[String(name.dropLast(impactsSuffix.count))] = found
        }
        return Impacts(draws: draws, errors: errors)
    }

    /// One layer's four tensors, which have to agree.
    private static func layer(_ name: String, _ file: SafetensorsFile, digest: String?) throws(ConversionError) -> Layer {
        func fail(_ part: String, _ expected: String) -> ConversionError {
            let found = file.entry("\(name).\(part)").map { "\($0.dtype.rawValue) \($0.shape)" } ?? "none"
            return .statistics("\(file.path): \(name).\(part): expected \(expected), found \(found)")
        }
        func read(_ part: String, _ dtype: DType, _ shape: Shape) throws(ConversionError) -> EncodedTensor {
            guard let entry = file.entry("\(name).\(part)"), entry.dtype == dtype, entry.shape == shape else { throw fail(part, "\(dtype.rawValue) \(shape)") }
            return try wrapping(ConversionError.safetensors) { () throws(SafetensorsError) in try file.read("\(name).\(part)") }
        }
        guard let inputs = file.entry("\(name).squares")?.shape.extents.first, (1...mostInputs).contains(inputs) else { throw fail("squares", "F64 [inputs]") }
        guard let rows = file.entry("\(name).numbers")?.shape.extents.first, (0...mostSamples).contains(rows) else {
            throw fail("numbers", "U64 [rows], at most \(mostSamples)")
        }
        guard let digest, digest.utf8.count == 64 else { throw .statistics("\(file.path): weight.\(name): expected a SHA-256, found \(digest ?? "none")") }
        var layer = Layer(inputs: inputs, weightDigest: digest)
        layer.squares = try read("squares", .f64, [inputs]).elements(of: Double.self)
        guard layer.squares.allSatisfy({ $0 >= 0 && $0.isFinite }) else {
            throw .statistics("\(file.path): \(name).squares: expected sums of squares, found \(layer.squares.first { !($0 >= 0 && $0.isFinite) } ?? 0)")
        }
        let count = try read("rows", .u64, []).elements(of: UInt64.self)[0]
        guard count >= UInt64(rows), count < 1 << 48 else { throw .statistics("\(file.path): \(name).rows: expected at least \(rows), found \(count)") }
        layer.count = Int(count)
        let numbers = try read("numbers", .u64, [rows]).elements(of: UInt64.self)
        let values = try read("samples", .bf16, [rows, inputs]).elements(of: UInt16.self)
        guard values.allSatisfy({ $0 & 0x7F80 != 0x7F80 }) else {
            throw .statistics("\(file.path): \(name).samples: expected finite values, found NaN or infinity")
        }
        layer.samples = numbers.enumerated().map { Sample(number: $1, values: Array(values[$0 * inputs..<($0 + 1) * inputs])) }
        layer.keepFirst(mostSamples)
        return layer
    }
}

extension EncodedTensor {
    /// - Precondition: as many elements as the shape has, of the type's size.
    fileprivate init<Element: BitwiseCopyable>(dtype: DType, shape: Shape, elements: [Element]) throws(MachineError) {
        precondition(elements.count == shape.elementCount && MemoryLayout<Element>.stride == dtype.byteCount)
        try self.init(dtype: dtype, shape: shape)
        unsafe elements.withUnsafeBytes { unsafe buffer.mutableBytes.copyMemory(from: $0) }
    }

    fileprivate func elements<Element: BitwiseCopyable>(of type: Element.Type) -> [Element] { unsafe Array(bytes.assumingMemoryBound(to: type)) }
}
