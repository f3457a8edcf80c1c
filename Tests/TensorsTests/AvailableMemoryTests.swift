import Files
import Tensors
import TestKit
import Testing

/// Limits of control groups as kernels, containers and service managers state them, in a folder that stands for the root.
struct AvailableMemoryTests {
    let folder: TemporaryFolder
    private static let gibibyte = 1 << 30

    init() throws {
        folder = try TemporaryFolder()
        try write("proc/meminfo", "MemTotal:       16777216 kB\nMemFree:          100000 kB\nMemAvailable:    8388608 kB\nSwapFree:              0 kB\n")
        try write("proc/self/status", "Name:\tsprintpack\nVmHWM:\t   20000 kB\nVmRSS:\t   10240 kB\n")
    }

    private func write(_ path: String, _ text: String) throws {
        var place = folder.path
        for part in path.split(separator: "/").dropLast() {
            place += "/\(part)"
            try Paths.makeDirectory(place)
        }
        try OutputFile.write(Array(text.utf8), to: folder.file(path), kind: .anything, replace: true)
    }

    private var now: AvailableMemory? { AvailableMemory.now(root: folder.path) }

    @Test("without groups it is the machine's, with what the process has") func machine() throws {
        #expect(now?.byteCount == 8 * Self.gibibyte + (10 << 20) && now?.owner == "the machine")
        try write("proc/meminfo", "MemAvailable:    1048576 kB\nSwapFree:        1048576 kB\n")
        #expect(now?.byteCount == 2 * Self.gibibyte + (10 << 20))
    }

    @Test("a system that says nothing has no limit") func silent() {
        #expect(AvailableMemory.now(root: folder.file("nowhere")) == nil)
    }

    /// Version 2: the tightest of the group and those above it; the cache of files counts as free.
    @Test func unified() throws {
        try write("proc/self/cgroup", "0::/user.slice/job.scope\n")
        try write("proc/self/mountinfo", "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n")
        try write("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n")
        try write("sys/fs/cgroup/user.slice/job.scope/memory.current", "1000\n")
        #expect(now?.owner == "the machine")
        try write("sys/fs/cgroup/user.slice/memory.max", "1073741824\n")
        try write("sys/fs/cgroup/user.slice/memory.current", "805306368\n")
        try write("sys/fs/cgroup/user.slice/memory.stat", "anon 268435456\ninactive_file 402653184\nactive_file 134217728\n")
        try write("sys/fs/cgroup/user.slice/memory.swap.max", "0\n")
        try write("sys/fs/cgroup/user.slice/memory.swap.current", "0\n")
        #expect(now?.byteCount == (768 << 20) + (10 << 20) && now?.owner == "the control group /user.slice, which is limited to 1073741824 bytes")
        // Swap helps as far as the machine has it and the group may take it.
        try write("proc/meminfo", "MemAvailable:    8388608 kB\nSwapFree:         524288 kB\n")
        #expect(now?.byteCount == (768 << 20) + (10 << 20))
        try write("sys/fs/cgroup/user.slice/memory.swap.max", "max\n")
        #expect(now?.byteCount == (1280 << 20) + (10 << 20))
    }

    /// A container sees its own group as the top, with a name space of groups or without.
    @Test(arguments: [("/", "/"), ("/docker/3f", "/docker/3f"), ("/docker/3f", "/docker/3f/init")]) func container(root: String, group: String) throws {
        try write("proc/self/cgroup", "0::\(group)\n")
        try write("proc/self/mountinfo", "30 25 0:26 \(root) /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n")
        try write("sys/fs/cgroup/memory.max", "209715200\n")
        try write("sys/fs/cgroup/memory.current", "52428800\n")
        #expect(now?.byteCount == (150 << 20) + (10 << 20))
        #expect(now?.owner.contains("limited to 209715200 bytes") == true)
    }

    /// Version 1, where a limit beyond all memory stands for none.
    @Test func legacy() throws {
        try write("proc/self/cgroup", "5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n")
        try write(
            "proc/self/mountinfo",
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
        try write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        try write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n")
        #expect(now?.owner == "the machine")
        try write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "209715200\n")
        try write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "104857600\n")
        try write("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 52428800\ntotal_active_file 0\n")
        #expect(now?.byteCount == (150 << 20) + (10 << 20))
        // More in use than the limit, as after the limit was lowered: nothing is left but what the process has.
        try write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "504857600\n")
        #expect(now?.byteCount == 10 << 20)
    }

    @Test("what cannot be read, or is no number, is no limit", arguments: ["", "much", "-", "99999999999999999999999"]) func nonsense(text: String) throws {
        try write("proc/self/cgroup", "0::/\nno line\n")
        try write("proc/self/mountinfo", "no line\n30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        try write("sys/fs/cgroup/memory.max", text)
        try write("sys/fs/cgroup/memory.current", "5")
        #expect(now?.owner == "the machine")
    }
}
