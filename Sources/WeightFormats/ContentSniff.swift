/// What a file's first bytes look like, whatever its name says.
public enum ContentSniff: Sendable, Equatable {
    /// A plausible safetensors header length followed by `{`.
    case safetensors
    /// GGUF of either byte order.
    case gguf
    /// A zip archive; judge it with ``TorchZipParser``.
    case zip
    /// A pickle with torch's legacy magic number. It has no total length: only size or digest can judge it.
    case torchLegacy
    /// A tar archive, as ancient torch wrote.
    case tar
    /// A Git LFS pointer in place of the content.
    case lfsPointer
    /// A web page in place of the content, such as a login or error page.
    case htmlPage
    /// Nothing known; also an empty file.
    case other

    // The pickle of the integer 0x1950a86a20f9469cfc6c under protocol 2, from `torch.serialization`.
    private static let legacyMagic: [UInt8] = [
        0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E,
    ]
    private static let lfsMagic = Array("version https://git-lfs.github.com/spec/v1".utf8)
    private static let ggufMagic = Array("GGUF".utf8)
    private static let zipMagic: [UInt8] = [0x50, 0x4B, 0x03, 0x04]
    private static let emptyZipMagic: [UInt8] = [0x50, 0x4B, 0x05, 0x06]
    private static let tarMagic = Array("ustar".utf8)
    private static let tarMagicOffset = 257
    private static let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]
    private static let commentStart = Array("<!--".utf8)
    private static let commentEnd = Array("-->".utf8)
    private static let declarationStart = Array("<?xml".utf8)
    private static let declarationEnd = Array("?>".utf8)
    private static let doctype = Array("<!doctype html".utf8)
    private static let html = Array("<html".utf8)

    /// Looks at the first ``FormatLimits/sniffBytes`` bytes of a file, or all of a shorter one; more are ignored.
    public init(_ bytes: borrowing Span<UInt8>) {
        var copy: [UInt8] = []
        for index in 0..<min(bytes.count, FormatLimits.sniffBytes) { copy.append(bytes[index]) }
        self.init(head: copy[...])
    }

    private init(head: ArraySlice<UInt8>) {
        if head.starts(with: Self.ggufMagic) {
            self = .gguf
        } else if head.starts(with: Self.zipMagic) || head.starts(with: Self.emptyZipMagic) {
            self = .zip
        } else if head.starts(with: Self.legacyMagic) {
            self = .torchLegacy
        } else if head.starts(with: Self.lfsMagic) {
            self = .lfsPointer
        } else if Self.isHTML(head) {
            self = .htmlPage
        } else if Self.isSafetensors(head) {
            self = .safetensors
        } else if head.dropFirst(Self.tarMagicOffset).starts(with: Self.tarMagic) {
            self = .tar
        } else {
            self = .other
        }
    }

    private static func isSafetensors(_ head: ArraySlice<UInt8>) -> Bool {
        guard head.count > 8 else { return false }
        let length = littleEndian(Array(head.prefix(8)), 0, 8)
        guard length >= 2, length <= FormatLimits.maxSafetensorsHeaderBytes else { return false }
        return head.dropFirst(8).drop(while: Self.isSpace).first == UInt8(ascii: "{")
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (byte >= 0x09 && byte <= 0x0D)
    }

    private static func isHTML(_ head: ArraySlice<UInt8>) -> Bool {
        var rest = head
        if rest.starts(with: byteOrderMark) { rest = rest.dropFirst(byteOrderMark.count) }
        while true {
            rest = rest.drop(while: isSpace)
            if rest.starts(with: commentStart) {
                guard let after = skip(rest.dropFirst(commentStart.count), past: commentEnd) else { return false }
                rest = after
            } else if rest.starts(with: declarationStart) {
                guard let after = skip(rest, past: declarationEnd) else { return false }
                rest = after
            } else {
                return startsIgnoringCase(rest, doctype) || startsIgnoringCase(rest, html)
            }
        }
    }

    private static func skip(_ bytes: ArraySlice<UInt8>, past mark: [UInt8]) -> ArraySlice<UInt8>? {
        var rest = bytes
        while !rest.isEmpty {
            if rest.starts(with: mark) { return rest.dropFirst(mark.count) }
            rest = rest.dropFirst()
        }
        return nil
    }

    private static func startsIgnoringCase(_ bytes: ArraySlice<UInt8>, _ lowercase: [UInt8]) -> Bool {
        bytes.lazy.map { $0 >= UInt8(ascii: "A") && $0 <= UInt8(ascii: "Z") ? $0 | 0x20 : $0 }.starts(with: lowercase)
    }
}
