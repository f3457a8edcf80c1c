import ArgumentParser
import Inference

extension Compute: ExpressibleByArgument {}
