/// A small safetensors file: each tensor of type U8, its name and bytes.
package func safetensors(_ tensors: [(name: String, bytes: [UInt8])]) -> [UInt8] {
    var entries: [String] = []
    var data: [UInt8] = []
    for tensor in tensors {
        let end = data.count + tensor.bytes.count
        entries.append(
            "\(quoted(tensor.name)):{\"dtype\":\"U8\",\"shape\":[\(tensor.bytes.count)],\"data_offsets\":[\(data.count),\(end)]}"
        )
        data += tensor.bytes
    }
    return safetensors(header: "{" + entries.joined(separator: ",") + "}") + data
}

/// The first part of a safetensors file with any header.
package func safetensors(header: String) -> [UInt8] { littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) }

/// A shard index that places tensors in files.
package func shardIndex(_ places: [(tensor: String, file: String)]) -> [UInt8] {
    let map = places.map { "\(quoted($0.tensor)): \(quoted($0.file))" }.joined(separator: ", ")
    return Array("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\(map)}}".utf8)
}

/// A small GGUF file with one F32 tensor of eight elements.
package func gguf(split: (number: UInt16, count: UInt16)? = nil) -> [UInt8] {
    func string(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + Array(text.utf8) }
    var pairs: [[UInt8]] = [string("general.architecture") + littleEndian(UInt32(8)) + string("llama")]
    if let split {
        pairs.append(string("split.no") + littleEndian(UInt32(2)) + littleEndian(split.number))
        pairs.append(string("split.count") + littleEndian(UInt32(2)) + littleEndian(split.count))
    }
    var bytes = Array("GGUF".utf8) + littleEndian(UInt32(3)) + littleEndian(UInt64(1))
    bytes += littleEndian(UInt64(pairs.count)) + pairs.joined()
    bytes += string("token_embd.weight") + littleEndian(UInt32(1)) + littleEndian(UInt64(8))
    bytes += littleEndian(UInt32(0)) + littleEndian(UInt64(0))
    while bytes.count % 32 != 0 { bytes.append(0) }
    return bytes + Array(repeating: 7, count: 32)
}

/// A small zip archive as torch writes it: stored entries under one folder.
package func torchZip() -> [UInt8] {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    let files: [(String, [UInt8])] = [
        ("archive/data.pkl", [0x80, 2, 0x7d, 0x2e]), ("archive/data/0", Array(repeating: 1, count: 64)),
        ("archive/version", Array("3\n".utf8)),
    ]
    for (name, content) in files {
        let offset = UInt32(bytes.count)
        let common =
            littleEndian(UInt16(0)) + littleEndian(UInt16(0)) + littleEndian(UInt16(0)) + littleEndian(UInt16(0))
            + littleEndian(UInt32(0)) + littleEndian(UInt32(content.count)) + littleEndian(UInt32(content.count))
            + littleEndian(UInt16(name.utf8.count)) + littleEndian(UInt16(0))
        bytes += littleEndian(UInt32(0x0403_4b50)) + littleEndian(UInt16(20)) + common + Array(name.utf8) + content
        directory += littleEndian(UInt32(0x0201_4b50)) + littleEndian(UInt16(20)) + littleEndian(UInt16(20)) + common
        directory += Array(repeating: 0, count: 2 + 2 + 2 + 4) + littleEndian(offset) + Array(name.utf8)
    }
    let start = UInt32(bytes.count)
    bytes += directory + littleEndian(UInt32(0x0605_4b50)) + littleEndian(UInt16(0)) + littleEndian(UInt16(0))
    bytes += littleEndian(UInt16(files.count)) + littleEndian(UInt16(files.count))
    return bytes + littleEndian(UInt32(directory.count)) + littleEndian(start) + littleEndian(UInt16(0))
}

/// The pointer that git has in place of an LFS file.
package func lfsPointer(of content: [UInt8]) -> [UInt8] {
    Array(
        "version https://git-lfs.github.com/spec/v1\noid sha256:\(ReferenceDigest.sha256(content))\nsize \(content.count)\n"
            .utf8)
}

/// A number as bytes, the lowest first.
package func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    (0..<(Number.bitWidth / 8)).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }
}
