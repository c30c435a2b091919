/// Why a file is not a sound file of its format.
///
/// Every input ends in a value or in one of these; nothing a file contains can stop a parser in another way.
public struct FormatError: Error, Sendable, Equatable {
    /// What the error says about the file.
    public enum Kind: String, Sendable {
        /// The file is shorter than its own header says.
        case truncated
        /// No reader of the format would accept the file.
        case invalid
        /// This module does not know enough to judge: a newer version, an unknown type, a bound of its own.
        case unverifiable
    }

    /// What the error says about the file.
    public let kind: Kind
    /// The reader's own name of the error, such as `HeaderTooLarge`; safe to print and stable.
    public let reason: String
    /// Where in the file, in bytes from its start, when one place can be named.
    public let offset: UInt64?
    /// One sentence for people; anything quoted from the file is bounded and escaped.
    public let detail: String

    /// Makes an error from its parts.
    public init(_ kind: Kind, _ reason: String, at offset: UInt64? = nil, _ detail: String) {
        self.kind = kind
        self.reason = reason
        self.offset = offset
        self.detail = detail
    }
}

/// Text that quotes bytes of a hostile file.
public enum Excerpt {
    /// The first bytes of `bytes`, printable ASCII as it is and everything else as `\xNN`.
    ///
    /// At most ``FormatLimits/maxExcerptBytes`` bytes are shown; `…` says that there are more.
    public static func escaped(_ bytes: some Collection<UInt8>, isCut: Bool = false) -> String {
        let hex = Array("0123456789abcdef".unicodeScalars)
        var text = ""
        for byte in bytes.prefix(FormatLimits.maxExcerptBytes) {
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\\") {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += "\\x"
                text.unicodeScalars.append(hex[Int(byte >> 4)])
                text.unicodeScalars.append(hex[Int(byte & 15)])
            }
        }
        return isCut || bytes.count > FormatLimits.maxExcerptBytes ? text + "…" : text
    }
}
