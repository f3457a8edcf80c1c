import Operations
internal import Synchronization

/// Layers that have been built and stay in memory, by the name of their weight without its suffix: the next step or job, or a model that differs
/// in one layer, takes them instead of loading and packing them again.
package final class BuiltLayers: Sendable {
    private let layers = Mutex<[String: any Sendable]>([:])
    private let base: BuiltLayers?
    private let excluded: Set<String>
    /// The parts of the model, as `SanaSprintWeights.layer` names them, whose layers stay; nil for all.
    private let parts: Set<String>?

    package convenience init() { self.init(parts: nil) }

    init(parts: Set<String>?) { (base, excluded, self.parts) = (nil, [], parts) }

    private init(_ base: BuiltLayers, except excluded: Set<String>) { (self.base, self.excluded, parts) = (base, excluded, nil) }

    /// The same layers but those of some weights, which are built anew each time.
    package func except(_ weights: [String]) -> BuiltLayers {
        BuiltLayers(self, except: Set(weights + weights.compactMap { $0.hasSuffix(".weight") ? String($0.dropLast(".weight".count)) : nil }))
    }

    /// Whether a layer stays that has, or is in, the part of this name.
    func keeps(_ name: String) -> Bool { parts?.contains(SanaSprintWeights.layer(of: name)) ?? true }

    /// Where what an executor makes of work that is done again stays with the layers that it reads; nil where one of their weights does not stay.
    func repeatedWork(_ name: String, reading weights: [String]) -> RepeatedWork? {
        guard base == nil, parts == nil || !weights.isEmpty && weights.allSatisfy(keeps) else { return nil }
        return layers.withLock { layers in
            if let known = layers[name] as? RepeatedWork { return known }
            let work = RepeatedWork()
            layers[name] = work
            return work
        }
    }

    /// The layer of a name, built by `make` unless there is one.
    func layer<Layer: Sendable>(_ name: String, _ make: () throws(InferenceError) -> Layer) throws(InferenceError) -> Layer {
        if let base { return excluded.contains(name) ? try make() : try base.layer(name, make) }
        guard keeps(name) else { return try make() }
        if let known = layers.withLock({ $0[name] }) as? Layer { return known }
        let made = try make()
        layers.withLock { $0[name] = made }
        return made
    }
}
