import CKernels
import Tensors

/// The newest rows of a channels-last image that is made from the top down and used up close behind.
///
/// Each row has a pixel of zeros at either end, the padding of the convolution that reads it. For an integer convolution
/// the rows are held quantized as well, each pixel with a scale of its own.
struct RowRing: Sendable {
    private let cpu: CPU
    /// The image's extents, not the ring's.
    let height: Int
    let width: Int
    let channels: Int
    private let capacity: Int
    private let floats: Buffer
    private let quantized: (values: Buffer, scales: Buffer)?
    private let pixelBytes: Int

    /// Rows that stay readable behind the ones being written: what a convolution and a residual around two of them look back at, where
    /// both make two rows at a time and so stay up to two rows behind.
    private static let history = 4

    /// - Parameters:
    ///   - batch: the most rows that are written before those who read them get their turn.
    ///   - quantizes: whether an integer convolution reads the rows.
    init(height: Int, width: Int, channels: Int, batch: Int, quantizes: Bool, on cpu: CPU) throws(MachineError) {
        self.cpu = cpu
        (self.height, self.width, self.channels) = (height, width, channels)
        capacity = Self.capacity(height, batch)
        floats = try Buffer(byteCount: capacity * (width + 2) * channels * MemoryLayout<Float>.stride, zeroed: false)
        pixelBytes = ck_conv_i8_pixel_bytes(cpu.isa, channels)
        quantized =
            quantizes
            ? (
                try Buffer(byteCount: capacity * (width + 2) * pixelBytes, zeroed: false),
                try Buffer(byteCount: capacity * (width + 2) * MemoryLayout<Float>.stride, zeroed: false)
            ) : nil
        for row in 0..<capacity {
            for column in [-1, width] {
                unsafe pixel(row, column).update(repeating: 0, count: channels)
                seal(row, column..<column + 1)
            }
        }
    }

    private static func capacity(_ height: Int, _ batch: Int) -> Int { min(height, batch + history) }

    static func byteCount(height: Int, width: Int, channels: Int, batch: Int, quantizes: Bool, on cpu: CPU) -> Int {
        let pixels = capacity(height, batch) * (width + 2)
        let values = quantizes ? Memory.byteCount(of: pixels * ck_conv_i8_pixel_bytes(cpu.isa, channels)) + Tensor.byteCount(pixels) : 0
        return Tensor.byteCount(pixels * channels) + values
    }

    /// Index of a pixel; columns -1 and `width` are the padding.
    private func index(_ row: Int, _ column: Int) -> Int { row % capacity * (width + 2) + column + 1 }

    /// A pixel of a row that the ring holds; valid while the ring lives.
    @unsafe func pixel(_ row: Int, _ column: Int) -> UnsafeMutablePointer<Float> {
        unsafe floats.mutableBytes.baseAddress!.assumingMemoryBound(to: Float.self) + index(row, column) * channels
    }

    /// Makes pixels that have been written ready for whoever reads them quantized.
    func seal(_ row: Int, _ columns: Range<Int>) {
        guard let (values, scales) = quantized else { return }
        let first = index(row, columns.lowerBound)
        unsafe ck_conv_i8_quantize(
            cpu.isa, pixel(row, columns.lowerBound), channels, values.mutableBytes.baseAddress! + first * pixelBytes,
            scales.mutableBytes.baseAddress! + first * MemoryLayout<Float>.stride, columns.count)
    }

    /// Rows as a convolution kernel takes them: from their left padding on, nil outside the image; in floats, or quantized with scales.
    @unsafe func lines(_ rows: Range<Int>, quantized isQuantized: Bool) -> (pixels: [UnsafeRawPointer?], scales: [UnsafeRawPointer?]) {
        var (pixels, found) = unsafe ([UnsafeRawPointer?](), [UnsafeRawPointer?]())
        for row in rows {
            guard (0..<height).contains(row) else {
                unsafe pixels.append(nil)
                unsafe found.append(nil)
                continue
            }
            guard isQuantized else {
                unsafe pixels.append(UnsafeRawPointer(pixel(row, -1)))
                continue
            }
            guard let (values, scales) = quantized else { preconditionFailure("the ring was not made for integers") }
            unsafe pixels.append(values.bytes.baseAddress! + index(row, -1) * pixelBytes)
            unsafe found.append(scales.bytes.baseAddress! + index(row, -1) * MemoryLayout<Float>.stride)
        }
        return unsafe (pixels, found)
    }
}

// MARK: - What is done to pixels in place

extension RowRing {
    /// Adds the pixels of an image of half the extents and a quarter of the channels or more, each repeated.
    func addShortcut(_ source: RowRing, _ row: Int, _ columns: Range<Int>) {
        precondition(4 * channels % source.channels == 0)
        unsafe ck_add_doubled(
            cpu.isa, source.pixel(row / 2, 0), source.channels, row % 2, pixel(row, 0), channels, columns.lowerBound, columns.upperBound)
    }

    func activate(_ activation: Activation, _ row: Int, _ columns: Range<Int>) {
        let (pixels, count) = unsafe (pixel(row, columns.lowerBound), columns.count * channels)
        switch activation {
        case .relu: unsafe ck_relu(cpu.isa, pixels, pixels, count)
        case .silu: unsafe ck_silu_f32(cpu.isa, pixels, pixels, count)
        }
    }

    /// Writes norm(source), which may be this ring, and `base` added to it.
    func write(_ norm: RMSNorm, of source: RowRing, _ row: Int, _ columns: Range<Int>, adding base: RowRing?) {
        let column = columns.lowerBound
        guard let bias = norm.bias, norm.weightOffset == 0 else { preconditionFailure("the autoencoder's norms have a bias and no offset") }
        unsafe ck_rmsnorm_add(
            cpu.isa, source.pixel(row, column), norm.weight.pointer, bias.pointer, norm.epsilon, base?.pixel(row, column), pixel(row, column), columns.count,
            channels)
    }
}
