/// The two digests the Hub names content by.
public enum DigestAlgorithm: String, Sendable, Hashable, CaseIterable {
    /// SHA-256 of the content: LFS and Xet files.
    case sha256
    /// SHA-1 over `blob `, the decimal length, a NUL and the content: files kept in git itself.
    case gitSHA1 = "git-sha1"

    /// The digest's length in bytes.
    public var byteCount: Int { self == .sha256 ? 32 : 20 }
}

/// A digest of some content.
public struct ContentDigest: Hashable, Sendable {
    /// Which digest it is.
    public let algorithm: DigestAlgorithm
    /// The digest in lower-case hexadecimal: 64 or 40 characters.
    public let hex: String

    /// Makes a digest of raw bytes.
    ///
    /// - Precondition: as many bytes as the algorithm has.
    public init(algorithm: DigestAlgorithm, bytes: some Sequence<UInt8>) {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(64)
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        precondition(text.count == 2 * algorithm.byteCount, "a digest of the wrong length")
        self.algorithm = algorithm
        self.hex = String(decoding: text, as: UTF8.self)
    }

    /// Reads a digest from lower-case hexadecimal; its length tells the algorithm.
    ///
    /// - Returns: nil for anything but 64 or 40 lower-case hexadecimal digits.
    public init?(hex: some StringProtocol) {
        let text = String(hex)
        let length = text.utf8.count
        guard length == 64 || length == 40, text.utf8.allSatisfy(isLowerHexadecimal) else { return nil }
        self.algorithm = length == 64 ? .sha256 : .gitSHA1
        self.hex = text
    }

    /// The digest's raw bytes.
    public var bytes: [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(algorithm.byteCount)
        var high: UInt8?
        for digit in hex.utf8 {
            let value = digit < 0x3a ? digit - 0x30 : digit - 0x61 + 10
            if let first = high {
                result.append(first << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return result
    }

    /// The SHA-256 of no bytes at all.
    public static let emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    /// The git SHA-1 of an empty file.
    public static let emptyGitSHA1 = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
}

/// Whether a byte is `0`…`9` or `a`…`f`.
@inlinable
public func isLowerHexadecimal(_ byte: UInt8) -> Bool {
    (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66)
}
