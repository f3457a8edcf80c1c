import Synchronization

/// What is made once for all tests, by a key. Who wants the same waits for who makes it, and nobody else does.
package final class Once<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private final class Place: Sendable { let result = Mutex<Result<Value, any Error>?>(nil) }

    private let places = Mutex<[Key: Place]>([:])
    private let make: @Sendable (Key) throws -> Value

    package init(_ make: @escaping @Sendable (Key) throws -> Value) { self.make = make }

    package func get(_ key: Key) throws -> Value {
        let place = places.withLock { places in
            let place = places[key] ?? Place()
            places[key] = place
            return place
        }
        return try place.result.withLock { known in
            let result = known ?? Result { try make(key) }
            known = result
            return result
        }.get()
    }
}
