import Inference
import StrictJSON
import Tensors

/// The most bytes that buffers took in each stage of a picture.
struct StagePeaks {
    private(set) var stages: [(name: String, byteCount: Int)] = []
    private var current: String?

    var byteCount: Int { stages.map(\.byteCount).max() ?? 0 }

    mutating func begin(_ stage: GenerationStage) {
        let name: String
        switch stage {
        case .readingPrompt: name = "text encoder"
        case .loadingTransformer: name = "transformer"
        case .decoding: name = "autoencoder's decoder"
        case .encodingPicture, .encoding: name = "autoencoder's encoder"
        case .promptCut, .prefixCacheNotUsed, .step: return
        }
        end()
        current = name
    }

    mutating func end() {
        let peak = Memory.restartPeak()
        if let current { stages.append((current, peak)) }
        current = nil
    }
}

extension MemoryStatement {
    /// A table of the stages.
    var text: String {
        func sizes(_ bytes: Int...) -> [String] { bytes.map { ByteCount.text(UInt64($0)) } }
        let rows = stages.map { [$0.name] + sizes($0.weightBytes, $0.workingBytes, $0.byteCount) }
        return Table.text([["stage", "weights", "working", "with the process"]] + rows, right: [1, 2, 3])
            + "\nmemory needed: \(ByteCount.text(UInt64(byteCount))), that of the largest stage"
    }

    func json(measured: StagePeaks?) -> JSONValue {
        [
            "bytes": JSONValue(byteCount),
            "stages": .array(
                stages.map { stage in
                    var object: JSONObject = [
                        "name": .string(stage.name), "weightBytes": JSONValue(stage.weightBytes), "workingBytes": JSONValue(stage.workingBytes),
                        "bytes": JSONValue(stage.byteCount),
                    ]
                    if let peak = measured?.stages.first(where: { $0.name == stage.name }) { object["peakBufferBytes"] = JSONValue(peak.byteCount) }
                    return .object(object)
                }),
        ]
    }
}
