import Dispatch
import Files
import Glibc
import Operations
import Tensors
import TestKit
import Testing

/// OpenBLAS has one thread count for a process.
@Suite struct BLASTests {
    /// A library in its place that sees which count a product runs with: 3 where it sums 16 products, else 1.
    private static let library = """
        #include <unistd.h>
        static volatile int count = 1, wrong, calls[2];
        void openblas_set_num_threads(int n) { count = n; }
        char *openblas_get_corename(void) { return "none"; }
        int found(int which) { return which == 2 ? wrong : calls[which]; }
        void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float f, const float *a, int la, const float *b, int lb, float g, float *c, int lc) {
            for (int i = 0; i < 4; i++) {
                if (count != (k == 16 ? 3 : 1)) __sync_fetch_and_add(&wrong, 1);
                usleep(20);
            }
            __sync_fetch_and_add(&calls[k == 16], 1);
        }
        """

    @Test("two users at once have the threads that each asked for") func threads() async throws {
        let folder = try TemporaryFolder()
        try OutputFile.write(Array(Self.library.utf8), to: folder.file("blas.c"), replace: false)
        let built = try ChildProcess.run(
            ["clang", "-shared", "-fPIC", "-O1", "-Wl,-soname,libopenblas.so.0", folder.file("blas.c"), "-o", folder.file("blas.so")])
        #expect(built.status == 0, "\(built.errors)")
        await #expect(processExitsWith: .success) { [path = folder.file("blas.so") as String] in
            // What is loaded already is found by its name.
            guard let handle = unsafe dlopen(path, RTLD_NOW), let symbol = unsafe dlsym(handle, "found") else { preconditionFailure("no library") }
            let found = unsafe unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
            Parallel.use(threads: 3)
            precondition(CPU.failure == nil && CPU.blasCore == "none")
            let (several, one) = (GroupedPointwise(try Tensor([64, 16])), SoftmaxAttention(heads: 4, keyValueHeads: 4, headDimension: 8, scale: 1))
            let (x, y) = (try Tensor([5, 64]), try Tensor([8, 96]))
            DispatchQueue.concurrentPerform(iterations: 4) { user in
                for _ in 0..<50 {
                    if user % 2 == 0 {
                        precondition((try? several(x)) != nil)
                    } else {
                        precondition((try? one(.init(matrix: y, column: 0), .init(matrix: y, column: 32), .init(matrix: y, column: 64), on: .best)) != nil)
                    }
                }
            }
            precondition(found(0) == 2 * 50 * 4 * 2 && found(1) == 2 * 50 * 4, "\(found(0)) and \(found(1)) products")
            precondition(found(2) == 0, "\(found(2)) times another count")
        }
    }
}
