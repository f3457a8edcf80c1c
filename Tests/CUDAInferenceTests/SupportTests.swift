import CUDADriver
import CUDAInference
import Files
import Operations
import PackedFiles
import Tensors
import TestKit
import Testing

/// How each scheme is computed with, on every executor: found by doing it. Formats/support.md has what is found.
@Suite struct SupportTests {
    enum Layer: String, CaseIterable {
        case linear = "linear"
        case bfloat16 = "linear, `--compute bf16`"
        case float16 = "linear, `--compute fp16`"
        case convolution = "3x3 convolution"

        var shape: Shape { self == .convolution ? [40, 3, 3, 32] : [70, 96] }
        var compute: Compute { self == .bfloat16 ? .bfloat16 : self == .float16 ? .float16 : .float32 }
    }

    /// What is left of the inputs in a product, and the bytes that a layer holds for a value of its weight.
    struct Cell: Equatable, CustomStringConvertible {
        let inputs: String
        let bytes: Int
        var description: String { "\(inputs), \(bytes)" }
    }

    private static func product<E: Executor>(_ layer: Layer, of x: Tensor, by stored: StoredWeight, on executor: E) throws -> [Float] {
        let rows = try executor.rows(from: x)
        guard layer == .convolution else {
            let linear = try executor.linear(stored, 0..<stored.shape.rows, bias: nil, compute: layer.compute)
            return try executor.tensor(from: try executor.multiply(rows, by: linear)).elements
        }
        let convolution = try executor.convolution(stored, bias: nil, often: false)
        return try executor.tensor(from: try executor.run([.convolution(convolution)], on: rows)).elements
    }

    /// Products of the decoded values in float64.
    private static func exact(_ layer: Layer, _ x: [Float], _ w: [Float]) -> [Double] {
        /// Elements of x, and of w, one by one from two places on.
        func dot(_ from: Int, _ place: Int, _ count: Int) -> Double {
            var sum = 0.0
            for index in 0..<count { sum += Double(x[from + index]) * Double(w[place + index]) }
            return sum
        }
        var result: [Double] = []
        guard layer == .convolution else {
            for row in 0..<x.count / 96 { for output in 0..<70 { result.append(dot(row * 96, output * 96, 96)) } }
            return result
        }
        for pixel in 0..<15 {
            for output in 0..<40 {
                var sum = 0.0
                for tap in 0..<9 {
                    let (row, column) = (pixel / 5 + tap / 3 - 1, pixel % 5 + tap % 3 - 1)
                    guard (0..<3).contains(row), (0..<5).contains(column) else { continue }
                    sum += dot((row * 5 + column) * 32, (output * 9 + tap) * 32, 32)
                }
                result.append(sum)
            }
        }
        return result
    }

    private static func cell<E: Executor>(_ layer: Layer, _ products: [Float], _ exact: [Double], _ stored: StoredWeight, on executor: E) -> Cell {
        let (error, all) = zip(products, exact).reduce((0.0, 0.0)) { ($0.0 + ($1.1 - Double($1.0)) * ($1.1 - Double($1.0)), $0.1 + $1.1 * $1.1) }
        // Values that are spread evenly lose 0.2 % by bfloat16, of both factors, an eighth of that by float16, and 0.3 % or more by int8, of one.
        let relative = (error / all).squareRoot()
        // As large as a model's, so that what comes with the rows counts for nothing.
        let shape: Shape = layer == .convolution ? [512, 3, 3, 512] : [2240, 2240]
        let size = WeightSize(shape, planeBytes: stored.scheme.byteCount(shape), form: stored.form)
        let kept = executor.footprint(of: size, as: layer == .convolution ? .convolution(often: false) : .linear(layer.compute, cut: false)).kept
        return Cell(
            inputs: relative > 2.8e-3 ? "int8" : relative > 7e-4 ? "bf16" : relative > 3e-5 ? "f16" : "f32",
            bytes: Int((Double(kept) / Double(shape.elementCount)).rounded()))
    }

    @Test("Each scheme on each executor is computed with as the table says; integers have the same bits on all") func table() throws {
        var random = SplitMix64(seed: 71)
        let cuda = try CUDA(try Device(library: StandIn.library))
        var lines: [String] = []
        for scheme in SchemeList.builtIn.schemes {
            for activations in [ActivationScheme.float, .int8PerToken] where scheme.isQuantized || activations == .float {
                var (cells, isEmpty) = ([String](), true)
                for layer in Layer.allCases {
                    let shape = layer.shape
                    guard !scheme.isQuantized || scheme.holds(shape) && scheme.activations(for: shape).contains(activations) else {
                        cells.append("refused")
                        continue
                    }
                    isEmpty = false
                    let (values, x) = (try random.tensor(shape), try random.tensor(layer == .convolution ? [3, 5, 32] : [9, 96]))
                    let stored = StoredWeight(scheme, shape, planes: try scheme.encode(values, subject: "w"), activations: activations)
                    let exact = Self.exact(layer, x.elements, try stored.widened().elements)
                    var found: [(products: [Float], cell: Cell)] = []
                    for instructions in InstructionSet.supported {
                        let cpu = CPU(instructions)
                        let products = try Self.product(layer, of: x, by: stored, on: cpu)
                        found.append((products, Self.cell(layer, products, exact, stored, on: cpu)))
                    }
                    let products = try Self.product(layer, of: x, by: stored, on: cuda)
                    found.append((products, Self.cell(layer, products, exact, stored, on: cuda)))
                    let inputs = found[0].cell.inputs
                    #expect(found.allSatisfy { $0.cell.inputs == inputs }, "\(scheme) \(layer)")
                    if inputs == "int8" { #expect(found.allSatisfy { $0.products == found[0].products }, "\(scheme) \(layer)") }
                    let host = found[0].cell.bytes, device = try #require(found.last).cell.bytes
                    cells.append(host == device ? "\(inputs), \(host)" : "\(inputs), \(host) or \(device)")
                }
                #expect(!isEmpty)
                lines.append(
                    "| `\(scheme)` | \(scheme.isQuantized ? activations == .float ? "`float`" : "`int8-per-token`" : "") | \(cells.joined(separator: " | ")) |")
            }
        }
        let root = Paths.parent(of: Paths.parent(of: Paths.parent(of: #filePath)))
        let document = String(decoding: try InputFile.text(Paths.join(root, "Formats/support.md"), limit: 1 << 20), as: UTF8.self)
        for line in lines {
            #expect(document.contains(line + "\n"), "\(line)")
        }
        #expect(document.split(separator: "\n").count { $0.hasPrefix("| `") } == lines.count)
    }
}
