import CKernels
import PackedFiles
package import Tensors

/// Numbers as float16 has them.
enum Float16Rounding {
    /// Elements that are rounded at a time.
    private static let step = 1024

    /// Rounds floats in place, to nearest, ties to even; false where one is then no number.
    @unsafe static func apply(to values: UnsafeMutablePointer<Float>, _ count: Int, _ isa: CInt) -> Bool {
        unsafe withUnsafeTemporaryAllocation(of: UInt16.self, capacity: step) { codes in
            var holds = true
            for start in stride(from: 0, to: count, by: step) {
                let some = min(step, count - start)
                unsafe ck_f32_to_f16(isa, values + start, codes.baseAddress!, some)
                unsafe ck_f16_to_f32(isa, codes.baseAddress!, values + start, some)
                holds = unsafe holds && areNumbers(UnsafeBufferPointer(rebasing: codes[..<some]))
            }
            return holds
        }
    }

    /// Whether no code of float16 is infinite or NaN.
    static func areNumbers(_ codes: UnsafeBufferPointer<UInt16>) -> Bool {
        var least: UInt16 = .max
        // All bits of the exponent are set in what is no number.
        for index in unsafe codes.indices { least = min(least, ~(unsafe codes[index]) & 0x7C00) }
        return least > 0
    }
}

extension StoredWeight {
    /// The elements in float16.
    package func roundedToFloat16() throws(MachineError) -> EncodedTensor {
        if scheme.elementType == .f16 { return planes[0] }
        let rounded = try widened().narrowed(to: .f16)
        guard unsafe Float16Rounding.areNumbers(rounded.bytes.bindMemory(to: UInt16.self)) else { throw .beyondFloat16(name.isEmpty ? "a weight" : name) }
        return rounded
    }
}
