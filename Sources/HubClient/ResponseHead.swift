internal import HubCache

/// The status and headers of one answer, from a server that may say anything.
struct ResponseHead: Sendable {
    /// The status code; 0 before there is one.
    private(set) var status = 0
    /// Whether all headers are here.
    private(set) var isComplete = false
    private var values: [String: [[UInt8]]] = [:]
    private var byteCount = 0
    private var lineCount = 0

    /// Takes the next line, as libcurl gives it: a status line, a header, or the empty line at the end.
    ///
    /// An interim answer (1xx) is forgotten when the next status line comes; what follows a final answer's headers (trailers)
    /// is not looked at.
    ///
    /// - Throws: `ExchangeFailure.malformed` for what is no header, or more of them than the settings allow.
    mutating func add(_ line: ArraySlice<UInt8>, _ settings: HubSettings) throws(ExchangeFailure) {
        if isComplete {
            guard (100..<200).contains(status), line.starts(with: "HTTP/".utf8) else { return }
            // The bounds are for all of them together.
            (self.status, isComplete, values) = (0, false, [:])
        }
        byteCount += line.count
        lineCount += 1
        guard byteCount <= settings.headerBytes, lineCount <= settings.headerCount else {
            throw .malformed("more headers than are accepted")
        }
        var line = line
        while let last = line.last, last == 0x0a || last == 0x0d { line.removeLast() }
        if line.isEmpty {
            isComplete = status != 0
            return
        }
        if status == 0 {
            let words = line.split(separator: 0x20, maxSplits: 2)
            guard line.starts(with: "HTTP/".utf8), words.count >= 2, words[1].count == 3,
                let code = Int(String(decoding: words[1], as: UTF8.self)), (100...599).contains(code)
            else { throw .malformed("no HTTP status") }
            status = code
            return
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > line.startIndex else {
            throw .malformed("a line that is no header")
        }
        let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
        let isSpace = { (byte: UInt8) in byte == 0x20 || byte == 0x09 }
        let value = line[(colon + 1)...].drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        values[name, default: []].append(Array(value))
    }

    /// All values of a header that are printable ASCII.
    ///
    /// - Parameter name: in lower case.
    func all(_ name: String) -> [String] {
        (values[name] ?? []).filter(isPrintable).map { String(decoding: $0, as: UTF8.self) }
    }

    /// The one value of a header; nil when it is absent.
    ///
    /// - Parameter name: in lower case.
    /// - Throws: `ExchangeFailure.malformed` when there are several different ones, or other bytes than printable ASCII: which
    ///   of them another client would take cannot be known.
    func value(_ name: String) throws(ExchangeFailure) -> String? {
        guard let found = values[name], let first = found.first else { return nil }
        guard found.allSatisfy({ $0 == first }), isPrintable(first) else {
            throw .malformed("an ambiguous \(name) header")
        }
        return String(decoding: first, as: UTF8.self)
    }

    /// A header that is a plain decimal number.
    ///
    /// - Throws: `ExchangeFailure.malformed` for anything else.
    func number(_ name: String) throws(ExchangeFailure) -> UInt64? {
        guard let text = try value(name) else { return nil }
        guard let number = decimal(text) else { throw .malformed("a \(name) header that is no number") }
        return number
    }

    /// Whether it is a redirect that names where to.
    var isRedirect: Bool { [301, 302, 303, 307, 308].contains(status) && values["location"] != nil }
}

private func isPrintable(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy { $0 >= 0x20 && $0 < 0x7f } }

/// Reads decimal digits and nothing else; `UInt64` itself would take a sign.
func decimal(_ text: some StringProtocol) -> UInt64? {
    guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return UInt64(text)
}

/// The name of a blob as an answer's headers give it, fit to be a file's name.
///
/// huggingface_hub takes `X-Linked-Etag` or `ETag`, strips every leading `W` or `/` and the quotes at both ends, and uses the
/// rest as a file name as it is. Here the rest must be one: no `/`, no `..`, nothing but printable ASCII, at most 255 bytes,
/// and a name that stands for a blob and not for a lock or a partial download.
///
/// - Returns: nil when the headers name none.
/// - Throws: `ExchangeFailure.malformed` when what they name is no file name.
func etag(of head: ResponseHead) throws(ExchangeFailure) -> BytePath? {
    let linked = try head.value("x-linked-etag")
    guard let stated = try linked == nil ? head.value("etag") : linked else { return nil }
    let quote = UInt8(ascii: "\"")
    var bytes = Array(stated.utf8)[...]
    while let first = bytes.first, first == UInt8(ascii: "W") || first == UInt8(ascii: "/") { bytes.removeFirst() }
    while bytes.first == quote { bytes.removeFirst() }
    while bytes.last == quote { bytes.removeLast() }
    let name = BytePath(bytes: bytes)
    guard (1...255).contains(bytes.count), bytes.first != UInt8(ascii: "."), !name.text.contains(".."),
        bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "/") }), BlobEntryName(name) == .blob
    else { throw .malformed("an etag that is no file name") }
    return name
}
