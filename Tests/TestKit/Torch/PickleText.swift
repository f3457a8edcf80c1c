/// Writes pickles of protocol 2 by hand, honest ones and others.
package struct PickleText {
    package private(set) var bytes: [UInt8] = [0x80, 2]

    package init() {}

    /// Whatever bytes: instructions that have no word here.
    package mutating func raw(_ bytes: [UInt8]) { self.bytes += bytes }
    package mutating func raw(_ text: String) { bytes += Array(text.utf8) }
    package mutating func mark() { raw("(") }
    package mutating func text(_ text: String) { bytes += [0x58] + RawZip.little(UInt32(text.utf8.count)) + Array(text.utf8) }
    package mutating func integer(_ value: Int) {
        if let small = UInt8(exactly: value) {
            bytes += [0x4B, small]
        } else if let value = Int32(exactly: value) {
            bytes += [0x4A] + RawZip.little(value)
        } else {
            bytes += [0x8A, 8] + RawZip.little(value)
        }
    }
    package mutating func global(_ module: String, _ name: String) { raw("c\(module)\n\(name)\n") }
    package mutating func tuple(_ numbers: [Int]) {
        mark()
        numbers.forEach { integer($0) }
        raw("t")
    }
    package mutating func put(_ index: Int) { bytes += [0x72] + RawZip.little(UInt32(index)) }
    package mutating func get(_ index: Int) { bytes += [0x6A] + RawZip.little(UInt32(index)) }
    package mutating func emptyOrderedDict() {
        global("collections", "OrderedDict")
        raw(")R")
    }
    package mutating func storage(_ key: String, _ type: String = "FloatStorage", count: Int, module: String = "torch") {
        mark()
        text("storage")
        global(module, type)
        text(key)
        text("cpu")
        integer(count)
        raw("tQ")
    }

    /// A tensor of storage `key`, which has `count` elements.
    package mutating func tensor(
        _ key: String, _ type: String = "FloatStorage", count: Int, offset: Int = 0, sizes: [Int], strides: [Int], function: String = "_rebuild_tensor_v2"
    ) {
        global("torch._utils", function)
        mark()
        storage(key, type, count: count)
        integer(offset)
        tuple(sizes)
        tuple(strides)
        raw([0x89])
        emptyOrderedDict()
        raw("tR")
    }

    /// The pickle, ended.
    package var finished: [UInt8] { bytes + [0x2E] }

    /// A state_dict of one tensor `weight`, [2, 3] float32, in storage "0".
    package static func weights(_ build: (inout PickleText) -> Void = { $0.tensor("0", count: 6, sizes: [2, 3], strides: [3, 1]) }) -> [UInt8] {
        var pickle = PickleText()
        pickle.raw("}")
        pickle.text("weight")
        build(&pickle)
        pickle.raw("s")
        return pickle.finished
    }
}
