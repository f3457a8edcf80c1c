import Glibc
import Synchronization

/// The temporary files and folders that exist right now, so that an interrupt can remove them.
package enum TemporaryFiles {
    private static let names = Mutex<Set<String>>([])

    /// A hidden name that is free, for a temporary beside an output.
    /// - Parameter name: the output's, which the temporary's ends with where a name may be so long.
    package static func name(in folder: String, like name: String = "") -> String {
        let prefix = ".sprintpack-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        let fits = !name.isEmpty && prefix.utf8.count + 1 + name.utf8.count <= Int(NAME_MAX)
        return Paths.join(folder, fits ? "\(prefix)-\(name)" : "\(prefix).tmp")
    }

    package static func add(_ path: String) { names.withLock { _ = $0.insert(path) } }
    package static func remove(_ path: String) { names.withLock { _ = $0.remove(path) } }

    /// Runs `body` while no interrupt can end the process: what has several steps is done or not done.
    package static func withLock(_ body: (inout sending Set<String>) -> Void) { names.withLock { body(&$0) } }

    /// Removes what is registered and ends the process. The lock is kept, so that no other thread commits or creates a file in between.
    package static func removeAll(thenExit code: Int32) -> Never {
        names.withLock { names in
            for name in names { Paths.removeTree(name) }
            _exit(code)
        }
    }
}
