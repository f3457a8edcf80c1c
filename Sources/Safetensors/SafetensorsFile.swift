package import Files
import StrictJSON
package import Tensors

#if _endian(big)
    #error("tensors are read as the file holds them, which is little-endian")
#endif

/// A safetensors file open for reading: its whole header is validated, its tensors are read on demand, from any thread.
package final class SafetensorsFile: Sendable {
    package let file: InputFile
    package let header: SafetensorsHeader
    private let index: [ExactString: Int]
    package var path: String { file.path }

    /// Opens a file and validates its header; no tensor is read.
    package static func open(_ path: String, limits: SafetensorsHeader.Limits = .init()) throws(SafetensorsError) -> SafetensorsFile {
        let file: InputFile
        do { file = try InputFile(path: path) } catch { throw .file(error) }
        return SafetensorsFile(file: file, header: try HeaderParser(file: file, limits: limits).parse())
    }

    private init(file: InputFile, header: SafetensorsHeader) {
        self.file = file
        self.header = header
        index = Dictionary(uniqueKeysWithValues: header.entries.enumerated().map { (ExactString($1.name), $0) })
    }

    /// The tensor of that name, compared by bytes.
    package func entry(_ name: String) -> SafetensorsHeader.Entry? { index[ExactString(name)].map { header.entries[$0] } }

    /// Reads a whole tensor.
    package func read(_ name: String) throws(SafetensorsError) -> EncodedTensor {
        guard let entry = entry(name) else { throw .missingTensor(path: path, tensor: name) }
        let tensor: EncodedTensor
        do { tensor = try EncodedTensor(dtype: entry.dtype, shape: entry.shape) } catch { throw .machine(error) }
        // The buffer has just been made: nobody else reads or writes it.
        do { unsafe try file.read(at: entry.offset, into: tensor.buffer.mutableBytes) } catch { throw .file(error) }
        return tensor
    }
}
