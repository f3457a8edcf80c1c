import Tensors
import TestKit
import Testing

@testable import Parity

@Suite struct PictureMetricsTests {
    private func picture(_ tensor: EncodedTensor) -> Picture {
        Picture(width: tensor.shape[1], height: tensor.shape[0], rgb: unsafe Array(tensor.bytes))
    }

    @Test("equal what scikit-image computes", arguments: ["noise", "wrap", "extremes", "one_level", "same", "shifted"])
    func fixtures(name: String) throws {
        let fixtures = try MetricFixtures()
        let pair = try fixtures.pair("picture.\(name)")
        let metrics = PictureMetrics(reference: picture(pair.reference), other: picture(pair.other))
        // An absolute bound: one of the cases has exactly 0 dB.
        let expected = fixtures.value("picture.\(name)", "psnr_db")
        #expect((metrics.psnr == nil) == (expected == nil))
        #expect(abs((metrics.psnr ?? 0) - (expected ?? 0)) <= 1e-10)
        #expect(abs((metrics.ssim ?? -1) - (fixtures.value("picture.\(name)", "ssim_gaussian") ?? -2)) <= 1e-12)
        #expect(Double(metrics.maxLevels) == fixtures.value("picture.\(name)", "max_levels"))
    }

    /// A peer subtracts 8-bit values without widening them, so that 0 - 255 is 1: it reports 28.6 dB for a picture of 21.0 dB.
    @Test func largeDifferencesDoNotWrap() throws {
        let black = Picture(width: 8, height: 8, rgb: [UInt8](repeating: 0, count: 192))
        let white = Picture(width: 8, height: 8, rgb: [UInt8](repeating: 255, count: 192))
        #expect(PictureMetrics(reference: black, other: white).psnr == 0)
        #expect(PictureMetrics(reference: white, other: black).psnr == 0)
        #expect(PictureMetrics(reference: white, other: black).maxLevels == 255)
        #expect(white.amplifiedDifference(to: black, factor: 32).rgb == white.rgb)
    }

    @Test func smallPicturesHaveNoSSIM() {
        let picture = Picture(width: 10, height: 12, rgb: [UInt8](repeating: 7, count: 360))
        #expect(PictureMetrics(reference: picture, other: picture).ssim == nil)
        #expect(PictureMetrics(reference: picture, other: picture).psnr == nil)
    }

    @Test func thumbnailsAreMeansOfBlocks() {
        let picture = Picture(width: 3, height: 2, rgb: [0, 0, 0, 10, 20, 30, 7, 8, 9, 20, 40, 60, 30, 60, 90, 9, 8, 7])
        #expect(picture.thumbnail(limit: 2) == Picture(width: 2, height: 1, rgb: [15, 30, 45, 8, 8, 8]))
        #expect(picture.thumbnail(limit: 3) == picture)
    }
}
