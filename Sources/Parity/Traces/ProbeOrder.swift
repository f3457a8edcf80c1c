internal import StrictJSON

/// The order in which data flows through the probes of Formats/trace.md: what comes first cannot be broken by what comes later.
package enum ProbeOrder {
    /// Probes in data-flow order; names that the format does not know come last, by their bytes.
    package static func sorted(_ names: [String]) -> [String] {
        names.map { (rank: rank($0), name: ExactString($0)) }
            .sorted { $0.rank == $1.rank ? $0.name < $1.name : $0.rank.lexicographicallyPrecedes($1.rank) }
            .map(\.name.string)
    }

    /// The probe's place, compared element by element.
    static func rank(_ name: String) -> [Int] {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        if let place = fixed[name] { return place }
        switch (parts.first, parts.count) {
        case ("text", 3) where parts[1] == "layer": return Int(parts[2]).map { [0, 3, $0] } ?? unknown
        case ("input", 3) where parts[1] == "noise": return Int(parts[2]).map { [3, $0, 9] } ?? unknown
        case ("dit", 3...): return transformer(parts)
        case ("vae", 4) where parts[2] == "stage":
            guard let stage = Int(parts[3]) else { return unknown }
            // The decoder runs from its highest stage down, the encoder up.
            return parts[1] == "dec" ? [5, 2, -stage] : parts[1] == "enc" ? [7, 2, stage] : unknown
        default: return unknown
        }
    }

    private static let unknown = [9]

    private static let fixed: [String: [Int]] = [
        "text.input_ids": [0, 0], "text.attention_mask": [0, 1], "text.embed": [0, 2],
        "prompt_mask": [1, 0], "prompt_embeds": [1, 1],
        "input.latents": [2, 0], "dit.guidance": [2, 1], "dit.caption": [2, 2],
        "latents": [4],
        "vae.dec.input": [5, 0], "vae.dec.conv_in": [5, 1], "image": [6, 0], "image_u8": [6, 1],
        "vae.enc.conv_in": [7, 1], "vae.enc.output": [7, 3],
    ]

    private static let stepParts: [String: Int] = [
        "input": 0, "timestep": 1, "time_embed": 2, "modulation": 3, "patch_embed": 4, "norm_out": 6, "output": 7, "denoised": 8, "latents": 10,
    ]

    private static func transformer(_ parts: [String]) -> [Int] {
        guard parts[1].hasPrefix("step"), let step = Int(parts[1].dropFirst(4)) else { return unknown }
        if parts.count == 3, let place = stepParts[parts[2]] { return [3, step, place] }
        guard parts.count >= 4, parts[2] == "block", let block = Int(parts[3]) else { return unknown }
        // What lies inside a block comes before its output.
        return [3, step, 5, block, parts.count == 4 ? 1 : 0]
    }

    /// Blocks of the transformer that the names speak of: the highest index and one.
    package static func depth(_ names: [String]) -> Int {
        names.map { rank($0) }.filter { $0.count == 5 && $0[0] == 3 }.map { $0[3] + 1 }.max() ?? 0
    }

    /// The mask of which token rows of a probe count, nil where all do.
    package static func mask(of name: String) -> String? {
        switch name {
        case "prompt_embeds", "dit.caption": "prompt_mask"
        case "text.embed": "text.attention_mask"
        case let name where name.hasPrefix("text.layer."): "text.attention_mask"
        default: nil
        }
    }
}
