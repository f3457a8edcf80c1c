import CUDAInference
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// Operations on images on the stand-in, with the kernels that ship, against the CPU's.
@Suite struct DeviceChainTests {
    struct Size: Sendable { let height, width: Int }
    static let sizes = [Size(height: 1, width: 1), Size(height: 3, width: 3), Size(height: 1, width: 70), Size(height: 13, width: 9)]

    @Test("Every operation in integers has the CPU's bits", arguments: sizes, [WeightKind.integers, .groups])
    func integers(_ size: Size, _ kind: WeightKind) throws {
        var maker = try ImageMaker(seed: 41)
        let x = try maker.random.tensor([size.height, size.width, 32])
        let operations = [
            try maker.one(70, 32, kind), try maker.one(5, 32, kind, step: 2, bias: false), try maker.doubling(16, 32, kind, shortcut: true),
            try maker.doubling(65, 32, kind, shortcut: false), try maker.shuffling(16, 32, kind, shortcut: true),
            try maker.shuffling(7, 32, kind, shortcut: false), try maker.residual(32, kind, kind), try maker.residual(32, kind, kind, .relu),
            try maker.norm(32, .silu), try maker.norm(32, .relu),
        ]
        for (index, operation) in operations.enumerated() {
            let (host, device) = try maker.results([operation], x)
            #expect(agree(device, host), "operation \(index)")
        }
    }

    @Test("More outputs than a block of a kernel holds") func wide() throws {
        var maker = try ImageMaker(seed: 42)
        let x = try maker.random.tensor([3, 5, 64])
        let chain = [try maker.one(300, 64, .integers), try maker.residual(300, .integers, .integers), try maker.residual(300, .integers, .integers)]
        let (host, device) = try maker.results(chain, x)
        #expect(agree(device, host))
    }

    /// Both executors add floats up, each in an order of its own: within n / 16 + 16 of 2^-24 of what is added up.
    @Test(arguments: sizes, [WeightKind.float32, .bfloat16, .half, .rows]) func floats(_ size: Size, _ kind: WeightKind) throws {
        var maker = try ImageMaker(seed: 43)
        let x = try maker.random.tensor([size.height, size.width, 20])
        // Values and weights are at most 1, and half of that on average.
        let limit = (180.0 / 16 + 16) * 0x1p-24 * 180
        let operations = [
            try maker.one(33, 20, kind), try maker.one(3, 20, kind), try maker.one(9, 20, kind, step: 2), try maker.doubling(5, 20, kind, shortcut: true),
            try maker.doubling(4, 20, kind, shortcut: false), try maker.shuffling(5, 20, kind, shortcut: true),
            try maker.shuffling(1, 20, kind, shortcut: false),
        ]
        for (index, operation) in operations.enumerated() {
            let (host, device) = try maker.results([operation], x)
            #expect(host.shape == device.shape)
            let worst = zip(host.elements, device.elements).reduce(0.0) { max($0, Double(($1.0 - $1.1).magnitude)) }
            #expect(worst <= limit, "operation \(index)")
        }
        for activation in [Activation.silu, .relu] {
            let (host, device) = try maker.results([try maker.residual(20, kind, kind, activation)], x)
            #expect(distance(device, host) <= 1e-5)
        }
    }

    /// Every operation, mixed.
    private static func chain(_ maker: inout ImageMaker, _ kind: WeightKind, _ other: WeightKind) throws -> [BothOperations] {
        [
            try maker.doubling(6, 12, kind, shortcut: true), try maker.residual(6, kind, kind), try maker.one(6, 6, kind),
            try maker.shuffling(6, 6, kind, shortcut: true), try maker.residual(6, other, kind), try maker.residual(6, kind, other),
            try maker.one(8, 6, kind, step: 2), try maker.norm(8, .relu), try maker.doubling(5, 8, kind, shortcut: false),
            try maker.shuffling(5, 5, kind, shortcut: false), try maker.norm(5, .silu), try maker.one(3, 5, other),
        ]
    }

    @Test("What a chain makes does not depend on the rows that are there at a time", arguments: [Size(height: 1, width: 1), Size(height: 5, width: 3)])
    func rowsAtATimeDoNotMatter(_ size: Size) throws {
        for (kind, other) in [(WeightKind.integers, WeightKind.integers), (.integers, .float32), (.float32, .integers), (.bfloat16, .float32)] {
            var maker = try ImageMaker(seed: 44)
            let x = try maker.random.tensor([size.height, size.width, 12])
            let operations = try Self.chain(&maker, kind, other)
            let (host, whole) = try maker.results(operations, x, ring: 1024)
            #expect(whole.shape == [8 * size.height, 8 * size.width, 3])
            if kind == .integers && other == .integers { #expect(agree(whole, host)) }
            for ring in [8, nil] { #expect(agree(try maker.onDevice(operations, x, ring: ring), whole), "\(ring ?? 0)") }
            var apart = x
            for (index, operation) in operations.enumerated() {
                let (host, device) = try maker.results([operation], apart)
                // A float that is another by its last bits gives another code now and then.
                #expect(distance(device, host) <= (kind.isInteger || other.isInteger ? 0.02 : 1e-5), "operation \(index)")
                apart = device
            }
            #expect(agree(apart, whole), "one operation at a time")
        }
    }

    @Test("No operations, and no rows") func nothing() throws {
        var maker = try ImageMaker(seed: 45)
        let x = try maker.random.tensor([2, 2, 4])
        #expect(agree(try maker.onDevice([], x), x))
        #expect(try maker.onDevice([try maker.residual(4, .integers, .integers)], try Tensor([0, 3, 4])).shape == [0, 3, 4])
    }
}
