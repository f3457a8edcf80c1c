package import Tensors

/// A map `[h, w, c]` and operations on it that nobody has needed the result of yet.
///
/// When somebody does, they run as one stream of rows, and no map between them is made.
package struct PendingMap<E: Executor> {
    private let executor: E
    private var map: E.Rows
    private var operations: [RowOperation<E>] = []

    package init(_ map: E.Rows, on executor: E) { (self.map, self.executor) = (map, executor) }

    package mutating func append(_ operation: RowOperation<E>) { operations.append(operation) }

    /// The map after all operations so far.
    package mutating func made() throws(MachineError) -> E.Rows {
        try make()
        return map
    }

    /// Changes the map after all operations so far.
    package mutating func update(_ body: (inout E.Rows) throws(MachineError) -> Void) throws(MachineError) {
        try make()
        try body(&map)
    }

    private mutating func make() throws(MachineError) {
        guard !operations.isEmpty else { return }
        map = try executor.run(operations, on: map)
        operations = []
    }
}
