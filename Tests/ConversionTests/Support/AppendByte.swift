import Glibc

/// Makes a file one byte longer, as a program would that writes to it meanwhile.
func appendByte(to path: String) {
    let descriptor = unsafe open(path, O_WRONLY | O_APPEND)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    precondition(unsafe write(descriptor, &byte, 1) == 1)
}
