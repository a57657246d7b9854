import CPocketMLX
import Foundation

/// Throws what a function of the C library returned, if that is an error, and frees it.
func check(_ error: OpaquePointer?) throws {
    guard let error else { return }
    defer { pmlx_error_free(error) }
    let code = PocketMLXError.Code(rawValue: pmlx_error_code(error))
    if code == .cancelled {
        throw CancellationError()
    }
    throw PocketMLXError(
        code: code,
        message: String(cString: pmlx_error_message(error)),
        hint: String(cString: pmlx_error_hint(error))
    )
}

/// Calls `body` with text as the C library takes it: a pointer, never `NULL`, and a length in bytes.
func withBytes<Result>(of text: String, _ body: (UnsafePointer<CChar>, Int) throws -> Result) rethrows -> Result {
    let bytes = text.utf8CString
    return try bytes.withUnsafeBufferPointer { buffer in
        guard let start = buffer.baseAddress else { preconditionFailure("a C string has at least its NUL") }
        return try body(start, buffer.count - 1)
    }
}

/// The same with two texts.
func withBytes<Result>(
    of first: String,
    _ second: String,
    _ body: (UnsafePointer<CChar>, Int, UnsafePointer<CChar>, Int) throws -> Result
) rethrows -> Result {
    try withBytes(of: first) { first, firstLength in
        try withBytes(of: second) { try body(first, firstLength, $0, $1) }
    }
}

/// Bytes of the C library as text.
func text(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
    guard let start, count > 0 else { return "" }
    return UnsafeRawBufferPointer(start: start, count: count).withMemoryRebound(to: UInt8.self) {
        String(decoding: $0, as: UTF8.self)
    }
}

/// The string that `call` writes into its argument.
func string(by call: (UnsafeMutablePointer<OpaquePointer?>) -> OpaquePointer?) throws -> String {
    let owned = try Owned.made(free: { pmlx_string_free($0) }, by: call)
    return withExtendedLifetime(owned) {
        text(pmlx_string_data(owned.pointer), pmlx_string_len(owned.pointer))
    }
}

/// A value as the JSON of options and requests.
func json(_ value: some Encodable) throws -> String {
    do {
        return String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    } catch EncodingError.invalidValue(let value, let context) {
        let path = context.codingPath.map(\.stringValue).joined(separator: ".")
        throw PocketMLXError(
            code: .invalidArgument,
            message: "\(path) is \(value)",
            hint: "give a finite number"
        )
    }
}

/// A value out of JSON that the library wrote.
func value<Value: Decodable>(_ type: Value.Type, from json: String) throws -> Value {
    do {
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .secondsSince1970
        return try decoder.decode(type, from: Data(json.utf8))
    } catch {
        throw PocketMLXError(
            code: .internal,
            message: "\(type) cannot be read from \(json): \(error)",
            hint: "the Swift package and the library beneath it may be of different versions"
        )
    }
}
