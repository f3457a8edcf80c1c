import Files
import Inference
import Operations
import Tensors

/// A picture that a verb reads.
enum PictureInput {
    /// The picture in a PNG file in the size of a request's.
    ///
    /// As in diffusers, one of another size is resized, whatever becomes of the ratio of its sides.
    /// - Parameter option: that names the file.
    static func read(_ file: InputFile, _ option: String, for request: GenerationRequest, _ pipeline: SanaSprintPipeline<some Executor>) throws -> Picture {
        guard pipeline.readsPictures else {
            throw CommandFailure.couldNot(
                "\(option): expected a file with the autoencoder's encoder, which reads pictures, found none in it; "
                    + "convert with --components that include vae-encoder, or all")
        }
        let (width, height) = try pipeline.size(of: request)
        // Sizes are refused before anything is made of them.
        try Memory.check(available: try Engine(pipeline).memoryStatement(request).byteCount + PNGImage.readingBytes(file))
        let read = try PNGImage.read(file)
        let picture = Picture(width: read.width, height: read.height, rgb: read.rgb)
        guard (read.width, read.height) != (width, height) else { return picture }
        let stretched = read.width * height == read.height * width ? "" : ", which stretches it; --width and --height can be of its ratio"
        Console.warn("\(file.path) is \(read.width) x \(read.height): resized to \(width) x \(height)\(stretched)")
        return picture.resized(width: width, height: height)
    }
}
