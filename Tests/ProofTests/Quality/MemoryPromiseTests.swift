import Checkpoints
import Conversion
import Foundation
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
        say("\(part): \(counted) of \(stated)", unless: counted <= stated && 8 * counted >= stated - Memory.restBytes)
    }

    private static func say(_ words: String, unless holds: Bool) {
        if !holds { FileHandle.standardError.write(Data("\(words)\n".utf8)) }
    }

    private static func tell(_ run: ExitTest.Result?) { #expect(run.map { String(decoding: $0.standardErrorContent, as: UTF8.self) } == "") }

    @Test(arguments: ["tiny-sprint", "mini"])
    func aCalibrationTakesWhatItSays(fixture: String) async {
        let run = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) { [fixture = fixture as String] in
            for (components, withImpacts) in [(ComponentSelection.standard, true), (.all, false)] {
                let plan = try ConversionPlan(Checkpoint.open(Fixtures.path(fixture)), ConversionOptions(.int8, components: components))
                try Self.check("calibration", Calibrator.byteCount(plan, withImpacts: withImpacts)) {
                    _ = try Calibrator.run(plan, withImpacts: withImpacts, on: .best)
                }
            }
        }
        Self.tell(run)
    }

    /// A file that is poor enough for its layers to be looked at one by one.
    @Test func measuringAndCertifyingTakeWhatTheySay() async {
        let run = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let folder = try TemporaryFolder()
            let checkpoint = try Checkpoint.open(Fixtures.path("tiny-sprint"))
            let rules = try RuleFile(Array("*.ff.out.weight int4-grouped\n*.self.qkv.weight int4-grouped\n*.cross.out.weight int4-grouped\n".utf8))
            let plan = try ConversionPlan(checkpoint, ConversionOptions(.compact, rules: rules))
            _ = try Converter.run(plan, on: .best, output: folder.file("x.sprint"), tool: "memory tests")
            let file = try PackedFile.open(folder.file("x.sprint"))
            try Self.check("quality", QualityMeasurement.byteCount(plan)) {
                let quality = try QualityMeasurement.run(file, checkpoint, on: .best, tool: "memory tests")
                Self.say("no layer was looked at: \(quality.word)", unless: !quality.layers.isEmpty)
            }
            try Self.check("certificate", Certificate.byteCount(making: plan)) {
                _ = try Certificate.make(of: file, from: checkpoint, on: .best, tool: "memory tests")
            }
        }
        Self.tell(run)
    }
}
