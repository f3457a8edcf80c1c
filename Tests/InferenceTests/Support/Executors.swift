import Inference
import Operations
import Tensors
import Testing

extension CPU {
    /// One for each instruction set of this machine: the arguments of tests of models.
    static let each = InstructionSet.supported.map { CPU($0) }
    /// The same, and the best with the products that it is slower with.
    static let every = each + [CPU(.best, prefersPackedProducts: !CPU.best.prefersPackedProducts)]
}

extension Executor where Self == CPU {
    /// The executor that a test with the trait `.onEveryExecutor` is run with.
    static var underTest: CPU { EveryExecutor.current }
}

extension CPU: CustomTestStringConvertible {
    package var testDescription: String { self == CPU(instructionSet) ? description : description + (prefersPackedProducts ? ", packed" : ", not packed") }
}

/// Runs each test once for each of `CPU.every`: for tests of layers and operations, which have arguments enough of their own.
struct EveryExecutor: SuiteTrait, TestTrait, TestScoping {
    @TaskLocal fileprivate static var current = CPU.best

    var isRecursive: Bool { true }

    func provideScope(for test: Test, testCase: Test.Case?, performing run: @Sendable () async throws -> Void) async throws {
        for executor in CPU.every { try await Self.$current.withValue(executor) { try await run() } }
    }
}

extension Trait where Self == EveryExecutor {
    static var onEveryExecutor: Self { Self() }
}
