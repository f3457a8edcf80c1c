package import Checkpoints
import Files
import Inference
package import Operations
package import PackedFiles
import StrictJSON
import Tensors

/// Makes the tensors of a packed file again from the checkpoint, to compare them with what the file holds: some rows of both at a time, on all cores.
package struct Rederivation: Sendable {
    let file: PackedFile
    let checkpoint: Checkpoint
    let frozenSchedule: FrozenSchedule?
    let edit: RowEdit?
    let executor: CPU
    private let pool = WorkPool()
    private let tensors: [ExactString: PlannedTensor]
    /// Packed names that the weight table has and the file lacks.
    package let missing: [String]

    /// Resolves the weight table for the components and fusions of the file against the checkpoint.
    package init(_ file: PackedFile, _ checkpoint: Checkpoint, on executor: CPU, edit: RowEdit? = nil) throws(ConversionError) {
        self.executor = executor
        self.edit = edit
        self.file = file
        self.checkpoint = checkpoint
        let fusions = Fusions(names: file.directory.fusions)
        let components = Component.allCases.filter { component in file.directory.components.contains { $0.name == component.rawValue } }
        frozenSchedule = try wrapping(ConversionError.inference, try FrozenSchedule(policy: file.directory.policy))
        let resolution = try WeightResolution(checkpoint, components: components, fusions: fusions, frozen: frozenSchedule, edit: edit)
        tensors = Dictionary(uniqueKeysWithValues: resolution.tensors.map { (ExactString($0.name), $0) })
        missing = resolution.tensors.map(\.name).filter { file.entry($0) == nil }
    }

    /// What became of one packed tensor.
    package struct Finding: Sendable, Equatable {
        let name: String
        /// What the file's entry says otherwise than the weight table: shape, layout, role, sources. Empty where they agree.
        package let disagreements: [String]
        package private(set) var sources: [SourceFinding] = []
        /// Where the planes that were made again first differ from the file's; nil where they are bit-identical.
        package private(set) var difference: Difference?
        /// The distance of the file's decoded values from the source's, in float32 after folding; zero where they are exact.
        package private(set) var error = QuantizationError(relativeL2: 0, maxAbs: 0)
        /// The file's values against the scheme's own bound.
        package private(set) var bound: BoundCheck?

        package var isBitIdentical: Bool { difference == nil }
        /// Whether checkpoint and file agree in everything.
        var holds: Bool { disagreements.isEmpty && difference == nil && sources.allSatisfy(\.isSame) && bound?.holds != false }
    }

    /// The digest of a source tensor's bytes as the file recorded it and as the checkpoint has it now.
    package struct SourceFinding: Sendable, Equatable {
        package let name: String
        package let recorded: String
        package let found: String
        package var isSame: Bool { recorded == found }
    }

    package struct Difference: Sendable, Equatable {
        package let plane: String
        /// Index of the element in its plane.
        package let element: Int
        /// Elements of all planes that differ.
        package var count: Int
    }

    /// Derives one tensor of the file again.
    /// - Throws: what converting it would have thrown, and what reading it from the file did.
    package func check(_ entry: TensorEntry) throws(ConversionError) -> Finding {
        guard var tensor = tensors[ExactString(entry.name)] else {
            return Finding(name: entry.name, disagreements: ["the weight table has no such tensor"])
        }
        tensor.storage = Storage(entry.scheme, activations: entry.activations)
        let disagreements = Self.disagreements(entry, tensor)
        if case .computed(let computation, _) = tensor.row.recipe { return try checkComputed(entry, tensor, by: computation, disagreements: disagreements) }
        // Planes of another shape have no rows to compare.
        guard entry.shape == tensor.row.shape else { return Finding(name: entry.name, disagreements: disagreements) }
        let rows = try TensorRows(tensor, checkpoint)
        var comparison = TensorComparison(entry.scheme, columns: tensor.row.shape.columns)
        let digests = SourceDigests(rows, HashingStreams(pool, room: Self.mostUnhashed))
        var waiting: [Pending<Result<RowComparison, ConversionError>>] = []
        func takeNext() throws(ConversionError) {
            let piece: RowComparison = try waiting.removeFirst().wait().get()
            digests.append(piece.chunk)
            comparison.add(piece)
        }
        var first = 0
        for piece in rows.pieces(rows: max(1, WorkingSet.mostElements / max(1, tensor.row.shape.columns))) {
            if waiting.count > Self.mostPieces(pool) { try takeNext() }
            let place = first..<first + piece.rows.count
            waiting.append(
                pool.submit { [file] () -> Result<RowComparison, ConversionError> in
                    do throws(ConversionError) {
                        return .success(try RowComparison(rows, piece, of: entry, at: place, in: file))
                    } catch { return .failure(error) }
                })
            first = place.upperBound
        }
        while !waiting.isEmpty { try takeNext() }
        let sources = Self.findings(try digests.records()(), entry)
        return Finding(
            name: entry.name, disagreements: disagreements, sources: sources, difference: comparison.difference, error: comparison.error,
            bound: comparison.bound)
    }

    /// What was read beside what the file recorded of it.
    static func findings(_ found: [SourceRecord], _ entry: TensorEntry) -> [SourceFinding] {
        found.map { source in
            let recorded = entry.sources.first { ExactString($0.name) == ExactString(source.name) }
            return SourceFinding(name: source.name, recorded: recorded?.sha256 ?? "", found: source.sha256)
        }
    }

    /// Pieces of a tensor that are compared ahead.
    private static func mostPieces(_ pool: WorkPool) -> Int { pool.threads + 1 }
    /// Bytes that wait to be hashed.
    private static let mostUnhashed = 8 << 20

    private static func disagreements(_ entry: TensorEntry, _ tensor: PlannedTensor) -> [String] {
        var list: [String] = []
        func compare(_ what: String, _ found: String, _ expected: String) {
            if found != expected { list.append("\(what): expected \(expected), found \(found)") }
        }
        compare("component", entry.component, tensor.component.rawValue)
        compare("shape", "\(entry.shape)", "\(tensor.row.shape)")
        compare("role", entry.role, tensor.row.role.rawValue)
        compare("layout", entry.layout.rawValue, tensor.row.layout.rawValue)
        let expected = tensor.records(digests: (tensor.sources + tensor.operands).map { _ in "" })
        compare("sources", entry.sources.map(Self.text).joined(separator: "; "), expected.map(Self.text).joined(separator: "; "))
        return list
    }

    private static func text(_ source: SourceRecord) -> String {
        let added = source.additions.map { " + \($0.factor) * \($0.names.joined(separator: ", "))" }.joined()
        return "\(source.name) \(source.dtype.rawValue) \(source.shape)\(added)\(source.rowScale.map { " * \($0)" } ?? "")"
    }
}
