internal import HubCache
internal import HubClient

/// The text of `trees/<commit>.json`, byte for byte as huggingface_hub writes it: `json.dump` with an indent of 1, sorted paths,
/// everything beyond ASCII escaped.
///
/// The client rejects a listing whose Xet hashes the Hub has hidden; `HubTreeFile` has none then, and the text is what the client
/// would write for a repo without them.
func manifestText(of files: [HubTreeFile]) -> [UInt8] {
    // Python sorts by code points, which is the order of UTF-8's bytes.
    let sorted = files.sorted { $0.path < $1.path }
    var text = "{\n \"format_version\": 1,\n \"files\": {"
    for (index, file) in sorted.enumerated() {
        text += index == 0 ? "\n" : ",\n"
        text += "  \(jsonString(file.path.text)): {\n   \"size\": \(file.size),\n   \"blob_id\": \"\(file.gitID)\""
        if let sha256 = file.sha256 {
            text += ",\n   \"lfs_sha256\": \"\(sha256)\",\n   \"lfs_size\": \(file.size)"
        }
        if let xetHash = file.xetHash { text += ",\n   \"xet_hash\": \"\(xetHash)\"" }
        text += "\n  }"
    }
    text += sorted.isEmpty ? "}\n}" : "\n }\n}"
    return Array(text.utf8)
}

/// A JSON string as Python's `json` writes it with `ensure_ascii`.
private func jsonString(_ text: String) -> String {
    var result = "\""
    for unit in text.utf16 {
        switch unit {
        case 0x22: result += "\\\""
        case 0x5c: result += "\\\\"
        case 0x0a: result += "\\n"
        case 0x0d: result += "\\r"
        case 0x09: result += "\\t"
        case 0x08: result += "\\b"
        case 0x0c: result += "\\f"
        case 0x20...0x7e: result.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
        default:
            let digits = String(unit, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        }
    }
    return result + "\""
}
