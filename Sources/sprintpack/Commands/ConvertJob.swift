import Checkpoints
import Conversion
import Files
import Inference
import Operations
import PackedFiles
import Parity
import Proof
import Quality
import StrictJSON
import Tensors

/// Writes the file of a policy. Where a policy was searched for and its file is not what was predicted, the search goes on from what was found.
struct ConvertJob {
    let source: Checkpoint
    let output: String
    let force: Bool
    let common: CommonOptions
    let minSQNR: Double?
    /// Whether less memory than usual is used where the machine or the container has less.
    var adaptsMemory = false

    /// Conversions that a search may take.
    private static let mostAttempts = 4
    /// Of the size that was asked for, what a file may leave unused before the search goes on.
    private static let mostUnused = 0.005
    /// Attempts after which any file that fits is kept.
    private static let closeAttempts = 2
    /// Parts that the compression of attachments is counted in: few, so that what differs from one CPU to the next in the last digits seldom counts.
    private static let ratioParts = 32.0
    /// More than the record of quality takes.
    private static let qualityBytes = 8192
    /// dB that a search aims above what its last file lacked.
    private static let margin = 0.1

    /// What is stored how.
    struct Policy {
        var choices: LayerChoices?
        var search: PolicySearch?
        var prediction: PolicySearch.Prediction?

        init(choices: LayerChoices? = nil) { self.choices = choices }

        init(_ search: PolicySearch, _ goal: PolicySearch.Goal, correction: (bytes: Double, decibels: Double)) throws {
            self.search = search
            let (choices, prediction) = try search.policy(for: goal, correction: correction)
            (self.choices, self.prediction) = (choices, prediction)
        }
    }

    /// What was made of one policy.
    private final class Attempt {
        var certified: (probes: Int, bytes: Int, seconds: Double, passed: Bool)?
        var verdict: (verdict: ReportVerdict, seconds: Double)?
        var velocity: Double?
        var contentBytes: Int?
        /// Of the whole file.
        var bytes: Int?
        /// Of what is computed from the content, before compression.
        var attachedBytes = 0
        /// Why the file was not kept.
        var shortfall: String?
    }

    func run(_ options: ConversionOptions, _ policy: Policy, _ goal: PolicySearch.Goal?) throws -> Outcome {
        var (policy, correction, count) = (policy, Self.firstCorrection(goal), 1)
        while true {
            let plan = try plan(options, policy.choices)
            let attempt = Attempt()
            let start = ProgressBar.now()
            do {
                let summary = try convert(
                    plan, attempt,
                    accepting: { bytes, isComplete in
                        guard isComplete else { return Self.fits(bytes, goal) }
                        return Self.fits(bytes, goal) && (count > Self.closeAttempts || Self.isClose(bytes, goal, policy))
                    })
                return outcome(plan, summary, attempt, policy, goal, seconds: ProgressBar.now() - start)
            } catch {
                guard let shortfall = attempt.shortfall else { throw error }
                guard count < Self.mostAttempts, let search = policy.search, let goal, let prediction = policy.prediction,
                    Self.correct(&correction, attempt, goal, prediction)
                else { throw CommandFailure.failed("\(output): \(shortfall); nothing was written") }
                let next = try Policy(search, goal, correction: correction)
                guard next.choices?.choices != policy.choices?.choices else { throw CommandFailure.failed("\(output): \(shortfall); nothing was written") }
                (policy, count) = (next, count + 1)
            }
        }
    }

    /// Room for what is attached to a large file: its certificate.
    static func firstCorrection(_ goal: PolicySearch.Goal?) -> (bytes: Double, decibels: Double) {
        guard case .bytes(let most) = goal else { return (0, 0) }
        return (Double(most) * 0.004, 0)
    }

    private static func fits(_ bytes: UInt64, _ goal: PolicySearch.Goal?) -> Bool {
        if case .bytes(let most) = goal { bytes <= most } else { true }
    }

    /// Whether a file uses the size that was asked for, as nearly as one can.
    private static func isClose(_ bytes: UInt64, _ goal: PolicySearch.Goal?, _ policy: Policy) -> Bool {
        guard case .bytes(let most) = goal else { return true }
        return Double(bytes) >= (1 - mostUnused) * Double(most) || policy.prediction?.isBest == true
    }

    /// Learns from a file that was not kept; false where it says nothing.
    ///
    /// By what does not depend on the CPU or the number of threads: bytes of the content, and those of attachments before compression, with their ratio in
    /// few parts; decibels in tenths.
    private static func correct(
        _ correction: inout (bytes: Double, decibels: Double), _ attempt: Attempt, _ goal: PolicySearch.Goal, _ prediction: PolicySearch.Prediction
    ) -> Bool {
        switch goal {
        case .bytes:
            guard let content = attempt.contentBytes, let predicted = prediction.bytes else { return false }
            // Numbers in text have more digits or fewer.
            let attached = Double(attempt.attachedBytes / 4096 * 4096)
            let ratio = attempt.bytes.map { (ratioParts * Double($0 - content) / max(1, attached)).rounded(.up) / ratioParts } ?? 1
            correction.bytes += Double(content) + attached * ratio - predicted
        case .sqnr(let decibels):
            guard let found = attempt.velocity, found < decibels else { return false }
            correction.decibels += ((decibels - found) * 10).rounded(.up) / 10 + margin
        case .share: return false
        }
        return true
    }

    private func plan(_ options: ConversionOptions, _ choices: LayerChoices?) throws -> ConversionPlan {
        var options = options
        options.choose(choices)
        let plan = try ConversionPlan(composing: source, options)
        guard adaptsMemory, let memory = AvailableMemory.now(), plan.memoryNeeded > memory.byteCount else { return plan }
        options.memoryBound = memory.byteCount
        do throws(ConversionError) { return try ConversionPlan(composing: source, options) } catch {
            guard case .memoryBound(let needed, _, _) = error else { throw error }
            throw MachineError.unavailable(byteCount: needed, available: memory.byteCount, owner: memory.owner)
        }
    }

    /// - Parameter accepting: whether content, or a complete file, of so many bytes is kept.
    private func convert(_ plan: ConversionPlan, _ attempt: Attempt, accepting: (UInt64, _ isComplete: Bool) -> Bool) throws -> PackedFileWriter.Summary {
        let bar = common.progress("convert")
        defer { bar.finish() }
        func measured(_ file: PackedFile) throws(ConversionError) -> [Converter.Attachment] {
            bar.finish()
            guard !QualityMeasurement.isExact(file.directory) else {
                attempt.verdict = (Quality.exact, 0)
                return []
            }
            let (began, steps) = (ProgressBar.now(), common.progress("measure", unit: .steps))
            defer { steps.finish() }
            let found: Quality
            do throws(QualityMeasurement.Failure) {
                found = try QualityMeasurement.run(file, source, on: .best, tool: Version.tool) { steps.update(UInt64($0), of: UInt64($1)) }
            } catch { throw .quality("\(error)") }
            attempt.verdict = (found.verdict(isMeasured: true), ProgressBar.now() - began)
            attempt.velocity = found.velocity.file.median
            attempt.shortfall = minSQNR.flatMap(found.shortfall)
            if let shortfall = attempt.shortfall { throw .quality(shortfall) }
            return [found.attachment]
        }
        attempt.attachedBytes = (plan.components.contains(.quality) ? Self.qualityBytes : 0) + (plan.prefixCache.map { Int($0.byteCount) } ?? 0)
        func certify(_ file: PackedFile) throws(ConversionError) -> [Converter.Attachment] {
            bar.finish()
            let (began, steps) = (ProgressBar.now(), common.progress("certify", unit: .steps))
            defer { steps.finish() }
            let certificate: Certificate
            do throws(ProofError) {
                certificate = try Certificate.make(of: file, from: source, on: .best, tool: Version.tool) { steps.update(UInt64($0), of: UInt64($1)) }
            } catch { throw .certificate("\(error)") }
            let attachments = certificate.attachments
            attempt.attachedBytes += attachments.reduce(0) { $0 + $1.bytes.count }
            attempt.certified = (certificate.probeCount, attachments.reduce(0) { $0 + $1.bytes.count }, ProgressBar.now() - began, certificate.passed)
            return attachments
        }
        func accept(_ bytes: UInt64, _ isComplete: Bool) throws(ConversionError) {
            if isComplete { attempt.bytes = Int(bytes) } else { attempt.contentBytes = Int(bytes) }
            guard !accepting(bytes, isComplete) else { return }
            attempt.shortfall = "found a file of \(ByteCount.text(bytes)), not the size that was asked for (--target-size)"
            throw .target(attempt.shortfall ?? "")
        }
        return try Converter.run(
            plan, on: .best, output: output, replace: force, tool: Version.tool, progress: { bar.update($0.done, of: $0.total) }, certify: certify,
            measure: measured, accept: accept)
    }
}

extension ConvertJob {
    private func outcome(
        _ plan: ConversionPlan, _ summary: PackedFileWriter.Summary, _ attempt: Attempt, _ policy: Policy, _ goal: PolicySearch.Goal?, seconds: Double
    ) -> Outcome {
        let read = plan.sourceByteCount
        let worst = summary.directory.worstTensor
        var lines = [
            "\(output)  \(ByteCount.text(summary.totalByteCount)), was \(ByteCount.text(read)) "
                + "(\(Decimal.fixed(100 * Double(summary.totalByteCount) / Double(max(1, read)), digits: 1)) %), in \(Decimal.fixed(seconds, digits: 2)) s"
        ]
        if let worst, let error = worst.error {
            lines.append("largest weight error: \(worst.name)  relative L2 \(Decimal.short(error.relativeL2))")
        }
        if let certified = attempt.certified {
            lines.append(
                "certificate: \(certified.probes) probes, \(ByteCount.text(UInt64(certified.bytes))), in \(Decimal.fixed(certified.seconds, digits: 2)) s"
                    + (certified.passed ? "" : "; not all of its claims hold: see verify"))
        }
        lines += source.adapterLines + source.omissionLines
        var search: JSONValue = .null
        if let prediction = policy.prediction, let goal {
            let velocity = attempt.velocity.map { ", \(Decimal.fixed($0, digits: 1)) dB" } ?? ""
            lines.append("search: \(prediction.text); found \(ByteCount.text(summary.totalByteCount))\(velocity)")
            search = prediction.json(of: goal)
        }
        if let quality = attempt.verdict {
            lines += quality.verdict.lines + (quality.seconds > 0 ? ["  in \(Decimal.fixed(quality.seconds, digits: 2)) s"] : [])
        }
        let json: JSONObject = [
            "output": .string(output), "bytes": .integer(Int64(summary.totalByteCount)), "sourceBytes": .integer(Int64(read)),
            "seconds": .number(seconds), "syncSeconds": .number(summary.syncDuration / .seconds(1)), "preset": .string(summary.directory.preset),
            "contentHash": .string(summary.contentHash), "leftOut": source.omissionsJSON, "adapters": source.adaptersJSON, "notes": source.notesJSON,
            "tensors": JSONValue(summary.directory.tensors.count), "worstTensor": worst.map { .string($0.name) } ?? .null,
            "prefixCacheBytes": plan.prefixCache.map { .integer(Int64($0.byteCount)) } ?? .null,
            "certificate": attempt.certified.map {
                ["probes": JSONValue($0.probes), "bytes": JSONValue($0.bytes), "seconds": .number($0.seconds), "passed": .bool($0.passed)]
            } ?? .null,
            "search": search, "quality": attempt.verdict?.verdict.json ?? .null,
            "worstRelativeL2": worst?.error.map { .number($0.relativeL2) } ?? .null, "peakBytes": JSONValue(Memory.peak),
        ]
        return Outcome(text: lines.joined(separator: "\n"), json: json, outputs: [output])
    }
}

extension ConversionPlan {
    /// A plan with room for what other rooms compute for the file.
    init(composing source: Checkpoint, _ options: ConversionOptions) throws(ConversionError) {
        try self.init(source, options)
        if components.contains(.certificate) { try reserve(Certificate.byteCount(making: self), for: .certificate) }
        if components.contains(.quality) { try reserve(QualityMeasurement.byteCount(self), for: .quality) }
    }
}

extension PolicySearch.Prediction {
    var text: String {
        let size = bytes.map { "\(ByteCount.text(UInt64($0))), " } ?? ""
        let features = features.map { ", \(Decimal.fixed($0, digits: 1)) dB by the text encoder" } ?? ""
        return "predicted \(size)velocities of \(Decimal.fixed(velocity, digits: 1)) dB\(features)"
    }
}
