/// An RMS norm over the channels, x / sqrt(mean(x^2) + epsilon) * (offset + weight) + bias.
package struct DeviceNorm: Sendable {
    let weight: DeviceRows
    let bias: DeviceRows?
    let offset: Double
    let epsilon: Double
}
