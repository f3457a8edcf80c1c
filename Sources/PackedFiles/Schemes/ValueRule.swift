internal import CKernels
import Glibc
import Tensors

/// What the elements of a plane must be.
package enum ValueRule: String, Sendable {
    /// Finite, but for as many NaNs and infinities as the directory states.
    case finite
    /// Finite and above zero: scales.
    case positiveFinite = "positive and finite"
    /// Within -127 ... 127: symmetric int8 has no -128.
    case symmetricInt8 = "within -127 ... 127"
}

/// Counts the elements of a plane that break its rule.
struct ValueCensus {
    let rule: ValueRule
    let dtype: DType
    private(set) var violations = 0
    /// Index of the first element that breaks the rule.
    private(set) var first: Int?
    private var position = 0

    init(rule: ValueRule, dtype: DType) {
        self.rule = rule
        self.dtype = dtype
    }

    /// Looks at the next elements of the plane.
    @unsafe mutating func examine(_ bytes: UnsafeRawBufferPointer) {
        switch (rule, dtype) {
        case (.finite, .f32): unsafe count(bytes, CK_F32, UInt32.self) { $0 & 0x7F80_0000 == 0x7F80_0000 }
        case (.finite, .f16): unsafe count(bytes, CK_F16, UInt16.self) { $0 & 0x7C00 == 0x7C00 }
        case (.finite, .bf16): unsafe count(bytes, CK_BF16, UInt16.self) { $0 & 0x7F80 == 0x7F80 }
        case (.positiveFinite, .f32): unsafe count(bytes, Float.self) { !($0 > 0 && $0.isFinite) }
        case (.symmetricInt8, .i8):
            // The C library looks for a byte at the speed of memory; nearly always there is none.
            if let address = bytes.baseAddress, unsafe memchr(address, 0x80, bytes.count) != nil {
                unsafe count(bytes, Int8.self) { $0 == -128 }
            } else {
                position += bytes.count
            }
        default: preconditionFailure("no scheme has a plane of \(dtype) with the rule \(rule)")
        }
    }

    /// Counts NaNs and infinities: a kernel skips to the first, which most planes do not have.
    @unsafe private mutating func count<Element>(
        _ bytes: UnsafeRawBufferPointer, _ kernelType: Int32, _ type: Element.Type, _ breaks: (Element) -> Bool
    ) {
        let count = bytes.count / MemoryLayout<Element>.stride
        if unsafe ck_find_nonfinite(InstructionSet.forConversions.rawValue, kernelType, bytes.baseAddress, count) == count {
            position += count
        } else {
            unsafe self.count(bytes, type, breaks)
        }
    }

    @unsafe private mutating func count<Element>(_ bytes: UnsafeRawBufferPointer, _ type: Element.Type, _ breaks: (Element) -> Bool) {
        let elements = unsafe bytes.assumingMemoryBound(to: Element.self)
        var found = 0
        for index in 0..<elements.count where unsafe breaks(elements[index]) { found += 1 }
        if found > 0, first == nil { first = unsafe elements.firstIndex(where: breaks).map { position + $0 } }
        violations += found
        position += elements.count
    }
}
