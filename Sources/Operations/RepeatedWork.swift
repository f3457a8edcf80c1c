internal import Synchronization
package import Tensors

/// Values that work is done with which else is the same each time: in groups, as whoever does it knows them apart.
package struct RepeatedInputs<E: Executor>: Sendable {
    package var rows: [[E.Rows]]
    package var keyValues: [[E.KeyValues]]

    package init(rows: [[E.Rows]], keyValues: [[E.KeyValues]]) { (self.rows, self.keyValues) = (rows, keyValues) }
}

/// Where an executor keeps what it has made of work that is done again: as long as all layers that the work reads are there.
package final class RepeatedWork: Sendable {
    private let value = Mutex<(any Sendable)?>(nil)

    package init() {}

    /// What is kept here, made where there is nothing.
    package func kept<Value: Sendable>(_ make: () -> Value) -> Value {
        value.withLock { value in
            if let known = value as? Value { return known }
            let made = make()
            value = made
            return made
        }
    }
}

/// An error that can be one of the machine.
package protocol MachineFailure: Error {
    init(_ machine: MachineError)
}

extension MachineError: MachineFailure {
    package init(_ machine: MachineError) { self = machine }
}

extension Executor {
    package func again<Failure: MachineFailure>(
        _ work: RepeatedWork, _ numbers: [Int], _ inputs: RepeatedInputs<Self>, _ body: (RepeatedInputs<Self>) throws(Failure) -> Rows
    ) throws(Failure) -> Rows {
        try body(inputs)
    }
}
