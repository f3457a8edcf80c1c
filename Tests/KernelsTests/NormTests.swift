import CKernels
import TestKit
import Testing

private let widths = Array(1...67) + [128, 1152, 2240]

/// Rows with a mean far from zero, where a variance in float would lose its digits.
private func rows(_ count: Int, _ k: Int, seed: UInt64) -> [Float] {
    var random = SplitMix64(seed: seed)
    return random.floats(count * k).map { $0 + 50 }
}

@Suite struct NormTests {
    @Test(arguments: InstructionSet.supported)
    func layerNorm(_ set: InstructionSet) {
        var random = SplitMix64(seed: 15)
        for k in widths {
            let m = 2, x = rows(m, k, seed: UInt64(k)), scale = random.floats(k), shift = random.floats(k), eps = 1e-6
            var y = [Float](repeating: 777, count: m * k + 1)
            func exact(_ scale: [Float]?, _ shift: [Float]?) -> [Double] {
                (0..<m).flatMap { row -> [Double] in
                    let v = x[row * k..<(row + 1) * k].map(Double.init)
                    let mean = v.reduce(0, +) / Double(k)
                    let variance = v.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(k)
                    let root = (variance + eps).squareRoot()
                    return v.indices.map { i in
                        let factor = 1 + Double(scale?[i] ?? 0), offset = Double(shift?[i] ?? 0)
                        return (v[i] - mean) / root * factor + offset
                    }
                }
            }
            func check(_ exact: [Double], _ name: String) {
                #expect(y.last == 777)
                for (value, exact) in zip(y, exact) {
                    // Half an ulp, and what cancels against the shift or the mean in double.
                    #expect(abs(Double(value) - exact) <= 0.5 * Double(Float(exact).ulp) + 1e-11, "\(name), k \(k)")
                }
            }
            unsafe ck_layernorm_modulate(set.code, x, scale, shift, eps, &y, m, k)
            check(exact(scale, shift), "both")
            unsafe ck_layernorm_modulate(set.code, x, nil, nil, eps, &y, m, k)
            check(exact(nil, nil), "none")
            unsafe ck_layernorm_modulate(set.code, x, scale, nil, eps, &y, m, k)
            check(exact(scale, nil), "scale")
            unsafe ck_layernorm_modulate(set.code, x, nil, shift, eps, &y, m, k)
            check(exact(nil, shift), "shift")
        }
    }

    @Test(arguments: InstructionSet.supported, [0.0, 1.0])
    func rmsNorm(_ set: InstructionSet, _ offset: Double) {
        var random = SplitMix64(seed: 16)
        for k in widths {
            let m = 2, x = rows(m, k, seed: UInt64(k)), weight = random.floats(k), bias = random.floats(k), eps = 1e-5
            var y = [Float](repeating: 777, count: m * k + 1)
            func exact(_ weight: [Float]?, _ bias: [Float]?) -> [Double] {
                (0..<m).flatMap { row -> [Double] in
                    let v = x[row * k..<(row + 1) * k].map(Double.init)
                    let root = (v.reduce(0) { $0 + $1 * $1 } / Double(k) + eps).squareRoot()
                    return v.indices.map { i in
                        let factor = if let weight { offset + Double(weight[i]) } else { 1.0 }
                        return v[i] / root * factor + Double(bias?[i] ?? 0)
                    }
                }
            }
            func check(_ exact: [Double], _ name: String) {
                #expect(y.last == 777)
                for (value, exact) in zip(y, exact) {
                    #expect(abs(Double(value) - exact) <= 0.5 * Double(Float(exact).ulp) + 1e-13, "\(name), k \(k)")
                }
            }
            unsafe ck_rmsnorm(set.code, x, weight, bias, offset, eps, &y, m, k)
            check(exact(weight, bias), "both")
            unsafe ck_rmsnorm(set.code, x, weight, nil, offset, eps, &y, m, k)
            check(exact(weight, nil), "weight")
            unsafe ck_rmsnorm(set.code, x, nil, bias, offset, eps, &y, m, k)
            check(exact(nil, bias), "bias")
            unsafe ck_rmsnorm(set.code, x, nil, nil, offset, eps, &y, m, k)
            check(exact(nil, nil), "none")
        }
    }

    @Test(arguments: InstructionSet.supported)
    func everySetGivesTheBitsOfThePlainOneInPlaceToo(_ set: InstructionSet) {
        var random = SplitMix64(seed: 17)
        for k in widths {
            let x = rows(3, k, seed: 18), a = random.floats(k), b = random.floats(k)
            var layer = x, layerPlain = x, rms = x, rmsPlain = x
            unsafe ck_layernorm_modulate(InstructionSet.plain.code, x, a, b, 1e-6, &layerPlain, 3, k)
            unsafe ck_rmsnorm(InstructionSet.plain.code, x, a, b, 0, 1e-6, &rmsPlain, 3, k)
            unsafe layer.withUnsafeMutableBytes { unsafe ck_layernorm_modulate(set.code, $0.baseAddress, a, b, 1e-6, $0.baseAddress, 3, k) }
            unsafe rms.withUnsafeMutableBytes { unsafe ck_rmsnorm(set.code, $0.baseAddress, a, b, 0, 1e-6, $0.baseAddress, 3, k) }
            #expect(sameBits(layer, layerPlain) && sameBits(rms, rmsPlain))
        }
    }

    @Test(arguments: InstructionSet.supported)
    func zerosStayZero(_ set: InstructionSet) {
        var y = [Float](repeating: 1, count: 33)
        unsafe ck_rmsnorm(set.code, [Float](repeating: 0, count: 33), nil, nil, 0, 1e-5, &y, 1, 33)
        #expect(y.allSatisfy { $0 == 0 })
    }
}
