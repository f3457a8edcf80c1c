import ArgumentParser
import Files
import Inference
import Operations
import Tensors

/// The picture that is changed, and by how much.
struct ImageOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Change this picture, a PNG, instead of starting from noise.", valueName: "picture.png"))
    var image: String?

    @Option(help: ArgumentHelp("How much of the steps the picture of --image goes through, above 0 and up to 1; 0.6 by default.", valueName: "s"))
    var strength: Double?

    private static let defaultStrength = 0.6
    /// What a picture has to count at the first time for it to be seen.
    private static let leastWeight = 0.01

    func validate() throws {
        if let strength, !(strength > 0 && strength <= 1) { throw ValidationError("--strength: expected a number above 0 and up to 1, found \(strength)") }
        if strength != nil, image == nil { throw ValidationError("--strength: expected --image with a picture, found none") }
    }

    var appliedStrength: Double { strength ?? Self.defaultStrength }

    func open() throws -> InputFile? { try image.map { try InputFile(path: $0) } }

    /// Has the request start from the picture, and take the last of its steps.
    func follow(_ file: InputFile?, _ request: inout GenerationRequest, _ pipeline: SanaSprintPipeline<some Executor>) throws {
        guard let file else { return }
        let (strength, most) = (appliedStrength, pipeline.configuration.scheduler.maximumSteps)
        let all = request.timesteps
        do throws(InferenceError) { request.timesteps = try all.last(strength: strength, maximumSteps: most) } catch {
            throw CommandFailure.usage("--\(error)")
        }
        guard try request.timesteps.pictureWeight(maximumSteps: most) >= Self.leastWeight else {
            throw CommandFailure.usage(
                "--image: expected a plan that starts where the picture counts, found \(all.stepCount) steps at the strength \(strength), which start at pure "
                    + "noise; take --steps 2 --strength 0.5, or for small changes --steps 4 --strength 0.3")
        }
        request.picture = try Pixels.normalized(try PictureInput.read(file, "--image", for: request, pipeline))
    }
}
