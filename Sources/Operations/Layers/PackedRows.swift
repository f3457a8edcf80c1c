import CKernels
import Synchronization
import Tensors

/// What the packed products multiply (CKProducts.h).
enum PackedType: Sendable, Equatable {
    case int8, bfloat16, float32
    /// Float32 numbers that float16 has too.
    case float16

    var code: CInt {
        switch self {
        case .int8: CK_PACKED_S8
        case .bfloat16: CK_PACKED_BF16
        case .float32, .float16: CK_PACKED_F32
        }
    }

    /// Whether panels of a weight are made of it in float32 right before their product.
    var decodesPanels: Bool { code == CK_PACKED_F32 }
}

/// Rows of activations in the form that packed products read: made once, they serve all linears of one input.
struct PackedRows: Sendable {
    let type: PackedType
    let count: Int
    let columns: Int
    private let values: Buffer
    /// One per row for int8; for the others unused.
    private let scales: Tensor

    /// What a product splits rows by.
    static let tile = Int(CK_PACKED_TILE)
    /// What it splits channels by.
    static let panel = Int(CK_PACKED_PANEL)

    private typealias Kernel = @Sendable (Range<Int>, UnsafeMutableRawPointer, UnsafeMutablePointer<Float>, UnsafeMutableRawPointer) -> Void

    /// Allocates, and has `kernel` fill ranges of rows: it gets a range, where its rows and their scales go, and scratch of one tile of floats.
    private init(_ type: PackedType, _ count: Int, _ columns: Int, for layer: String, on cpu: CPU, _ kernel: Kernel) throws(MachineError) {
        let isa = cpu.isa
        let overflows = Atomic(false)
        let values = try Buffer(byteCount: ck_packed_row_bytes(type.code, count, columns), zeroed: false)
        var scales = try Tensor([count], zeroed: false)
        let steps = unsafe SharedPointer(scales.mutablePointer)
        try unsafe Parallel.forEach(count, grain: Self.tile, scratchBytes: Self.tileBytes(columns)) { range, scratch in
            let start = ck_packed_row_bytes(type.code, range.lowerBound, columns)
            let target = unsafe values.mutableBytes.baseAddress! + start
            unsafe kernel(range, target, steps.pointer + range.lowerBound, scratch)
            guard type == .float16 else { return }
            let floats = ck_packed_row_bytes(type.code, range.count, columns) / MemoryLayout<Float>.stride
            if unsafe !Float16Rounding.apply(to: target.assumingMemoryBound(to: Float.self), floats, isa) { overflows.store(true, ordering: .relaxed) }
        }
        guard !overflows.load(ordering: .relaxed) else { throw .beyondFloat16("inputs of \(layer)") }
        (self.type, self.count, self.columns, self.values, self.scales) = (type, count, columns, values, scales)
    }

    private static func tileBytes(_ columns: Int) -> Int { tile * columns * MemoryLayout<Float>.stride }

    /// What rows take, and what it takes to make them.
    static func footprint(_ type: PackedType, _ count: Int, _ columns: Int) -> Footprint {
        Footprint(
            kept: Memory.byteCount(of: ck_packed_row_bytes(type.code, count, columns)) + Tensor.byteCount(count),
            passing: Memory.byteCount(of: Parallel.scratchBytes(count, each: tileBytes(columns))))
    }

    /// Quantizes, narrows or copies dense rows.
    /// - Parameters:
    ///   - turn: of int8, what the weight's rows have had done to them too.
    ///   - layer: whose inputs they are.
    @unsafe init(
        _ x: UnsafePointer<Float>, rows: Int, columns: Int, as type: PackedType, _ turn: InputTurn?, for layer: String, on cpu: CPU
    ) throws(MachineError) {
        let (source, isa) = unsafe (SharedPointer(reading: x), cpu.isa)
        try unsafe self.init(type, rows, columns, for: layer, on: cpu) { range, target, scales, scratch in
            let first = unsafe source.pointer + range.lowerBound * columns
            if let turn {
                unsafe packTurned(isa, range.count, columns, target, scales, scratch) { row, count, turned in
                    unsafe turn.apply(first + row * columns, to: turned, rows: count, columns: columns, isa)
                }
            } else {
                unsafe ck_pack_rows(isa, type.code, first, columns, target, scales, range.count, columns)
            }
        }
    }

    /// Packs the rows of `x` [.., columns]; where there is a norm, as it makes them, but they are never written as floats.
    init(
        _ x: Tensor, columns: Int, _ norm: ModulatedNorm<Tensor>?, as type: PackedType, _ turn: InputTurn?, for layer: String, on cpu: CPU
    ) throws(MachineError) {
        defer { withExtendedLifetime((x, norm)) {} }
        guard let norm else {
            try unsafe self.init(x.pointer, rows: x.count / columns, columns: columns, as: type, turn, for: layer, on: cpu)
            return
        }
        precondition(norm.scale.count == columns)
        let (epsilon, isa) = (norm.epsilon, cpu.isa)
        let (source, factor, offset) = unsafe (
            SharedPointer(reading: x.pointer), SharedPointer(reading: norm.scale.pointer), SharedPointer(reading: norm.shift.pointer)
        )
        try unsafe self.init(type, x.count / columns, columns, for: layer, on: cpu) { range, target, scales, scratch in
            let first = unsafe source.pointer + range.lowerBound * columns
            if let turn {
                unsafe packTurned(isa, range.count, columns, target, scales, scratch) { row, count, turned in
                    unsafe ck_layernorm_modulate(isa, first + row * columns, factor.pointer, offset.pointer, epsilon, turned, count, columns)
                    unsafe turn.apply(turned.assumingMemoryBound(to: Float.self), to: turned, rows: count, columns: columns, isa)
                }
            } else {
                unsafe ck_pack_layernorm(isa, type.code, first, factor.pointer, offset.pointer, epsilon, target, scales, scratch, range.count, columns)
            }
        }
    }

    /// The tile that starts with `row`, and that row's scale.
    @unsafe func tile(at row: Int) -> (values: UnsafeRawPointer, scales: UnsafePointer<Float>) {
        unsafe (values.bytes.baseAddress! + ck_packed_row_bytes(type.code, row, columns), scales.pointer + row)
    }
}

/// Quantizes rows that `turn` writes to scratch, a tile at a time: it gets the first row and how many.
private func packTurned(
    _ isa: CInt, _ rows: Int, _ columns: Int, _ target: UnsafeMutableRawPointer, _ scales: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutableRawPointer,
    _ turn: (_ row: Int, _ count: Int, UnsafeMutableRawPointer) -> Void
) {
    for row in stride(from: 0, to: rows, by: PackedRows.tile) {
        let count = min(PackedRows.tile, rows - row)
        unsafe turn(row, count, scratch)
        let place = unsafe target + ck_packed_row_bytes(CK_PACKED_S8, row, columns)
        unsafe ck_pack_rows(isa, CK_PACKED_S8, scratch, columns, place, scales + row, count, columns)
    }
}
