package import Tensors

/// What models are computed on: it loads their layers, keeps values where it computes, and has the operations between them.
///
/// Models are written for any executor and name none. Values are moved by name, where a stage begins or ends and where a probe listens; else they
/// stay in `Rows`. The last axis of rows is channels: token matrices `[rows, channels]`, maps `[h, w, channels]`, vectors `[channels]`; operations
/// keep the axes before it. What is `inout` and not said to be updated is used up.
package protocol Executor: Sendable {
    /// Values where the executor keeps them.
    associatedtype Rows: Sendable
    associatedtype Linear: Sendable
    associatedtype Convolution: Sendable
    associatedtype Depthwise: Sendable
    associatedtype Pointwise: Sendable
    associatedtype Norm: Sendable
    /// A prompt's keys and values in one block.
    associatedtype KeyValues: Sendable

    /// Why nothing can be computed on any of them here, which says how to help it; nil where it can.
    static var failure: String? { get }

    /// The same, whose sums do not depend on the number of threads.
    var repeatable: Self { get }
    /// What times its work.
    func stopwatch() -> any Stopwatch

    // MARK: Memory

    /// Bytes of its own that values take, those that nobody uses and all there are; nil where values are in the machine's memory.
    func ownMemory() throws(MachineError) -> (free: Int, total: Int)?

    /// Bytes of so many values as `Rows`.
    func byteCount(of values: Int) -> Int
    /// What a layer takes that is made of a weight, and what it takes to make it.
    func footprint(of weight: WeightSize, as kind: LayerKind) -> Footprint
    /// What is still there of weights of so many bytes that were let go, while those that come next are loaded.
    func lingering(_ byteCount: Int) -> Int
    /// What an operation's result takes, and what there is beside it and its arguments.
    func footprint(of work: Work) -> Footprint

    // MARK: Loading

    /// The linear of some of a weight's outputs, and of all its further axes as inputs.
    func linear(_ stored: StoredWeight, _ outputs: Range<Int>, bias: Tensor?, compute: Compute) throws(MachineError) -> Linear
    /// A dense 3x3 convolution with padding 1, of a weight `[outputs, 3, 3, inputs]`.
    /// - Parameter often: whether it is worth more memory for less work.
    func convolution(_ stored: StoredWeight, bias: Tensor?, often: Bool) throws(MachineError) -> Convolution
    /// A depthwise convolution of a weight `[channels, kernel, kernel]`, with same padding.
    func depthwise(_ stored: StoredWeight, bias: Tensor?) throws(MachineError) -> Depthwise
    /// A 1x1 convolution in groups of equal width, of a weight `[channels, group width]`.
    func pointwise(_ stored: StoredWeight) throws(MachineError) -> Pointwise
    /// An RMS norm over the channels; the offset is added to its weight.
    func norm(weight: Tensor, bias: Tensor?, offset: Double, epsilon: Double) throws(MachineError) -> Norm

    // MARK: Moving

    /// A copy of the values where they are computed with.
    func rows(from tensor: Tensor) throws(MachineError) -> Rows
    /// The values as they are now, to be read before the rows are updated.
    func tensor(from rows: Rows) throws(MachineError) -> Tensor

    // MARK: Products

    /// The outputs of linears of one input side by side, of x as it is or normed. A single row by one linear is summed in double.
    func multiply(_ x: Rows, by parts: [Linear], norm: ModulatedNorm<Rows>?, then: Nonlinearity?) throws(MachineError) -> Rows
    /// Updates residual += gate * linear(x), with a gate `[outputs]` or 1.
    func add(_ x: Rows, by linear: Linear, to residual: inout Rows, gate: Rows?) throws(MachineError)
    /// What the last product of a gated convolution takes, `[.., hidden]`, of x normed or as it is.
    /// - Parameter grid: of token matrices, which are maps one below the other; nil for a map.
    func gated(_ x: Rows, by layer: GatedConvolution<Self>, norm: ModulatedNorm<Rows>?, grid: Grid?) throws(MachineError) -> Rows

    // MARK: Norms and sums

    func normed(_ x: Rows, by norm: Norm) throws(MachineError) -> Rows
    func normed(_ x: Rows, by norm: ModulatedNorm<Rows>) throws(MachineError) -> Rows
    /// Updates residual += norm(x).
    func add(_ x: Rows, normedBy norm: Norm, to residual: inout Rows) throws(MachineError)
    /// a + b, of equally many elements, in the shape of a.
    func sum(_ a: Rows, _ b: Rows) throws(MachineError) -> Rows
    /// A row of a matrix, `[columns]`.
    func row(_ index: Int, of x: Rows) throws(MachineError) -> Rows
    func activated(_ x: Rows, by nonlinearity: Nonlinearity) throws(MachineError) -> Rows

    // MARK: Attention

    /// Linear attention over each of so many maps one below the other, `[.., 3 * width]` to `[.., width]`, with queries and keys normed; with scales,
    /// beside it the same of a map `[h, w, 3 * width]` through each of them.
    func linearAttention(
        _ qkv: inout Rows, _ layout: LinearAttention.Layout, queryNorm: Norm?, keyNorm: Norm?, scales: [(Depthwise, Pointwise)], maps: Int
    ) throws(MachineError) -> Rows
    /// What `crossAttention` reads of `[tokens, 2 * width]`, keys before values.
    func keyValues(_ rows: inout Rows, keyNorm: Norm?, heads: Int, headDimension: Int) throws(MachineError) -> KeyValues
    /// The attention of equally many rows of queries `[rows, width]` to each of several prompts.
    func crossAttention(_ queries: inout Rows, queryNorm: Norm?, to prompts: [KeyValues]) throws(MachineError) -> Rows
    /// Causal attention of tokens `[tokens, queries, keys, values]` that stand behind a prefix of keys and values, with queries and keys turned by
    /// the table of `Rotary`.
    /// - Returns: `[tokens, query width]`, and keys and values of prefix and tokens `[prefix + tokens, 2 * key width]`.
    func causalAttention(
        _ qkv: inout Rows, after prefix: Rows?, _ attention: SoftmaxAttention, rotary: Rows
    ) throws(MachineError) -> (attended: Rows, keyValues: Rows)

    // MARK: Work that is done again

    /// What `body` makes of inputs. It is the same work each time for the same numbers and inputs of the same shapes, moves nothing, and reads nothing else
    /// but layers that are there as long as `work`: an executor may do it again without calling `body`.
    func again<Failure: MachineFailure>(
        _ work: RepeatedWork, _ numbers: [Int], _ inputs: RepeatedInputs<Self>, _ body: (RepeatedInputs<Self>) throws(Failure) -> Rows
    ) throws(Failure) -> Rows

    // MARK: Images

    /// Operations one after the other on a map.
    func run(_ operations: [RowOperation<Self>], on map: Rows) throws(MachineError) -> Rows
    /// `[2h, 2w, c]` to `[h, w, 4c]`: channel c * 4 + dy * 2 + dx is channel c of the pixel (2y + dy, 2x + dx), as in torch.
    func unshuffled(_ map: Rows) throws(MachineError) -> Rows
    /// Updates y `[.., out]` += x `[.., in]`: each channel repeated out / in times, or means over in / out consecutive ones.
    func addShortcut(_ x: Rows, to y: inout Rows) throws(MachineError)
}

/// How the rows of a token matrix are maps: so many of `height` x `width`, one below the other.
package struct Grid: Sendable {
    package let maps: Int
    package let height: Int
    package let width: Int

    package init(maps: Int = 1, height: Int, width: Int) { (self.maps, self.height, self.width) = (maps, height, width) }
}

extension Executor {
    // What an executor is that computes at once, in the machine's memory, and always the same.
    package var repeatable: Self { self }
    package func ownMemory() throws(MachineError) -> (free: Int, total: Int)? { nil }
    package func lingering(_ byteCount: Int) -> Int { 0 }

    /// The outputs of one linear.
    package func multiply(_ x: Rows, by linear: Linear, then: Nonlinearity? = nil) throws(MachineError) -> Rows {
        try multiply(x, by: [linear], norm: nil, then: then)
    }

    /// Updates x += gate * layer(x), with a gate `[channels]` or 1, and x normed or as it is. A layer with a norm of its own takes no gate.
    /// - Parameter grid: of token matrices, which are maps one below the other; nil for a map.
    package func update(
        _ x: inout Rows, by layer: GatedConvolution<Self>, norm: ModulatedNorm<Rows>?, gate: Rows?, grid: Grid?
    ) throws(MachineError) {
        let gated = try gated(x, by: layer, norm: norm, grid: grid)
        guard let own = layer.norm else { return try add(gated, by: layer.project, to: &x, gate: gate) }
        precondition(gate == nil)
        try add(try multiply(gated, by: layer.project), normedBy: own, to: &x)
    }
}
