internal import CKernels
import Tensors

extension Scheme {
    package static let int4Grouped = Scheme(Int4GroupedScheme())
}

/// `int4-grouped`: codes of four bits, times a whole multiplier of each 32 of them, times one float32 scale per row (Formats/schemes.md,
/// "int4-grouped").
///
/// Code times multiplier is an int8 code, so that whatever multiplies int8 rows multiplies these: there is no product in float for each group.
struct Int4GroupedScheme: RowRounding {
    let name = "int4-grouped"
    let traceWord = "int4"
    var integerTurn: Int? { 1 }

    private static let group = Int(CK_GROUP)
    private static let codes = -8...7
    /// Multipliers that are tried, from the one that clamps nothing downwards.
    private static let tried = 4

    /// Bytes for the multipliers of a row: two in each, and in the last half of an odd row a 1.
    private static func multiplierBytes(_ columns: Int) -> Int { (columns / group + 1) / 2 }

    func obstacle(_ shape: Shape) -> String? {
        shape.columns % Self.group == 0 ? nil : "whose rows do not divide into groups of \(Self.group)"
    }

    func planes(for shape: Shape) -> [PlaneSpecification] {
        let (rows, columns) = (shape.rows, shape.columns)
        return [
            PlaneSpecification("values", .u8, [rows, columns / 2], .any),
            PlaneSpecification(
                "multipliers", .u8, [rows, Self.multiplierBytes(columns)],
                .elements("pairs of multipliers from 1 to 15", of: UInt8.self) { $0 & 15 == 0 || $0 >> 4 == 0 }),
            PlaneSpecification("scales", .f32, [rows], .positive),
        ]
    }

    func encode(_ values: Tensor, into planes: [EncodedTensor], at row: Int, _ subject: EncodingSubject) throws(PackedFileError) -> [RowDistance] {
        let nonfinite = unsafe ck_find_nonfinite(InstructionSet.forConversions.rawValue, CK_F32, values.pointer, values.count)
        guard nonfinite == values.count else { throw subject.nonfinite(nonfinite, values.span[nonfinite]) }
        return try wrapping(PackedFileError.machine) { () throws(MachineError) in
            var decoded = try values.copy()
            try round(&decoded, into: planes, at: row)
            return RowDistance.rows(decoded: decoded, source: values)
        }
    }

    func round(_ values: inout Tensor, into planes: [EncodedTensor], at row: Int) throws(MachineError) {
        let (rows, columns) = (values.rows, values.columns)
        let places = unsafe Places(planes, at: row, columns: columns)
        unsafe places.store(values.pointer, rows)
        let codes = try Buffer(byteCount: values.count, zeroed: false)
        unsafe places.expand(rows, to: codes.mutableBytes.baseAddress!)
        let isa = InstructionSet.forConversions.rawValue
        unsafe ck_dequantize_rows_s8(isa, codes.mutableBytes.baseAddress!, places.scales, values.mutablePointer, columns, rows, columns)
    }

    /// Where a row is in the planes.
    @safe private struct Places {
        @unsafe let pairs: UnsafeMutableRawPointer, multipliers: UnsafeMutableRawPointer, scales: UnsafeMutablePointer<Float>
        let columns: Int

        @unsafe init(_ planes: [EncodedTensor], at row: Int, columns: Int) {
            unsafe pairs = planes[0].buffer.mutableBytes.baseAddress! + row * columns / 2
            unsafe multipliers = planes[1].buffer.mutableBytes.baseAddress! + row * multiplierBytes(columns)
            unsafe scales = planes[2].buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self) + row
            self.columns = columns
        }

        @unsafe func store(_ rows: UnsafePointer<Float>, _ count: Int) {
            unsafe ck_quantize_rows_grouped(InstructionSet.forConversions.rawValue, rows, pairs, multipliers, scales, count, columns)
        }

        @unsafe func expand(_ count: Int, to codes: UnsafeMutableRawPointer) {
            unsafe ck_expand_rows_grouped(InstructionSet.forConversions.rawValue, pairs, multipliers, codes, count, columns)
        }

        /// The step of a group of the first row.
        func step(_ group: Int) -> Float {
            unsafe scales[0] * Float(multipliers.load(fromByteOffset: group / 2, as: UInt8.self) >> UInt8(4 * (group % 2)) & 15)
        }
    }

    func integerRows(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> (codes: EncodedTensor, scales: EncodedTensor) {
        let codes = try EncodedTensor(dtype: .i8, shape: shape)
        let (columns, out) = (shape.columns, unsafe SharedPointer(codes.buffer.mutableBytes.baseAddress!.assumingMemoryBound(to: Int8.self)))
        Parallel.forEach(shape.rows) { rows in
            let first = rows.lowerBound
            unsafe Places(planes, at: first, columns: columns).expand(rows.count, to: out.pointer + first * columns)
        }
        return (codes, planes[2])
    }

    func decode(_ planes: [EncodedTensor], shape: Shape) throws(MachineError) -> Tensor {
        let (codes, scales) = try integerRows(planes, shape: shape)
        return try Int8PerChannelScheme().decode([codes, scales], shape: shape)
    }

    /// Half a step of the group and the roundings of quotients and product, or what lies beyond its last code.
    func checkBound(_ decoded: Tensor, _ planes: [EncodedTensor], source: Tensor) -> BoundCheck {
        let scales = unsafe planes[2].bytes.assumingMemoryBound(to: Float.self)
        let (pairs, columns) = (planes[1].contents, source.columns)
        return BoundCheck(decoded, source) { row, column, value in
            let group = column / Self.group
            let pair = pairs[row * Self.multiplierBytes(columns) + group / 2]
            let step = unsafe Double(scales[row]) * Double(pair >> UInt8(4 * (group % 2)) & 15)
            let last = step * Double(value < 0 ? -Self.codes.lowerBound : Self.codes.upperBound)
            return max(step * 0.5, Double(value.magnitude) - last) + step * 0x1p-16 + 0x1p-142
        }
    }

    @unsafe func perturb(_ row: UnsafeBufferPointer<Float>, at index: Int, into planes: [EncodedTensor], _ draw: inout StochasticRounding) {
        let places = unsafe Places(planes, at: index, columns: row.count)
        unsafe places.store(row.baseAddress!, 1)
        for column in stride(from: 0, to: row.count, by: 2) {
            let step = places.step(column / Self.group)
            let low = unsafe min(7, max(-8, draw.whole(row[column] / step)))
            let high = unsafe min(7, max(-8, draw.whole(row[column + 1] / step)))
            unsafe places.pairs.storeBytes(of: UInt8(low + 8 + 16 * (high + 8)), toByteOffset: column / 2, as: UInt8.self)
        }
    }

    func reference(_ row: [Float], _ wholePlanes: [EncodedTensor]) -> [ReferencePlane] {
        let largest = row.reduce(0) { max($0, $1.magnitude) }
        let scale = largest / 105 == 0 ? 1 : largest / 105
        var (codes, multipliers): ([UInt32], [UInt32]) = ([], [])
        for start in stride(from: 0, to: row.count, by: Self.group) {
            let steps = row[start..<start + Self.group].map { $0 / scale }
            let needed = steps.reduce(0) { max($0, $1.magnitude) } / 7
            let first = min(15, max(1, Int(needed.rounded(.up))))
            var best: (lost: Float, multiplier: Int, codes: [Float])?
            for multiplier in stride(from: first, through: max(1, first - Self.tried + 1), by: -1) {
                let inverse = 1 / Float(multiplier)
                let rounded = steps.map { min(7, max(-8, ($0 * inverse).rounded(.toNearestOrEven))) }
                var sums = [Float](repeating: 0, count: 8)
                for (index, code) in rounded.enumerated() {
                    let difference = steps[index] - code * Float(multiplier)
                    sums[index % 8] += difference * difference
                }
                for half in [4, 2, 1] { for lane in 0..<half { sums[lane] += sums[lane + half] } }
                if let best, !(sums[0] < best.lost) { continue }
                best = (sums[0], multiplier, rounded)
            }
            guard let best else { continue }
            codes += best.codes.map { UInt32(Int($0) + 8) }
            multipliers.append(UInt32(best.multiplier))
        }
        if multipliers.count % 2 == 1 { multipliers.append(1) }
        let paired = { (nibbles: [UInt32]) in stride(from: 0, to: nibbles.count, by: 2).map { nibbles[$0] | nibbles[$0 + 1] << 4 } }
        return [ReferencePlane(paired(codes)), ReferencePlane(paired(multipliers)), ReferencePlane([scale.bitPattern])]
    }
}
