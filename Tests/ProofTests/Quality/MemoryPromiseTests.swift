import Checkpoints
import Conversion
import Inference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

@testable import Proof
@testable import Quality

/// What a conversion says that its parts take, held against buffers that were counted, in processes of their own.
@Suite struct MemoryPromiseTests {
    /// Fails where a part took more than it said, or so little that the number says nothing.
    private static func check(_ part: String, _ stated: Int, _ body: () throws -> Void) rethrows {
        let held = Memory.inUse
        _ = Memory.restartPeak()
        try body()
        let counted = Memory.peak - held
        precondition(counted <= stated && 8 * counted >= stated, "\(part): \(counted) of \(stated)")
    }

    @Test(arguments: ["tiny-sprint", "mini"])
    func aCalibrationTakesWhatItSays(fixture: String) async {
        await #expect(processExitsWith: .success) { [fixture = fixture as String] in
            for (components, withImpacts) in [(ComponentSelection.standard, true), (.all, false)] {
                let plan = try ConversionPlan(Checkpoint.open(Fixtures.path(fixture)), ConversionOptions(.int8, components: components))
                try Self.check("calibration", Calibrator.byteCount(plan, withImpacts: withImpacts)) {
                    _ = try Calibrator.run(plan, withImpacts: withImpacts, on: .best)
                }
            }
        }
    }

    /// A file that is poor enough for its layers to be looked at one by one.
    @Test(arguments: ["tiny-sprint", "mini"])
    func measuringAndCertifyingTakeWhatTheySay(fixture: String) async {
        await #expect(processExitsWith: .success) { [fixture = fixture as String] in
            let folder = try TemporaryFolder()
            let checkpoint = try Checkpoint.open(Fixtures.path(fixture))
            let rules = try RuleFile("dit.blocks.*.weight int4-grouped")
            let plan = try ConversionPlan(checkpoint, ConversionOptions(.compact, rules: rules))
            _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: "memory tests")
            let file = try PackedFile.open(folder.file("x.sprint"))
            try Self.check("quality", QualityMeasurement.byteCount(plan)) {
                let quality = try QualityMeasurement.run(file, checkpoint, on: .best, tool: "memory tests")
                precondition(!quality.layers.isEmpty, "no layer was looked at: \(quality.word)")
            }
            try Self.check("certificate", Certificate.byteCount(making: plan)) {
                _ = try Certificate.make(of: file, from: checkpoint, on: .best, tool: "memory tests")
            }
        }
    }
}
