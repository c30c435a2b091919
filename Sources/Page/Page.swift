internal import Digests
internal import FoundationEssentials
internal import HubCache

/// The page: one HTML document with its style and its script in it, which asks nobody but where it came from.
public enum Page {
    /// What a browser may do with it: run this script and this style, ask its own origin, and nothing else.
    public static let securityPolicy = policy + "; frame-ancestors 'none'"

    /// The page that asks the daemon what it shows.
    public static let live = document(data: Array("null".utf8))

    /// The page with what it shows in it.
    ///
    /// - Parameter data: JSON.
    public static func report(data: [UInt8]) -> [UInt8] { document(data: escaped(data)) }

    private static let script =
        "\"use strict\";\n(() => {\n"
        + [
            PackageResources.text_js, PackageResources.data_js, PackageResources.tables_js,
            PackageResources.treemap_js, PackageResources.map_js, PackageResources.sections_js,
            PackageResources.chart_js, PackageResources.detail_js, PackageResources.actions_js,
            PackageResources.transfers_js, PackageResources.main_js,
        ].map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n") + "})();\n"
    private static let style = String(decoding: PackageResources.page_css, as: UTF8.self)

    private static let policy =
        "default-src 'none'; script-src \(hash(of: script)); style-src \(hash(of: style)); img-src data:; "
        + "connect-src 'self'; base-uri 'none'; form-action 'none'"

    /// What comes before the data, and after it.
    private static let parts: [[UInt8]] = {
        let meta = "<meta http-equiv=\"Content-Security-Policy\" content=\"\(policy)\">"
        let parts = String(decoding: PackageResources.page_html, as: UTF8.self).split(
            separator: "<!--DATA-->", maxSplits: 1, omittingEmptySubsequences: false)
        precondition(parts.count == 2, "the page has a place for its data")
        return [
            parts[0].replacing("<!--POLICY-->", with: meta).replacing("/*STYLE*/", with: style),
            parts[1].replacing("/*SCRIPT*/", with: script),
        ].map { Array($0.utf8) }
    }()

    private static func document(data: [UInt8]) -> [UInt8] { parts[0] + data + parts[1] }

    /// JSON that cannot end the element it is in, whatever its texts hold.
    private static func escaped(_ json: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(json.count + json.count / 16)
        var index = 0
        while index < json.count {
            let byte = json[index]
            switch byte {
            case UInt8(ascii: "<"): result += Array(#"\u003c"#.utf8)
            case UInt8(ascii: ">"): result += Array(#"\u003e"#.utf8)
            case UInt8(ascii: "&"): result += Array(#"\u0026"#.utf8)
            case 0xe2 where index + 2 < json.count && json[index + 1] == 0x80 && json[index + 2] | 1 == 0xa9:
                result += Array((json[index + 2] == 0xa8 ? #"\u2028"# : #"\u2029"#).utf8)
                index += 2
            default: result.append(byte)
            }
            index += 1
        }
        return result
    }

    private static func hash(of text: String) -> String {
        let bytes = Array(text.utf8)
        var digest = StreamingDigest(.sha256, length: UInt64(bytes.count))
        digest.update(bytes.span)
        guard let hex = (try? digest.finish())?.hex else { preconditionFailure("a text has the length it has") }
        let digits = Array(hex.utf8)
        let raw = stride(from: 0, to: digits.count, by: 2).compactMap {
            UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
        }
        return "'sha256-\(Data(raw).base64EncodedString())'"
    }
}
