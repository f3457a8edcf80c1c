import CUDADriver
import TestKit

/// A card of the stand-in with a stream, and what tests do on it.
@safe final class Bench {
    let device: Device
    let stream: Stream

    /// - Parameter library: a copy, where the test breaks it.
    init(_ library: String = StandIn.library) throws {
        device = try Device(library: library)
        stream = try Stream(device)
    }

    func memory<Element: BitwiseCopyable>(_ elements: [Element]) throws -> DeviceSlice {
        let slice = try DeviceMemory(device, byteCount: max(1, elements.count * MemoryLayout<Element>.stride)).slice
        try unsafe elements.withUnsafeBytes { try unsafe stream.upload($0, to: slice[0..<$0.count]) }
        return slice
    }

    func fresh(_ byteCount: Int) throws -> DeviceSlice { try DeviceMemory(device, byteCount: byteCount).slice }

    func read<Element: BitwiseCopyable & ExpressibleByIntegerLiteral>(_ slice: DeviceSlice, as type: Element.Type) throws -> [Element] {
        var result = [Element](repeating: 0, count: slice.byteCount / MemoryLayout<Element>.stride)
        try unsafe result.withUnsafeMutableBytes { try unsafe stream.download(slice, to: $0) }
        return result
    }

    /// A module of PTX text behind the lines that every text begins with.
    func module(_ text: String) throws -> Module {
        try (".version 7.0\n.target sm_80\n.address_size 64\n" + text).withCString { try unsafe Module(device, name: "tests", text: $0) }
    }

    /// Runs the kernel `k` of a text with two addresses, and waits.
    func run(_ text: String, _ first: DeviceSlice, _ second: DeviceSlice, threads: Int = 32, blocks: Int = 1, sharedBytes: Int = 0) throws {
        let kernel = try module(text).kernel("k", threads: threads, sharedBytes: sharedBytes)
        try kernel.launch(on: stream, grid: (blocks, 1, 1), Addresses(first: first.address, second: second.address))
        try stream.synchronize()
    }

    struct Addresses: BitwiseCopyable { var first, second: UInt64 }

    /// A kernel `k` whose registers %first and %second are the two addresses and %t is the thread.
    static func kernel(_ body: String, before: String = "") -> String {
        """
        \(before)
        .visible .entry k(.param .align 8 .b8 k_param_0[16])
        {
        .reg .pred %p<10>; .reg .b16 %h<10>; .reg .b32 %r<40>, %t; .reg .b64 %rd<20>, %first, %second;
        ld.param.v2.u64 {%first, %second}, [k_param_0];
        mov.u32 %t, %tid.x;
        \(body)
        ret;
        }
        """
    }
}

/// So many words, each of its index.
func words(_ count: UInt32, _ word: (UInt32) -> UInt32) -> [UInt32] { (0..<count).map(word) }

/// What a call throws, as text; nil where it throws nothing.
func failure(_ body: () throws -> Void) -> String? {
    do { try body() } catch { return "\(error)" }
    return nil
}
