import Glibc

/// How much memory this process can have before the kernel ends it: the machine's, and that of every control group above the process.
///
/// A container's limit is such a group's. Going beyond it is no error of an allocation but the end of the process, without a word; hence it is
/// asked before the work. Memory that the kernel gives back when it is asked for, the cache of files, counts as available; so does swap.
package struct AvailableMemory: Sendable, Equatable {
    /// Bytes that can still be had, with what the process has already.
    package let byteCount: Int
    /// Whose limit that is: "the machine", "the control group /docker/3f…".
    package let owner: String

    /// What the system says now; nil where it says nothing.
    /// - Parameter root: where /proc and /sys are looked for.
    package static func now(root: String = "") -> AvailableMemory? {
        let resident = Self.resident(root) ?? 0
        return ([machine(root)] + groups(root)).compactMap { $0 }.min { $0.byteCount < $1.byteCount }
            .map { AvailableMemory(byteCount: max(0, $0.byteCount) + resident, owner: $0.owner) }
    }

    private static func machine(_ root: String) -> AvailableMemory? {
        let fields = fields("\(root)/proc/meminfo")
        return fields["MemAvailable"].map { AvailableMemory(byteCount: 1024 * ($0 + (fields["SwapFree"] ?? 0)), owner: "the machine") }
    }

    private static func resident(_ root: String) -> Int? { fields("\(root)/proc/self/status")["VmRSS"].map { 1024 * $0 } }

    /// The groups of the process that bound its memory, of both versions of the interface.
    private static func groups(_ root: String) -> [AvailableMemory] {
        let swapFree = 1024 * (fields("\(root)/proc/meminfo")["SwapFree"] ?? 0)
        let mounts = lines("\(root)/proc/self/mountinfo").compactMap(Mount.init)
        return lines("\(root)/proc/self/cgroup").flatMap { line -> [AvailableMemory] in
            // "4:memory:/docker/3f…", or "0::/user.slice" of version 2.
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return [] }
            let isUnified = parts[1].isEmpty
            guard isUnified || parts[1].split(separator: ",").contains("memory"), let mount = mounts.first(where: { $0.holdsMemory(isUnified) }) else {
                return []
            }
            let files = GroupFiles(isUnified: isUnified, swapFree: swapFree)
            return mount.folders(of: String(parts[2])).compactMap { folder, name in files.available(root + folder, name) }
        }
    }

    /// The numbers of a file of lines "Name: 12 kB" or "name 12".
    static func fields(_ path: String) -> [String: Int] {
        var result: [String: Int] = [:]
        for line in lines(path) {
            let words = line.split { $0 == " " || $0 == "\t" || $0 == ":" }
            if words.count >= 2, let value = Int(words[1]) { result[String(words[0])] = value }
        }
        return result
    }

    fileprivate static func lines(_ path: String) -> [Substring] {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 14)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            text += piece[..<count]
        }
        return String(decoding: text, as: UTF8.self).split(separator: "\n")
    }
}

/// A mounted hierarchy of control groups (proc(5), mountinfo).
private struct Mount {
    /// Which group of the hierarchy the mount shows as its top.
    let root: String
    let point: String
    let type: String
    let options: [Substring]

    /// "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory"
    init?(_ line: Substring) {
        let words = line.split(separator: " ")
        guard let dash = words.firstIndex(of: "-"), dash >= 6, words.count > dash + 3 else { return nil }
        (root, point, type, options) = (String(words[3]), String(words[4]), String(words[dash + 1]), words[dash + 3].split(separator: ","))
    }

    func holdsMemory(_ isUnified: Bool) -> Bool { isUnified ? type == "cgroup2" : type == "cgroup" && options.contains("memory") }

    /// The folders of a group and of those above it, with their names. A container sees its own group as the top, under whatever name.
    func folders(of group: String) -> [(folder: String, name: String)] {
        var path = group
        if root != "/" { path = group.hasPrefix(root) ? String(group.dropFirst(root.count)) : "" }
        if path == "/" { path = "" }
        var result = [(point + path, group)]
        while let slash = path.lastIndex(of: "/") {
            path = String(path[..<slash])
            result.append((point + path, root == "/" ? (path.isEmpty ? "/" : path) : root + path))
        }
        return result
    }
}

/// The files in which a version of the interface keeps limits and use.
private struct GroupFiles {
    let isUnified: Bool
    /// Bytes of swap that the machine has left.
    let swapFree: Int

    /// Nil where the folder is no group, or the group has no limit.
    func available(_ folder: String, _ name: String) -> AvailableMemory? {
        let names = isUnified ? (limit: "memory.max", usage: "memory.current") : (limit: "memory.limit_in_bytes", usage: "memory.usage_in_bytes")
        // "max", or a number beyond all memory, is no limit.
        guard let limit = number("\(folder)/\(names.limit)"), limit < 1 << 60, let usage = number("\(folder)/\(names.usage)") else { return nil }
        let stat = AvailableMemory.fields("\(folder)/memory.stat")
        // Version 1 counts the groups below apart.
        let cache = ["inactive_file", "active_file"].reduce(0) { $0 + (stat[isUnified ? $1 : "total_\($1)"] ?? 0) }
        return AvailableMemory(
            byteCount: limit - usage + min(usage, cache) + swap(folder, limit), owner: "the control group \(name), which is limited to \(limit) bytes")
    }

    /// What the group may still put out to swap.
    private func swap(_ folder: String, _ limit: Int) -> Int {
        if let most = number("\(folder)/memory.swap.max"), let used = number("\(folder)/memory.swap.current") { return max(0, min(swapFree, most - used)) }
        // Version 1 bounds memory and swap together.
        if let both = number("\(folder)/memory.memsw.limit_in_bytes") { return max(0, min(swapFree, both - limit)) }
        return swapFree
    }

    private func number(_ path: String) -> Int? { AvailableMemory.lines(path).first.flatMap { Int($0) } }
}
