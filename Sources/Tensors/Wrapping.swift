/// The value of an expression, or an error of another room as one of the caller's: `try wrapping(ConversionError.file, try Paths.makeDirectory(path))`.
package func wrapping<Failure: Error, Wrapped: Error, Value: ~Copyable>(
    _ wrap: (Failure) -> Wrapped, _ value: @autoclosure () throws(Failure) -> Value
) throws(Wrapped) -> Value {
    do throws(Failure) { return try value() } catch { throw wrap(error) }
}

/// The same for several statements.
package func wrapping<Failure: Error, Wrapped: Error, Value: ~Copyable>(
    _ wrap: (Failure) -> Wrapped, _ body: () throws(Failure) -> Value
) throws(Wrapped) -> Value {
    do throws(Failure) { return try body() } catch { throw wrap(error) }
}
