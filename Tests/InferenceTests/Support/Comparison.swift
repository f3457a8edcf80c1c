import Tensors

/// How far a result is from a reference: |result - reference| / |reference|, in the Euclidean norm.
func relativeError(_ result: [Float], _ reference: [Double]) -> Double { relativeError(result.map(Double.init), reference) }

func relativeError(_ result: [Double], _ reference: [Double]) -> Double {
    precondition(result.count == reference.count)
    let difference = zip(result, reference).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
    let norm = reference.reduce(0) { $0 + $1 * $1 }.squareRoot()
    return norm == 0 ? difference : difference / norm
}
