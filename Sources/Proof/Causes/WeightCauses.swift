import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Parity
import StrictJSON
import Tensors

/// Says of packed tensors that differ from the checkpoint's what was done to them.
struct WeightCauses {
    private let file: PackedFile
    private let weights: CheckpointWeights
    /// Tensors beyond this are not searched: a search holds three copies in float32.
    private static let mostElements = 1 << 26
    /// So many tensors are searched; where more differ, the first ones say why.
    private static let mostTensors = 40

    init(_ file: PackedFile, _ checkpoint: Checkpoint) throws(ProofError) {
        self.file = file
        let components = file.directory.components.compactMap { Component(rawValue: $0.name) }
        do throws(ConversionError) {
            weights = try CheckpointWeights(checkpoint, fusions: Fusions(names: file.directory.fusions), components: .listed(components))
        } catch { throw .conversion(error) }
    }

    /// Adds the cause to the findings whose subject is a packed tensor of other values than the checkpoint's.
    func explain(_ findings: [Finding], progress: (String) -> Void) throws(ProofError) -> [Finding] {
        var causes: [ExactString: Cause?] = [:]
        var result = findings
        for index in findings.indices {
            let name = ExactString(findings[index].subject)
            guard let entry = file.entry(findings[index].subject), entry.shape.elementCount <= Self.mostElements else { continue }
            if causes[name] == nil {
                guard causes.count < Self.mostTensors else { continue }
                progress(entry.name)
                do { causes[name] = .some(try cause(of: entry)) } catch let error as MachineError { throw .machine(error) } catch {
                    // What cannot be read has a finding of its own that says so.
                    causes[name] = .some(nil)
                }
            }
            result[index].cause = causes[name] ?? nil
        }
        return result
    }

    private func cause(of entry: TensorEntry) throws -> Cause? {
        let shape = entry.shape
        guard let source = try values(entry.name), source.count == shape.elementCount else { return nil }
        let found = try entry.scheme.decode(try file.planes(of: entry), shape: shape)
        let expected = try rounded(source, entry)
        let rounding = TensorPair(expected: source, found: expected, tolerance: 0).distance
        let pair = TensorPair(
            expected: expected, found: found, parts: parts(of: entry), tolerance: max(2.5 * rounding, 1e-6), stored: entry.planes[0].dtype)
        return try CauseSearch.run(pair, others: neighbours(of: entry))
    }

    private func values(_ name: String) throws -> Tensor? {
        weights.contains(name) ? try weights.weight(name).widened() : nil
    }

    /// The source on the file's grid: what an honest file holds.
    private func rounded(_ source: Tensor, _ entry: TensorEntry) throws -> Tensor {
        let planes = try entry.scheme.allocate(source.shape, whole: file.wholePlanes(of: entry))
        // A source that the scheme refuses has no honest form; the difference is then told from its own values.
        guard (try? entry.scheme.encode(source, into: planes, at: 0, subject: entry.name)) != nil else { return source }
        return try entry.scheme.decode(planes, shape: source.shape)
    }

    /// The rows that each source tensor of a fused weight takes.
    private func parts(of entry: TensorEntry) -> [TensorPair.Part] {
        guard case .rows(let sources) = weights.recipe(entry.name) else { return [] }
        var row = 0
        return sources.map { source in
            defer { row += source.rows }
            return .init(source.name, row..<row + source.rows)
        }
    }

    /// Tensors of the same shape: first those of the same name in other blocks, nearest first, then all others.
    private func neighbours(of entry: TensorEntry) -> [CauseSearch.Candidate] {
        let (stem, place) = Self.stem(entry.name)
        let candidates = file.directory.tensors.filter { $0.shape == entry.shape && $0.name != entry.name }.map { other in
            let (otherStem, otherPlace) = Self.stem(other.name)
            return (entry: other, isSame: otherStem == stem, distance: zip(place, otherPlace).reduce(0) { $0 + abs($1.0 - $1.1) })
        }
        let order = candidates.sorted { ($0.isSame ? 0 : 1, $0.distance, $0.entry.name) < ($1.isSame ? 0 : 1, $1.distance, $1.entry.name) }
        return order.prefix(64).map { candidate in
            CauseSearch.Candidate("the checkpoint's \(candidate.entry.name)") { try values(candidate.entry.name).map { try rounded($0, entry) } }
        }
    }

    /// A name without its numbers, and the numbers.
    static func stem(_ name: String) -> (String, [Int]) {
        let parts = name.split(separator: ".")
        return (parts.map { Int($0) == nil ? String($0) : "#" }.joined(separator: "."), parts.compactMap { Int($0) })
    }
}
