package import Tensors

/// A map `[h, w, c]` and operations on it that nobody has needed the result of yet.
///
/// When somebody does, they run as one stream of rows, and no map between them is made.
package struct PendingMap {
    private let cpu: CPU
    private var map: Tensor
    private var operations: [RowOperation] = []

    package init(_ map: Tensor, on cpu: CPU) { (self.map, self.cpu) = (map, cpu) }

    package mutating func append(_ operation: RowOperation) { operations.append(operation) }

    /// The map after all operations so far.
    package mutating func made() throws(AllocationError) -> Tensor {
        try make()
        return map
    }

    /// Changes the map after all operations so far.
    package mutating func update(_ body: (inout Tensor) throws(AllocationError) -> Void) throws(AllocationError) {
        try make()
        try body(&map)
    }

    private mutating func make() throws(AllocationError) {
        guard !operations.isEmpty else { return }
        map = try cpu.run(operations, on: map)
        operations = []
    }
}
