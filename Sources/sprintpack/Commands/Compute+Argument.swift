import ArgumentParser
import Inference
import Operations

extension Compute: ExpressibleByArgument {}
