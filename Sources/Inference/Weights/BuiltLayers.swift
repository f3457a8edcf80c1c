internal import Synchronization

/// Layers that have been built, by the name of their weight without its suffix: a model that differs from another in one layer takes the
/// others from it instead of loading and packing them again.
package final class BuiltLayers: Sendable {
    private let layers = Mutex<[String: any Sendable]>([:])
    private let base: BuiltLayers?
    private let excluded: Set<String>

    package init() { (base, excluded) = (nil, []) }

    private init(_ base: BuiltLayers, except excluded: Set<String>) { (self.base, self.excluded) = (base, excluded) }

    /// The same layers but those of some weights, which are built anew each time.
    package func except(_ weights: [String]) -> BuiltLayers {
        BuiltLayers(self, except: Set(weights.map { $0.hasSuffix(".weight") ? String($0.dropLast(".weight".count)) : $0 }))
    }

    /// The layer of a name, built by `make` unless there is one.
    func layer<Layer: Sendable>(_ name: String, _ make: () throws(WeightError) -> Layer) throws(WeightError) -> Layer {
        if let base { return excluded.contains(name) ? try make() : try base.layer(name, make) }
        if let known = layers.withLock({ $0[name] }) as? Layer { return known }
        let made = try make()
        layers.withLock { $0[name] = made }
        return made
    }
}
