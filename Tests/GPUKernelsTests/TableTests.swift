import CGPUKernels
import CUDADriver
import Foundation
import Testing

/// The text that ships, and the table that kernels are launched by.
@Suite struct TableTests {
    private static func text(_ module: Int32) -> String { unsafe String(cString: cg_module_text(module)) }

    @Test func everyKernelOfTheTextIsInTheTableAndTheOtherWayRound() {
        for module in 0..<cg_module_count() {
            let entries = Self.text(module).split(separator: "\n").compactMap { line in
                line.hasPrefix(".visible .entry ") ? String(line.dropFirst(16).prefix { $0 != "(" }) : nil
            }
            #expect(!entries.isEmpty)
            #expect(Set(entries) == Set(GPU.table.filter { $0.module == Int(module) }.map(\.name)))
        }
    }

    /// The text was made of the header as it is: every argument has the size of its structure.
    @Test func argumentsAreThoseOfTheHeader() throws {
        let sizes: [(kernels: [String], size: Int)] = [
            (["quantize_rows"], MemoryLayout<cg_quantize>.stride), (["quantize_pixels"], MemoryLayout<cg_pixels>.stride),
            (["narrow_rows"], MemoryLayout<cg_narrow>.stride),
            (["layer_norm", "rms_norm"], MemoryLayout<cg_norm>.stride), (["norm_pixels"], MemoryLayout<cg_norm_pixels>.stride),
            (["activate"], MemoryLayout<cg_activate>.stride), (["gate_gelu", "gate_silu"], MemoryLayout<cg_gate>.stride),
            (["add"], MemoryLayout<cg_add>.stride), (["rotate"], MemoryLayout<cg_rotate>.stride),
            (["shuffle", "unshuffle"], MemoryLayout<cg_shuffle>.stride), (["add_shortcut", "add_doubled"], MemoryLayout<cg_shortcut>.stride),
            (["gemm_i8_", "gemm_bf16_", "gemm_f16_"], MemoryLayout<cg_product>.stride), (["gemm_f32_", "row_product"], MemoryLayout<cg_floats>.stride),
            (["conv_f32_"], MemoryLayout<cg_convolution>.stride), (["conv_i8_", "conv_up_i8"], MemoryLayout<cg_integer_convolution>.stride),
            (["depthwise", "gate_depthwise"], MemoryLayout<cg_depthwise>.stride), (["pointwise"], MemoryLayout<cg_pointwise>.stride),
            (["linear_"], MemoryLayout<cg_linear_attention>.stride), (["attention_"], MemoryLayout<cg_attention>.stride),
        ]
        for kernel in GPU.table {
            let start = "\n.visible .entry \(kernel.name)(\n"
            let text = Self.text(Int32(kernel.module))
            let parameter = try #require(text.range(of: start).map { text[$0.upperBound...].prefix { $0 != "\n" } })
            let own = sizes.filter { $0.kernels.contains { $0.hasSuffix("_") ? kernel.name.hasPrefix($0) : kernel.name == $0 } }
            #expect(own.count == 1 && parameter.hasSuffix("\(kernel.name)_param_0[\(own.first?.size ?? 0)]"), "\(kernel.name): \(parameter)")
        }
    }

    @Test func textIsWhole() {
        for module in 0..<cg_module_count() {
            let text = Self.text(module)
            #expect(text.utf8.count == Int(cg_module_bytes(module)))
            #expect(text.hasPrefix(".version 7.0\n.target sm_80\n") && text.hasSuffix("}\n"))
        }
    }

    /// A GeForce of any age has 99 KB a block.
    @Test func blocksFitEveryCard() {
        for kernel in GPU.table {
            #expect(kernel.shared <= 99 << 10 && kernel.threads % 32 == 0 && kernel.threads <= 1024)
        }
        #expect(cg_quantize_shared(24_576) <= 99 << 10 && cg_linear_apply_shared(128) <= 99 << 10)
        #expect(cg_attention_shared(64, 128) <= 99 << 10 && cg_attention_shared(32, 256) <= 99 << 10)
        #expect(cg_narrow_shared(128, 4) <= 99 << 10)
    }

    /// At 1024 tokens, what an H200 with 132 multiprocessors has measured to be the fastest.
    @Test(arguments: [
        ("gemm_i8_", 1024, [2240, 2240, 2240], false, "gemm_i8_128x224"), ("gemm_i8_", 1024, [6720], false, "gemm_i8_128x224"),
        ("gemm_i8_", 1024, [2240], false, "gemm_i8_128x160"), ("gemm_i8_", 1024, [5600, 5600], false, "gemm_i8_128x256"),
        ("gemm_i8_", 20, [2304], false, "gemm_i8_32x32"), ("conv_i8_", 1 << 20, [128], true, "conv_i8_128x128"),
        ("conv_i8_", 1 << 18, [256], true, "conv_i8_64x256"), ("conv_f32_", 1 << 20, [128], false, "conv_f32_128x128"),
    ])
    func choice(_ family: String, _ rows: Int64, _ columns: [Int32], _ isWhole: Bool, _ name: String) {
        let index = unsafe cg_best(family, rows, columns, CInt(columns.count), 132, isWhole)
        #expect(index >= 0 && GPU.table[Int(max(0, index))].name == name)
        #expect(unsafe cg_best(family, rows, [100_000], 1, 132, true) == -1)
    }

    /// What every card computes alike, and the stand-in: `make kernels` refuses the rest.
    @Test func nothingIsApproximatedOrFusedByTheCompiler() {
        let allowed = ["fma.rn", "add.rn", "sub.rn", "mul.rn", "div.rn", "sqrt.rn", "rcp.rn", "neg", "abs", "min", "max"]
        for module in 0..<cg_module_count() {
            for line in Self.text(module).split(separator: "\n") {
                let words = line.split { $0 == " " || $0 == "\t" || $0 == ";" }
                guard let word = words.first(where: { !$0.hasPrefix("@") && $0 != "{" }), word.hasSuffix(".f32") || word.hasSuffix(".f64") else { continue }
                let operation = word.dropLast(4)
                let moves = ["mov", "selp", "ld", "st", "setp", "cvt", "shfl", "mma"].contains { operation.hasPrefix($0) }
                #expect(moves || allowed.contains(String(operation)), "\(line)")
            }
        }
    }
}
