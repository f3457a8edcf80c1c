internal import Glibc

/// Decibels of amplitudes: 20 dB are a factor of ten.
package enum Decibels {
    package static func amplitude(_ decibels: Double) -> Double { pow(10, decibels / 20) }
    package static func of(power: Double) -> Double { 10 * log10(power) }
    static func of(amplitude: Double) -> Double { 20 * log10(amplitude) }
}
