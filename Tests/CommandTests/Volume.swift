import Foundation
import Glibc
import TestKit
import Testing

/// What a volume lacks, as the shim of `Shims/volume.c` plays it.
struct Volume: CustomTestStringConvertible, Sendable {
    let name: String
    let environment: [String: String]
    /// Whether a name can be given to a file, and files exchange names, in one step: else a kill at the wrong moment shows the steps.
    let isAtomic: Bool

    var testDescription: String { name }

    static let complete = Volume(name: "a volume that has everything", environment: [:], isAtomic: true)
    /// FAT, exFAT, SMB, many FUSE drives: the errors they answer with, and what newer kernels make of them.
    static let poor: [Volume] =
        [EPERM, ENOSYS, EOPNOTSUPP].map { code in
            Volume(name: "no links (\(code))", environment: ["SHIM_NO_TMPFILE": "1", "SHIM_NO_LINK": "\(code)"], isAtomic: true)
        } + [
            Volume(
                name: "no links, no flags of rename", environment: ["SHIM_NO_TMPFILE": "1", "SHIM_NO_LINK": "\(EPERM)", "SHIM_NO_RENAME2": "\(EINVAL)"],
                isAtomic: false),
            Volume(name: "nameless files, but no links", environment: ["SHIM_NO_LINK": "\(EPERM)"], isAtomic: true),
            Volume(name: "no nameless files", environment: ["SHIM_NO_TMPFILE": "1"], isAtomic: true),
            Volume(name: "no flags of rename", environment: ["SHIM_NO_RENAME2": "\(ENOSYS)"], isAtomic: false),
        ]

    /// The shim, compiled once.
    private static let shim: Result<String, any Error> = Result {
        let library = NSTemporaryDirectory() + "sprintpack-volume-\(getpid()).so"
        let source = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Shims/volume.c").path
        let result = try ChildProcess.run(["clang", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"])
        guard result.status == 0 else { throw Workshop.Failure(description: result.errors) }
        return library
    }

    /// Runs the tool on this volume.
    func run(_ arguments: [String], killAt: Int? = nil) throws -> ChildProcess.Result {
        var environment = environment
        environment["LD_PRELOAD"] = try Self.shim.get()
        if let killAt { environment["SHIM_KILL_AT"] = "\(killAt)" }
        return try Tool.run(arguments, environment: environment)
    }
}

/// A real exFAT volume in a file, where this machine can mount one.
final class ExFATVolume {
    let path: String
    private let folder: TemporaryFolder

    static let isAvailable =
        getuid() == 0 && FileManager.default.fileExists(atPath: "/dev/loop-control") && FileManager.default.fileExists(atPath: "/dev/fuse")
        && ["mkfs.exfat", "mount.exfat-fuse", "losetup"].allSatisfy { (try? ChildProcess.run(["/bin/sh", "-c", "command -v \($0)"]).status) == 0 }

    init() throws {
        folder = try TemporaryFolder()
        path = folder.file("volume")
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let image = folder.file("image")
        let made = try Tool.shell(
            "set -e; truncate -s 64M \(image); mkfs.exfat \(image); loop=$(losetup -f --show \(image)); echo $loop > \(folder.file("loop")); mount.exfat-fuse $loop \(path)"
        )
        guard made.status == 0 else { throw Workshop.Failure(description: made.errors) }
    }

    deinit { _ = try? Tool.shell("umount \(path); losetup -d $(cat \(folder.file("loop")))") }
}
