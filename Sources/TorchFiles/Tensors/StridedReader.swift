import Files
import Tensors

/// Reads elements of a view in row-major order, by windows of the storage: however large the view is, no more than a window is held.
struct StridedReader {
    let file: InputFile
    /// Where the storage begins in the file.
    let base: UInt64
    let view: TensorView

    /// Bytes of the storage that are read at once.
    static let windowByteCount = 256 << 10
    /// What lies further apart than this is read on its own: skipping less is cheaper than another call.
    private static let largestGap = 4096

    init(file: InputFile, base: UInt64, view: TensorView) {
        self.file = file
        self.base = base
        self.view = view
    }

    private var size: Int { view.dtype.byteCount }

    /// Fills the buffer with the elements `range`.
    /// - Precondition: the range lies inside the view, and the buffer has its bytes.
    @unsafe func read(_ range: Range<Int>, into buffer: UnsafeMutableRawBufferPointer) throws(TorchFileError) {
        precondition(range.upperBound <= view.shape.elementCount && range.count * size == buffer.count, "\(range) of \(view.shape)")
        guard !range.isEmpty else { return }
        if view.isContiguous {
            unsafe try read(at: view.offset + range.lowerBound, into: buffer)
            return
        }
        let window = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.windowByteCount, alignment: 16)
        defer { unsafe window.deallocate() }
        var position = range.lowerBound
        while position < range.upperBound {
            let box = Box(view.axes, from: position, to: range.upperBound)
            let target = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[((position - range.lowerBound) * size)...])
            unsafe try read(box, into: target, window)
            position += box.elementCount
        }
    }

    /// Reads neighbouring elements from element `offset` of the storage on.
    @unsafe private func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(TorchFileError) {
        do { unsafe try file.read(at: base + UInt64(offset) * UInt64(size), into: buffer) } catch { throw .file(error) }
    }

    /// Some elements that form a box: the first axis of `axes` in part, those inside it whole.
    private struct Box {
        /// Element of the storage where it begins, relative to the view's offset.
        let offset: Int
        /// Its axes from the largest stride to the smallest, with how far apart neighbours are in the result.
        let axes: [(extent: Int, stride: Int, place: Int)]
        let elementCount: Int

        /// The largest box that begins at element `position` and ends at or before `end`.
        init(_ view: [TensorView.Axis], from position: Int, to end: Int) {
            var inner = [Int](repeating: 1, count: view.count)
            for axis in view.indices.dropLast().reversed() { inner[axis] = inner[axis + 1] * view[axis + 1].extent }
            let index = view.indices.map { position / inner[$0] % view[$0].extent }
            // The outermost axis whose inner axes can be taken whole.
            let first = view.indices.first { position % inner[$0] == 0 && position + inner[$0] <= end } ?? view.count - 1
            let extent = min(view[first].extent - index[first], (end - position) / inner[first])
            offset = zip(view, index).reduce(0) { $0 + $1.0.stride * $1.1 }
            elementCount = extent * inner[first]
            axes = view.indices[first...].map { (extent: $0 == first ? extent : view[$0].extent, stride: view[$0].stride, place: inner[$0]) }
                .sorted { $0.stride > $1.stride }
        }
    }

    /// How a box is read: an axis in steps, all axes inside it with each step, all outside one index after the other.
    private struct Steps {
        /// The position of that axis among the box's.
        var axis: Int
        /// Indices of it that are read at once.
        var count: Int
        /// Elements of the storage from the first to the last one of the axes inside it.
        var span: Int

        init(_ axes: [(extent: Int, stride: Int, place: Int)], elementSize size: Int) {
            let window = StridedReader.windowByteCount / size
            (axis, count, span) = (axes.count - 1, 1, 1)
            guard let last = axes.last else { return }
            if last.stride == 1, last.place == 1, last.extent * size >= StridedReader.largestGap {
                count = last.extent
                return
            }
            while true {
                let (extent, stride, _) = axes[axis]
                guard stride <= max(span, StridedReader.largestGap / size) else { return }
                // As many steps as the window holds; of stride 0 all.
                count = stride == 0 ? extent : min(extent, (window - span) / stride + 1)
                guard count == extent, axis > 0 else { return }
                span += (extent - 1) * stride
                axis -= 1
                count = 1
            }
        }
    }

    @unsafe private func read(
        _ box: Box, into buffer: UnsafeMutableRawBufferPointer, _ window: UnsafeMutableRawBufferPointer
    ) throws(TorchFileError) {
        let steps = Steps(box.axes, elementSize: size)
        let stepped = box.axes[steps.axis]
        var outer = Odometer(box.axes[..<steps.axis].map(\.extent))
        repeat {
            var (source, target) = (view.offset + box.offset, 0)
            for (axis, index) in zip(box.axes, outer.index) {
                source += axis.stride * index
                target += axis.place * index
            }
            for start in stride(from: 0, to: stepped.extent, by: steps.count) {
                let count = min(steps.count, stepped.extent - start)
                let offset = source + start * stepped.stride
                let place = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[((target + start * stepped.place) * size)...])
                if steps.axis == box.axes.count - 1, stepped.place == 1, stepped.stride == 1 || count == 1 {
                    unsafe try read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: place[..<(count * size)]))
                    continue
                }
                let span = steps.span + (count - 1) * stepped.stride
                let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: window[..<(span * size)])
                unsafe try read(at: offset, into: bytes)
                let axes = [(extent: count, stride: stepped.stride, place: stepped.place)] + box.axes[(steps.axis + 1)...]
                switch size {
                case 1: unsafe Self.scatter(bytes, into: place, axes, UInt8.self)
                case 2: unsafe Self.scatter(bytes, into: place, axes, UInt16.self)
                case 4: unsafe Self.scatter(bytes, into: place, axes, UInt32.self)
                default: unsafe Self.scatter(bytes, into: place, axes, UInt64.self)
                }
            }
        } while outer.advance()
    }

    /// Copies the elements of some axes from a window to their places.
    @unsafe private static func scatter<Element: FixedWidthInteger>(
        _ window: UnsafeMutableRawBufferPointer, into buffer: UnsafeMutableRawBufferPointer, _ axes: [(extent: Int, stride: Int, place: Int)],
        _ type: Element.Type
    ) {
        guard let inner = axes.last else { return }
        var outer = Odometer(axes.dropLast().map(\.extent))
        repeat {
            var (source, target) = (0, 0)
            for (axis, index) in zip(axes, outer.index) {
                source += axis.stride * index
                target += axis.place * index
            }
            for index in 0..<inner.extent {
                // The caller's buffer need not be aligned.
                let element = unsafe window.loadUnaligned(fromByteOffset: (source + index * inner.stride) * MemoryLayout<Element>.size, as: Element.self)
                unsafe buffer.storeBytes(of: element, toByteOffset: (target + index * inner.place) * MemoryLayout<Element>.size, as: Element.self)
            }
        } while outer.advance()
    }
}

/// All indices of some extents, the last one the fastest; one empty index where there are none.
private struct Odometer {
    private let extents: [Int]
    private(set) var index: [Int]

    init(_ extents: [Int]) {
        self.extents = extents
        index = [Int](repeating: 0, count: extents.count)
    }

    /// The next index; false behind the last one.
    mutating func advance() -> Bool {
        for axis in extents.indices.reversed() {
            index[axis] += 1
            if index[axis] < extents[axis] { return true }
            index[axis] = 0
        }
        return false
    }
}
