import Files
import TestKit
import Testing

struct OutputDescriptorTests {
    /// What passes by the cache must be aligned; whatever is not takes the usual way, as does all in a file system without the other. The second
    /// folder lies in memory.
    @Test(arguments: ["/tmp", "/dev/shm"]) func bytesArriveByEitherWay(parent: String) throws {
        let folder = try TemporaryFolder(in: parent)
        let path = folder.file("out")
        let file = try OutputFile(path: path, replace: false)
        let page = OutputDescriptor.uncachedAlignment
        let room = [UInt8](repeating: 5, count: 3 * page)
        try unsafe room.withUnsafeBytes { bytes in
            let start = (page - Int(bitPattern: bytes.baseAddress) % page) % page
            file.descriptor.passByCache(true)
            unsafe try file.descriptor.write(UnsafeRawBufferPointer(rebasing: bytes[start..<start + page]), at: 0)
            unsafe try file.descriptor.write(UnsafeRawBufferPointer(rebasing: bytes[start + 1..<start + 8]), at: UInt64(page) + 1)
            file.descriptor.passByCache(false)
            unsafe try file.descriptor.write(UnsafeRawBufferPointer(rebasing: bytes[..<3]), at: UInt64(page) + 8)
        }
        try file.commit()
        #expect(try InputFile(path: path).contents(limit: 1 << 20) == [UInt8](repeating: 5, count: page) + [0] + [UInt8](repeating: 5, count: 10))
    }
}
