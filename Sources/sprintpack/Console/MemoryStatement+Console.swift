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
    /// Why it cannot be done with what is left of the device's own memory; nil where it can, and where there is none.
    func refusal(on device: UsedDevice, _ memory: (free: Int, total: Int)?) -> String? {
        guard let ownBytes, let memory, ownBytes > memory.free else { return nil }
        return "out of GPU memory: expected \(ownBytes) bytes for this work, found \(memory.free) of \(memory.total) free on \(device.name); "
            + "end other programs that use it, ask for a smaller picture, or compute on the CPU (--device cpu)"
    }

    /// What a dry run says.
    func outcome(on device: UsedDevice, _ memory: (free: Int, total: Int)?, _ refusal: String?) -> Outcome {
        var json: JSONObject = ["memory": json(measured: nil)]
        guard let memory, let ownBytes else { return Outcome(text: text, json: json) }
        json["device"] = ["name": .string(device.name), "bytes": JSONValue(ownBytes), "free": JSONValue(memory.free), "total": JSONValue(memory.total)]
        if let refusal { json["error"] = ["status": JSONValue(Int(ExitStatus.couldNot.rawValue)), "message": .string(refusal)] }
        let sizes = [ownBytes, memory.free, memory.total].map { ByteCount.text(UInt64($0)) }
        return Outcome(
            status: refusal == nil ? .ok : .couldNot,
            text: "\(text)\nGPU memory needed: \(sizes[0]); \(sizes[1]) of \(sizes[2]) are free on \(device.name)" + (refusal.map { "\n\($0)" } ?? ""),
            json: json)
    }

    /// A table of the stages.
    var text: String {
        func sizes(_ bytes: [Int]) -> [String] { bytes.map { ByteCount.text(UInt64($0)) } }
        let rows = stages.map { [$0.name] + sizes([$0.weightBytes, $0.workingBytes, $0.byteCount] + [$0.ownBytes].compactMap { $0 }) }
        let columns = ["stage", "weights", "working", "with the process"] + (ownBytes == nil ? [] : ["on the GPU"])
        return Table.text([columns] + rows, right: [1, 2, 3, 4]) + "\nmemory needed: \(ByteCount.text(UInt64(byteCount))), that of the largest stage"
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
                    if let own = stage.ownBytes { object["deviceBytes"] = JSONValue(own) }
                    if let peak = measured?.stages.first(where: { $0.name == stage.name }) { object["peakBufferBytes"] = JSONValue(peak.byteCount) }
                    return .object(object)
                }),
        ]
    }
}
