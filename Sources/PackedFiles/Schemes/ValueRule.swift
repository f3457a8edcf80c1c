internal import CKernels
import Glibc
import Tensors

/// What the elements of a plane must be: a value, which a scheme brings with its planes.
@safe struct ValueRule: Sendable {
    /// What the elements are: "finite".
    let name: String
    /// Whether elements that break the rule are NaNs and infinities, of which there may be as many as the directory states.
    let allowsStated: Bool
    let elementByteCount: Int
    private let check: @Sendable (UnsafeRawBufferPointer) -> Violations

    /// Of a run of elements.
    typealias Violations = (count: Int, first: Int?)

    @unsafe private init(
        _ name: String, _ elementByteCount: Int, allowsStated: Bool = false, _ check: @escaping @Sendable (UnsafeRawBufferPointer) -> Violations
    ) {
        (self.name, self.elementByteCount, self.allowsStated) = (name, elementByteCount, allowsStated)
        unsafe self.check = check
    }

    /// A rule for each element by itself.
    /// - Parameter breaks: whether one is not `name`.
    static func elements<Element: BitwiseCopyable>(
        _ name: String, of type: Element.Type, _ breaks: @escaping @Sendable (Element) -> Bool
    ) -> ValueRule {
        unsafe ValueRule(name, MemoryLayout<Element>.stride) { unsafe violations($0, breaks) }
    }

    /// Any bytes.
    static let any = unsafe ValueRule("of any kind", 1) { _ in (0, nil) }
    /// Finite and above zero: scales, F32.
    static let positive = elements("positive and finite", of: Float.self) { !($0 > 0 && $0.isFinite) }
    /// Within -127 ... 127: symmetric int8 has no -128.
    static let symmetricInt8 = unsafe ValueRule("within -127 ... 127", 1) { bytes in
        // The C library looks for a byte at the speed of memory; nearly always there is none.
        guard let address = bytes.baseAddress, unsafe memchr(address, 0x80, bytes.count) != nil else { return (0, nil) }
        return unsafe violations(bytes) { (element: Int8) in element == -128 }
    }

    /// Powers of two that float32 products survive, I8.
    static func exponents(_ most: Int) -> ValueRule {
        elements("within -\(most) ... \(most)", of: Int8.self) { $0 < -most || $0 > most }
    }

    /// Finite, but for as many NaNs and infinities as the directory states: F16, BF16 or F32.
    static func finite(_ dtype: DType) -> ValueRule {
        func rule<Element: BitwiseCopyable>(_ kernelType: CInt, _ breaks: @escaping @Sendable (Element) -> Bool) -> ValueRule {
            unsafe ValueRule("finite", MemoryLayout<Element>.stride, allowsStated: true) { bytes in
                // A kernel skips to the first, which most planes do not have.
                let count = bytes.count / MemoryLayout<Element>.stride
                guard unsafe ck_find_nonfinite(InstructionSet.forConversions.rawValue, kernelType, bytes.baseAddress, count) < count else { return (0, nil) }
                return unsafe violations(bytes, breaks)
            }
        }
        switch dtype {
        case .f16: return rule(CK_F16) { (bits: UInt16) in bits & 0x7C00 == 0x7C00 }
        case .bf16: return rule(CK_BF16) { (bits: UInt16) in bits & 0x7F80 == 0x7F80 }
        case .f32: return rule(CK_F32) { (bits: UInt32) in bits & 0x7F80_0000 == 0x7F80_0000 }
        default: preconditionFailure("\(dtype) has no infinities here")
        }
    }

    @unsafe private static func violations<Element: BitwiseCopyable>(_ bytes: UnsafeRawBufferPointer, _ breaks: (Element) -> Bool) -> Violations {
        let elements = unsafe bytes.assumingMemoryBound(to: Element.self)
        var found: Violations = (0, nil)
        for index in 0..<elements.count where unsafe breaks(elements[index]) {
            found.count += 1
            found.first = found.first ?? index
        }
        return found
    }

    @unsafe func violations(_ bytes: UnsafeRawBufferPointer) -> Violations { unsafe check(bytes) }
}

/// Counts the elements of a plane that break its rule.
struct ValueCensus {
    let rule: ValueRule
    private(set) var violations = 0
    /// Index of the first element that breaks the rule.
    private(set) var first: Int?
    private var position = 0

    init(_ rule: ValueRule) { self.rule = rule }

    /// Looks at the next elements of the plane.
    @unsafe mutating func examine(_ bytes: UnsafeRawBufferPointer) {
        let found = unsafe rule.violations(bytes)
        first = first ?? found.first.map { position + $0 }
        violations += found.count
        position += bytes.count / rule.elementByteCount
    }
}
