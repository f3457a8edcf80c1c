import Files
import Glibc

/// The driver without a GPU (Tests/StandInDriver), which lies beside the test bundle.
package enum StandIn {
    package static let library = Paths.join(Paths.parent(of: Paths.linkTarget("/proc/self/exe") ?? ""), "libStandInDriver.so")

    /// A copy of the library, which has memory and failures of its own: what a test breaks stays broken for all who use the same one.
    /// - Parameters:
    ///   - version: CUDA's, 12040 for 12.4.
    ///   - cards: how many there are.
    ///   - steps: how many instructions a block may do, roughly.
    package static func copy(in folder: TemporaryFolder, version: Int32 = 12040, cards: Int32 = 3, steps: UInt64 = 1 << 33) throws -> String {
        let path = folder.file("libcuda-\(UInt32.random(in: 0 ... .max)).so.1")
        try InputFile(path: library).contents(limit: 1 << 26).withUnsafeBytes { bytes in
            let file = unsafe fopen(path, "w")
            guard unsafe file != nil, unsafe fwrite(bytes.baseAddress, 1, bytes.count, file) == bytes.count, unsafe fclose(file) == 0 else {
                throw Missing(path: path)
            }
        }
        typealias Pretend = @convention(c) (Int32, Int32, UInt64) -> Void
        guard let handle = unsafe dlopen(path, RTLD_NOW | RTLD_LOCAL), let pretend = unsafe dlsym(handle, "stand_in_pretend") else {
            throw Missing(path: path)
        }
        unsafe unsafeBitCast(pretend, to: Pretend.self)(version, cards, steps)
        return path
    }

    struct Missing: Error { let path: String }
}
