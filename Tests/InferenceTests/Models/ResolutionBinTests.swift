import Tensors
import Testing

@testable import Inference

@Suite struct ResolutionBinTests {
    /// What classify_height_width_bin of diffusers answers with its tables of 512, 1024 and 2048 pixels.
    @Test(arguments: [
        (16, [(512, 512), (480, 512), (512, 512), (416, 576), (256, 1024), (288, 864), (864, 288), (672, 384), (1024, 256)]),
        (32, [(1024, 1024), (960, 1024), (1024, 1024), (832, 1152), (512, 2048), (576, 1728), (1728, 576), (1344, 768), (2048, 512)]),
        (64, [(2048, 2048), (1920, 2048), (2048, 2048), (1664, 2304), (1024, 4096), (1152, 3456), (3328, 1152), (2688, 1536), (3840, 1024)]),
    ]) func sizesAreThoseOfDiffusers(sampleSize: Int, expected: [(Int, Int)]) throws {
        let asked = [(1024, 1024), (1000, 1035), (1035, 1000), (480, 640), (512, 4096), (333, 1000), (2000, 690), (832, 480), (3000, 800)]
        for (size, bin) in zip(asked, expected) {
            let found = try ResolutionBin(height: size.0, width: size.1, sampleSize: sampleSize)
            #expect(found.height == bin.0 && found.width == bin.1, "\(size)")
        }
    }

    @Test func aModelOfAnotherSizeHasNone() {
        #expect(throws: InferenceError.self) { try ResolutionBin(height: 128, width: 128, sampleSize: 8) }
    }

    /// What resize_and_crop_tensor of diffusers gives for [2, 4, 6] of 7 i mod 13: its first numbers.
    @Test(arguments: [
        (3, 5, [1.2, 5.7, 5.0, 4.3, 8.8, 4.55, 5.15, 5.75, 6.35, 6.95, 7.9, 4.6]),
        (3, 3, [2.25, 3.0, 7.0, 4.625, 5.375, 6.125, 7.0, 7.75, 5.25, 9.375, 2.0, 6.0]),
        (7, 9, [0.0, 2.8, 7.0, 3.4, 2.4, 6.6, 5.6, 2.0, 6.2, 1.07143, 3.87143, 8.07143]),
        (4, 6, [0.0, 7.0, 1.0, 8.0, 2.0, 9.0, 3.0, 10.0, 4.0, 11.0, 5.0, 12.0]),
    ]) func resizing(height: Int, width: Int, expected: [Float]) throws {
        let image = try Tensor([2, 4, 6], (0..<48).map { Float($0 * 7 % 13) })
        let found = try ResolutionBin.resized(image, height: height, width: width)
        #expect(found.shape == [2, height, width])
        for (a, b) in zip(found.elements, expected) { #expect(abs(a - b) < 1e-5) }
    }

    /// 640 x 480 is drawn at 1152 x 832, which resized is 664 x 479: one row less than asked for, where diffusers' picture is one row high.
    @Test func roundingLosesNoPicture() throws {
        let bin = try ResolutionBin(height: 480, width: 640, sampleSize: 32)
        #expect(try ResolutionBin.resized(try Tensor([1, bin.height, bin.width]), height: 480, width: 640).shape == [1, 480, 640])
    }
}
