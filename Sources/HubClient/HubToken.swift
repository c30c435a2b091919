/// A token of the Hub, opaque. It is never printed: every description of it says that there is one, and nothing more.
public struct HubToken: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// What stands behind `Bearer `. It leaves this module only in a request to an origin that may see it.
    let value: String

    /// The most bytes of a token: `hf_jwt_…` ones are long.
    public static let maximumBytes = 16 * 1024

    /// Cleans a token as huggingface_hub does: CR and LF go, then white space at both ends.
    ///
    /// - Returns: nil when nothing is left.
    /// - Throws: `HubTokenProblem.unusable` for one that cannot stand in a header: too long, or with other characters than
    ///   printable ASCII.
    public init?(cleaning text: some StringProtocol) throws(HubTokenProblem) {
        let kept = text.utf8.filter { $0 != 0x0a && $0 != 0x0d }
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0d).contains(byte) || (0x1c...0x1f).contains(byte) }
        let trimmed = Array(kept.drop(while: isSpace).reversed().drop(while: isSpace).reversed())
        guard !trimmed.isEmpty else { return nil }
        guard trimmed.count <= Self.maximumBytes, trimmed.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw .unusable
        }
        self.value = String(decoding: trimmed, as: UTF8.self)
    }

    /// Never the token.
    public var description: String { "a token" }
    /// Never the token.
    public var debugDescription: String { "a token" }
    /// Nothing: `dump` shows no token either.
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Why a token that is there was not taken.
public enum HubTokenProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// It has characters no token has, or is too long.
    case unusable
    /// Its file could not be read, for this reason.
    case unreadable(String)
    /// Its file is a symbolic link, which is not followed, or no regular file.
    case notAFile

    /// One clause without a full stop.
    public var description: String {
        switch self {
        case .unusable: "the token has characters that no token has, or is too long"
        case .unreadable(let reason): "the token file cannot be read: \(reason)"
        case .notAFile: "the token file is a link or no regular file"
        }
    }
}
