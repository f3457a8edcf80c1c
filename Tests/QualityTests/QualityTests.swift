import Parity
import StrictJSON
import Testing

@testable import Quality

/// The word's rule, and the record that a file keeps: what Formats/quality.md says of both.
@Suite struct QualityTests {
    private static let sixteen = Quality.Spread(median: 55, worst: 50)

    private func word(_ velocity: (Double, Double), picture: (Double, Double)? = nil, sixteen: (Double, Double) = (55, 50)) -> Quality.Word {
        func figure(_ own: (Double, Double)) -> Quality.Figure {
            Quality.Figure(file: Quality.Spread(median: own.0, worst: own.1), sixteen: Quality.Spread(median: sixteen.0, worst: sixteen.1))
        }
        return Quality.Word(velocity: figure(velocity), picture: picture.map(figure))
    }

    @Test func theWordIsThatOfTheWorstFigure() {
        let exact = Double.infinity
        #expect(word((54.5, 49.5)) == .asGoodAs16Bit && word((54.4, 50)) == .good && word((60, 49.4)) == .good)
        #expect(word((exact, exact), sixteen: (exact, exact)) == .asGoodAs16Bit && word((90, 90), sixteen: (exact, exact)) == .good)
        #expect(word((40, 35)) == .good && word((39.9, 39.9)) == .fair && word((44, 34.9)) == .fair)
        #expect(word((30, 25)) == .fair && word((29.9, 29.9)) == .poor && word((44, 24.9)) == .poor)
        // A picture of 50 dB is as good as any.
        #expect(word((55, 50), picture: (50, 50)) == .asGoodAs16Bit && word((55, 50), picture: (54, 49.4)) == .good)
        #expect(word((55, 50), picture: (39, 36)) == .fair && word((55, 50), picture: (45, 24)) == .poor)
        // Where 16-bit arithmetic itself is far off, twice its error is as good as any limit.
        #expect(word((29.5, 22), sixteen: (32, 24)) == .good && word((28.9, 22), sixteen: (32, 24)) == .poor)
    }

    @Test func medianAndWorst() {
        #expect(Quality.Spread([3, 1, 2]) == Quality.Spread(median: 2, worst: 1))
        #expect(Quality.Spread([3, 1, 2, 8]) == Quality.Spread(median: 2.5, worst: 1))
        #expect(Quality.Spread([.infinity, 1, .infinity, 8]) == Quality.Spread(median: 8, worst: 1))
        #expect(Quality.Spread([.infinity]) == Quality.Spread(median: .infinity, worst: .infinity))
    }

    // MARK: - The record

    private static let record = Quality(
        contentHash: "00ff", tool: "tests", prompts: 2, side: 8,
        velocities: [
            Quality.Velocity(draw: 0, time: 1.0000036, sqnr: Quality.Pair(file: 21.5, sixteen: 55)),
            Quality.Velocity(draw: 1, time: 0.5, sqnr: Quality.Pair(file: .infinity, sixteen: .infinity)),
        ],
        pictures: [
            Quality.PictureFigures(draw: 0, steps: 2, psnr: Quality.Pair(file: 31, sixteen: .infinity), ssim: Quality.Pair(file: 0.75, sixteen: 1)),
            Quality.PictureFigures(draw: 1, steps: 4, psnr: Quality.Pair(file: 31, sixteen: 60), ssim: nil),
        ], features: [40.5, .infinity], layers: [Quality.Layer(name: "dit.blocks.00.ff.out.weight", gain: 2.5, judgedBy: .velocity)])

    @Test func aRecordIsReadAsItWasWritten() throws {
        let text = String(decoding: Self.record.attachment.bytes, as: UTF8.self)
        #expect(try Quality(JSONValue.parse(Array(text.utf8))) == Self.record && Self.record.word == .poor)
        #expect(text.contains(#""word":"poor""#) && text.contains(#""steps":4"#) && text.contains(#""ssim":null"#))
    }

    @Test(
        "what no measurement gives is refused",
        arguments: [
            (#""version":1"#, #""version":2"#), (#""word":"poor""#, #""word":"good""#), (#""word":"poor""#, #""word":7"#),
            (#""prompts":2"#, #""prompts":0"#), (#""prompts":2"#, #""prompts":1"#), (#""prompts":2"#, #""prompts":1e99"#),
            (#""file":21.5"#, #""file":1e9"#), (#""file":21.5"#, #""file":"21.5""#), (#""file":21.5,"#, ""), (#""file":0.75"#, #""file":1.5"#),
            (#""draw":1,"sqnr""#, #""draw":2,"sqnr""#), (#""draw":1,"sqnr""#, #""draw":-1,"sqnr""#), (#""time":0.5"#, #""time":1.5"#),
            (#""time":0.5"#, #""time":null"#), (#""steps":4"#, #""steps":0"#), (#""features":[40.5,null]"#, #""features":[40.5]"#),
            (#""features":[40.5,null]"#, #""features":[40.5,"x"]"#), (#""judgedBy":"velocity""#, #""judgedBy":"taste""#), (#""gain":2.5"#, #""gain":null"#),
            (#""layers":["#, #""layers":[{},{},{},"#), (#""tool":"tests""#, #""tool":null"#), (#""contentHash":"00ff","#, ""),
        ])
    func hostileRecords(_ from: String, _ to: String) throws {
        let text = String(decoding: Self.record.attachment.bytes, as: UTF8.self)
        #expect(text.contains(from))
        let changed = try JSONValue.parse(Array(text.replacing(from, with: to).utf8))
        #expect(throws: JSONError.self) { try Quality(changed) }
    }

    @Test func noVelocitiesAreNoRecord() throws {
        var object = try #require(Self.record.json.object)
        object["velocities"] = []
        #expect(throws: JSONError.self) { try Quality(.object(object)) }
        #expect(throws: JSONError.self) { try Quality([1, 2]) }
    }

    @Test func whatAReportSaysOfIt() {
        let verdict = Self.record.verdict(isMeasured: false)
        #expect(verdict.word == "poor" && !verdict.isGood && verdict.basis.contains("when the file was made"))
        #expect(verdict.heldBack == "held back by dit.blocks.00.ff.out.weight (velocity +2.5 dB in 16 bits)")
        var told = Self.record
        told.layers = []
        #expect(told.verdict(isMeasured: true).heldBack == nil, "its velocities are off by themselves")
        let near = Quality(
            contentHash: "00ff", tool: "tests", prompts: 1, side: 8,
            velocities: [Quality.Velocity(draw: 0, time: 1, sqnr: Quality.Pair(file: 45, sixteen: 55))],
            pictures: [Quality.PictureFigures(draw: 0, steps: 2, psnr: Quality.Pair(file: 31, sixteen: 60), ssim: nil)], features: [20.25], layers: [])
        #expect(near.verdict(isMeasured: true).heldBack == "held back by the text encoder, whose features are 20.2 dB from the checkpoint's")
        #expect(verdict.table?.rows[0] == ["velocity", "21.5 dB", "21.5 dB", "55.0 dB", "55.0 dB"])
        #expect(verdict.json["velocity_db"]?["sixteen"]?["worst"] == .number(55) && verdict.json["steps"] == [2, 4])
    }
}
