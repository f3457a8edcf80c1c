import Files
import Glibc

/// The few system calls by which the tests set up what the tool itself never makes.
func makeLink(_ path: String, to target: String) throws(FileError) {
    guard unsafe symlink(target, path) == 0 else { throw .system(operation: "symlink", path: path, code: errno) }
}

func makeHardLink(_ path: String, to target: String) throws(FileError) {
    guard unsafe link(target, path) == 0 else { throw .system(operation: "link", path: path, code: errno) }
}

func makePipe(_ path: String) throws(FileError) {
    guard unsafe mkfifo(path, 0o600) == 0 else { throw .system(operation: "mkfifo", path: path, code: errno) }
}

/// Changes the size of a file in place, as something else that writes to it would.
func resize(_ path: String, to count: Int) throws(FileError) {
    guard unsafe truncate(path, count) == 0 else { throw .system(operation: "truncate", path: path, code: errno) }
}
