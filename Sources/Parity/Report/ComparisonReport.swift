package import Tensors

extension TraceComparison {
    /// The report of this comparison.
    ///
    /// - Parameters:
    ///   - environment: what the caller knows about the machine and the tool.
    ///   - command: what to type to get it again.
    ///   - encodePNG: makes a PNG of a picture, nil where it cannot; Parity has no encoder of its own.
    package func report(
        environment: [(name: String, value: String)], command: String, encodePNG: (Picture) -> [UInt8]? = { _ in nil }
    ) -> ParityReport {
        let failed = results.count { !$0.passed } + findings.count
        let judged = results.count + findings.count
        let headline =
            firstDivergent.map { "\(failed) of \(judged) common probes differ, the first of them \($0)" }
            ?? "all \(judged) common probes agree, as closely as \(coarseness) allows"
        let files = [
            (name: "reference", value: "\(reference.path) (\(reference.arithmetic.rawValue))"),
            (name: "compared", value: "\(other.path) (\(other.arithmetic.rawValue)\(other.weights == .exact ? "" : ", \(other.weights.rawValue) weights"))"),
        ]
        var report = ParityReport(
            kind: .comparison, title: "Comparison of two traces", passed: passed, headline: headline, environment: files + environment, command: command)
        report.findings = findings
        report.rungs = rungs
        let note = "In the order in which the data flowed; what comes first cannot be broken by what comes later."
        report.series = [ProbeSeries(title: "Probes", note: note, results: results)]
        report.onlyInReference = onlyInReference
        report.onlyInOther = onlyInOther
        if let pictures, pictures.reference.width == pictures.other.width, pictures.reference.height == pictures.other.height {
            let metrics = PictureMetrics(reference: pictures.reference, other: pictures.other)
            report.tables.append(metrics.table)
            report.pictures = ReportPicture.triptych(pictures.reference, pictures.other, encodePNG: encodePNG)
        }
        return report
    }

    /// What limits the agreement: "bfloat16 arithmetic", "int8 weights".
    private var coarseness: String {
        let weights = TraceWeights.coarser(reference.weights, other.weights)
        return weights == .exact ? "\(max(reference.arithmetic, other.arithmetic).rawValue) arithmetic" : "\(weights.rawValue) weights"
    }
}

extension PictureMetrics {
    /// The figures as a table of the report.
    package var table: ReportTable {
        let rows = [
            ["PSNR", psnr.map { "\(Decimal.fixed($0, digits: 2)) dB" } ?? "equal"],
            ["SSIM", ssim.map { Decimal.fixed($0, digits: 6) } ?? "picture too small"],
            ["largest difference", "\(maxLevels) of 255 levels"],
            ["values that differ", "\(differing)"],
        ]
        return ReportTable(title: "Picture", columns: ["Measure", "Value"], rows: rows, topic: .picture)
    }
}

extension ReportPicture {
    /// Reference, other, and their difference amplified, each at most 256 pixels wide and high.
    package static func triptych(_ reference: Picture, _ other: Picture, encodePNG: (Picture) -> [UInt8]?) -> [ReportPicture] {
        let factor = 32
        let difference = reference.amplifiedDifference(to: other, factor: factor)
        return [("reference", reference), ("ours", other), ("difference x\(factor)", difference)].compactMap { caption, picture in
            let small = picture.thumbnail(limit: 256)
            return encodePNG(small).map { ReportPicture(caption: caption, width: small.width, height: small.height, png: $0) }
        }
    }
}
