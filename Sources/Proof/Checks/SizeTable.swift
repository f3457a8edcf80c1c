import PackedFiles
import Parity
import Tensors

extension ReportTable {
    /// Tensors, elements and stored bytes by component and scheme.
    static func sizes(of directory: Directory) -> ReportTable {
        var sums: [(key: [String], tensors: Int, elements: Int, source: Int, stored: UInt64)] = []
        for tensor in directory.tensors {
            let key = [tensor.component, tensor.scheme.name + (tensor.activations.map { " (\($0.rawValue))" } ?? "")]
            let stored = tensor.planes.reduce(0 as UInt64) { $0 + $1.section.storedByteCount }
            let source = tensor.sources.reduce(0) { $0 + $1.shape.elementCount * $1.dtype.byteCount }
            let index = sums.firstIndex { $0.key == key }
            if let index {
                sums[index].tensors += 1
                sums[index].elements += tensor.shape.elementCount
                sums[index].source += source
                sums[index].stored += stored
            } else {
                sums.append((key, 1, tensor.shape.elementCount, source, stored))
            }
        }
        let rows = sums.map { sum in
            let bits = 8 * Double(sum.stored) / Double(max(1, sum.elements))
            return sum.key + ["\(sum.tensors)", "\(sum.elements)", "\(sum.source)", "\(sum.stored)", Decimal.fixed(bits, digits: 2)]
        }
        return ReportTable(
            title: "Sizes", columns: ["Component", "Scheme", "Tensors", "Elements", "Source bytes", "Stored bytes", "Bits per element"], rows: rows,
            topic: .sizes, bars: .init(labels: 2, column: 5, unit: "bytes", figures: 2))
    }
}
