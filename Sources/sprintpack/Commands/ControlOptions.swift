import ArgumentParser
import Files
import Inference
import Operations
import Tensors

/// The picture that a control network follows.
struct ControlOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Follow this picture: a PNG of what the file's control network was trained on, for instance white lines on black.", valueName: "picture.png"))
    var control: String?

    @Option(help: ArgumentHelp("How closely the control picture is followed; 1 by default, 0 is not at all.", valueName: "s"))
    var controlScale: Double?

    func validate() throws {
        if let controlScale, !(controlScale.isFinite && abs(controlScale) <= 1000) {
            throw ValidationError("--control-scale: expected a number from -1000 to 1000, found \(controlScale)")
        }
    }

    func open() throws -> InputFile? { try control.map { try InputFile(path: $0) } }

    /// Has the request follow the picture, or with a scale alone what it follows already.
    func follow(_ file: InputFile?, _ request: inout GenerationRequest, _ pipeline: SanaSprintPipeline<some Executor>) throws {
        guard let file else {
            if let controlScale {
                guard let known = request.control else { throw CommandFailure.usage("--control-scale: expected --control with a picture, found none") }
                request.control = ControlRequest(known.source, scale: controlScale)
            }
            return
        }
        guard pipeline.has(.controlnet) else {
            throw CommandFailure.couldNot("--control: expected a file with a control network, found none in it; convert with --controlnet")
        }
        let picture = try PictureInput.read(file, "--control", for: request, pipeline)
        request.control = try ControlRequest(picture, scale: controlScale ?? 1)
    }
}
