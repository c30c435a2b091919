import Testing
import WeightFormats

/// Writes a GGUF file piece by piece.
struct GGUFBuilder {
    var bytes: [UInt8] = Array("GGUF".utf8)
    let word: Int

    init(version: UInt32 = 3, tensors: UInt64 = 0, keys: UInt64 = 0) {
        word = version == 1 ? 4 : 8
        bytes.append(version, bytes: 4)
        bytes.append(tensors, bytes: word)
        bytes.append(keys, bytes: word)
    }

    func string(_ text: String) -> Self {
        var next = self
        next.bytes.append(text.utf8.count, bytes: word)
        next.bytes += Array(text.utf8)
        return next
    }

    func int(_ value: UInt64, _ count: Int) -> Self {
        var next = self
        next.bytes.append(value, bytes: count)
        return next
    }

    func key(_ name: String, type: UInt64) -> Self {
        string(name).int(type, 4)
    }

    func tensor(_ name: String, _ dimensions: [UInt64], type: UInt64, offset: UInt64) -> Self {
        var next = string(name).int(UInt64(dimensions.count), 4)
        for dimension in dimensions { next = next.int(dimension, word) }
        return next.int(type, 4).int(offset, 8)
    }

    func data(_ count: Int, alignment: Int = 32) -> [UInt8] {
        let padding = (alignment - bytes.count % alignment) % alignment
        return bytes + Array(repeating: 0, count: padding + count)
    }
}

/// A file with every value type, arrays of all sorts and two tensors.
let fullGGUF: [UInt8] = {
    var file = GGUFBuilder(tensors: 2, keys: 18)
    for (type, size) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 4), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)] {
        file = file.key("k.\(type)", type: UInt64(type)).int(1, size)
    }
    file = file.key("k.text", type: 8).string("h\u{e9}")
    file = file.key("a.key.that.is.longer.than.any.known.one", type: 9).int(8, 4).int(3, 8)
        .string("a").string("").string("bcd")
    file = file.key("numbers", type: 9).int(5, 4).int(2, 8).int(1, 4).int(2, 4)
    file = file.key("nested", type: 9).int(9, 4).int(2, 8).int(0, 4).int(1, 8).int(9, 1).int(8, 4).int(1, 8).string("z")
    file = file.key("split.no", type: 2).int(1, 2).key("split.count", type: 2).int(3, 2)
    file = file.key("split.tensors.count", type: 5).int(9, 4)
    return file.tensor("t.f32", [3, 2], type: 0, offset: 0).tensor("t.q8", [32, 2], type: 8, offset: 32).data(32 + 68)
}()

private func one(_ dimensions: [UInt64], type: UInt64, offset: UInt64 = 0, data: Int) -> [UInt8] {
    GGUFBuilder(tensors: 1).tensor("t", dimensions, type: type, offset: offset).data(data)
}

private func oneKey(_ name: String, _ type: UInt64, _ add: (GGUFBuilder) -> GGUFBuilder) -> [UInt8] {
    add(GGUFBuilder(keys: 1).key(name, type: type)).bytes
}

private func arrays(depth: Int) -> [UInt8] {
    var file = GGUFBuilder(keys: 1).key("a", type: 9)
    for _ in 1..<depth { file = file.int(9, 4).int(1, 8) }
    return file.int(0, 4).int(1, 8).int(0, 1).bytes
}

@Suite struct GGUFTests {
    private static let short = "truncated UnexpectedEndOfFile"

    static let files: [Row<[UInt8]>] = [
        Row("version 3 without anything", GGUFBuilder().bytes, "ok"),
        Row("version 2", GGUFBuilder(version: 2).bytes, "ok"),
        Row(
            "version 1",
            GGUFBuilder(version: 1, tensors: 1, keys: 1).key("k", type: 8).string("v").tensor(
                "t", [8], type: 0, offset: 0
            ).data(32), "ok"),
        Row("version 0", GGUFBuilder(version: 0).bytes, "invalid InvalidVersion"),
        Row("version 4", GGUFBuilder(version: 4).bytes, "unverifiable UnknownVersion"),
        Row("big-endian", GGUFBuilder(version: 0x0300_0000).bytes, "unverifiable BigEndian"),
        Row("other magic", Array("GGML".utf8) + GGUFBuilder().bytes.dropFirst(4), "invalid InvalidMagic"),
        Row("empty file", [], short),
        Row("magic cut", Array("GGU".utf8), short),
        Row("counts cut", Array(GGUFBuilder().bytes.dropLast()), short),
        Row("everything", fullGGUF, "ok"),
        Row("everything, last byte gone", Array(fullGGUF.dropLast()), "truncated TensorDataIncomplete"),
        Row("everything, trailing padding", fullGGUF + [0, 0, 0], "ok"),
        Row("more tensors than the file holds", GGUFBuilder(tensors: .max).bytes, short),
        Row("more keys than the file holds", GGUFBuilder(keys: 1 << 40).bytes, short),
        Row("key length past the end", GGUFBuilder(keys: 1).int(.max, 8).int(0, 8).bytes, short),
        Row("string length past the end", oneKey("k", 8) { $0.int(1 << 63, 8) }, short),
        Row("array length past the end", oneKey("k", 9) { $0.int(4, 4).int(1 << 62, 8) }, short),
        Row("array length that overflows", oneKey("k", 9) { $0.int(10, 4).int(1 << 63, 8) }, short),
        Row("array of strings past the end", oneKey("k", 9) { $0.int(8, 4).int(2, 8).string("a") }, short),
        Row("empty array", oneKey("k", 9) { $0.int(8, 4).int(0, 8) }, "ok"),
        Row("deepest array", arrays(depth: 4), "ok"),
        Row("array too deep", arrays(depth: 5), "unverifiable ArrayTooDeep"),
        Row("value type 13", oneKey("k", 13) { $0.int(0, 8) }, "unverifiable UnknownValueType"),
        Row("array of type 13", oneKey("k", 9) { $0.int(13, 4).int(1, 8).int(0, 8) }, "unverifiable UnknownValueType"),
        Row(
            "alignment 64",
            GGUFBuilder(tensors: 1, keys: 1).key("general.alignment", type: 4).int(64, 4).tensor(
                "t", [1], type: 0, offset: 64
            ).data(68, alignment: 64), "ok"),
        Row(
            "alignment 1",
            GGUFBuilder(tensors: 1, keys: 1).key("general.alignment", type: 4).int(1, 4).tensor(
                "t", [1], type: 0, offset: 3
            ).data(7, alignment: 1), "ok"),
        Row("alignment 0", oneKey("general.alignment", 4) { $0.int(0, 4) }, "invalid InvalidAlignment"),
        Row("alignment 48", oneKey("general.alignment", 4) { $0.int(48, 4) }, "invalid InvalidAlignment"),
        Row("alignment of another type", oneKey("general.alignment", 10) { $0.int(32, 8) }, "invalid InvalidAlignment"),
        Row("alignment a string", oneKey("general.alignment", 8) { $0.string("32") }, "invalid InvalidAlignment"),
        Row("offset no multiple", one([1], type: 0, offset: 4, data: 8), "invalid MisalignedTensor"),
        Row(
            "name of 64 bytes",
            GGUFBuilder(tensors: 1).tensor(String(repeating: "n", count: 64), [1], type: 0, offset: 0).data(4), "ok"),
        Row(
            "name of 65 bytes",
            GGUFBuilder(tensors: 1).tensor(String(repeating: "n", count: 65), [1], type: 0, offset: 0).data(4),
            "invalid TensorNameTooLong"),
        Row("scalar tensor", one([], type: 0, data: 4), "ok"),
        Row("four dimensions", one([1, 2, 1, 2], type: 0, data: 16), "ok"),
        Row("five dimensions", one([1, 1, 1, 1, 1], type: 0, data: 4), "invalid TooManyDimensions"),
        Row("empty tensor", one([0], type: 0, data: 0), "ok"),
        Row("part of a block", one([31], type: 2, data: 18), "invalid PartialBlock"),
        Row("elements overflow", one([1 << 40, 1 << 40], type: 0, data: 4), "invalid TensorTooLarge"),
        Row("bytes overflow", one([1 << 62], type: 28, data: 4), "invalid TensorTooLarge"),
        Row("negative dimension", one([1 << 63], type: 24, data: 4), "invalid TensorTooLarge"),
        Row("end overflows", one([1 << 60], type: 24, offset: .max - 31, data: 4), "invalid TensorTooLarge"),
        Row("data start overflows", one([1], type: 24, offset: .max - 31, data: 4), "truncated TensorDataIncomplete"),
        Row("one byte short", one([2], type: 0, data: 7), "truncated TensorDataIncomplete"),
        Row(
            "tensor list cut", Array(GGUFBuilder(tensors: 1).tensor("t", [1], type: 0, offset: 0).bytes.dropLast()),
            short),
    ]

    @Test(arguments: files) func file(_ row: Row<[UInt8]>) {
        for chunk in [1, 3, 11, FormatLimits.chunkBytes] {
            let parser = GGUFParser(fileSize: UInt64(row.input.count), chunkBytes: chunk)
            #expect(verdict(parser, row.input) == row.expected)
        }
    }

    /// Type, elements in a block, bytes of a block.
    static let types: [[UInt64]] = [
        [0, 1, 4], [1, 1, 2], [2, 32, 18], [3, 32, 20], [6, 32, 22], [7, 32, 24], [8, 32, 34], [9, 32, 40],
        [10, 256, 84], [11, 256, 110], [12, 256, 144], [13, 256, 176], [14, 256, 210], [15, 256, 292], [16, 256, 66],
        [17, 256, 74], [18, 256, 98], [19, 256, 50], [20, 32, 18], [21, 256, 110], [22, 256, 82], [23, 256, 136],
        [24, 1, 1], [25, 1, 2], [26, 1, 4], [27, 1, 8], [28, 1, 8], [29, 256, 56], [30, 1, 2], [34, 256, 54],
        [35, 256, 66], [39, 32, 17], [40, 64, 36], [41, 128, 18],
    ]

    @Test(arguments: types) func tensorType(_ row: [UInt64]) throws {
        let bytes = one([row[1], 3], type: row[0], data: Int(row[2]) * 3)
        let summary = try parse(GGUFParser(fileSize: UInt64(bytes.count)), bytes)
        #expect(summary.dataBytes == row[2] * 3)
        #expect(summary.unverifiable == nil)
    }

    @Test(arguments: [4, 5, 31, 36, 38, 42, 137, UInt64(UInt32.max)]) func unknownTensorType(_ type: UInt64) throws {
        let bytes = GGUFBuilder(tensors: 2).tensor("x", [7], type: type, offset: 0).tensor(
            "y", [1], type: 0, offset: 32
        )
        .data(36)
        let summary = try parse(GGUFParser(fileSize: UInt64(bytes.count)), bytes)
        #expect(summary.unverifiable?.kind == .unverifiable)
        #expect(summary.unverifiable?.reason == "UnknownTensorType")
        let short = Array(bytes.dropLast())
        #expect(verdict(GGUFParser(fileSize: UInt64(short.count)), short) == "truncated TensorDataIncomplete")
    }

    @Test func summary() throws {
        let summary = try parse(GGUFParser(fileSize: UInt64(fullGGUF.count)), fullGGUF)
        #expect(summary.version == 3)
        #expect(summary.tensorCount == 2)
        #expect(summary.keyValueCount == 18)
        #expect(summary.alignment == 32)
        #expect(summary.dataStart + summary.dataBytes == UInt64(fullGGUF.count))
        #expect(summary.splitNumber == 1)
        #expect(summary.splitCount == 3)
        #expect(summary.splitTensorCount == 9)
    }

    @Test func negativeSplitIsNone() throws {
        let bytes = oneKey("split.tensors.count", 5) { $0.int(0xFFFF_FFFF, 4) }
        #expect(try parse(GGUFParser(fileSize: UInt64(bytes.count)), bytes).splitTensorCount == nil)
    }

    /// Limits of our own, on files of which only the start is fed.
    static let claims: [Row<[UInt8]>] = [
        Row("too many tensors", GGUFBuilder(tensors: 10_000_001).bytes, "unverifiable TooManyTensors"),
        Row("too many keys", GGUFBuilder(keys: 100_001).bytes, "unverifiable TooManyKeys"),
        Row("string too long", oneKey("k", 8) { $0.int(10_000_001, 8) }, "unverifiable StringTooLong"),
        Row("array too long", oneKey("k", 9) { $0.int(8, 4).int(1_000_001, 8) }, "unverifiable ArrayTooLong"),
        Row("longest array", oneKey("k", 9) { $0.int(8, 4).int(1_000_000, 8) }, "truncated UnexpectedEndOfFile"),
        Row("long array of numbers", oneKey("k", 9) { $0.int(6, 4).int(1 << 36, 8) }, "ok"),
    ]

    @Test(arguments: claims) func claim(_ row: Row<[UInt8]>) {
        #expect(verdict(GGUFParser(fileSize: 1 << 40, chunkBytes: row.input.count), row.input) == row.expected)
    }

    @Test func longValuesAreJumpedOver() throws {
        let start = oneKey("k", 9) { $0.int(6, 4).int(1 << 30, 8) }
        var parser = GGUFParser(fileSize: 1 << 40, chunkBytes: start.count)
        try parser.consume(start.span)
        #expect(parser.demand == nil)
        var strings = GGUFParser(fileSize: 1 << 40, chunkBytes: 64)
        let text = GGUFBuilder(keys: 2).key("k", type: 8).int(1_000_000, 8).bytes
        let piece = text + Array(repeating: 0, count: 64 - text.count)
        try strings.consume(piece.span)
        #expect(strings.demand?.offset == UInt64(text.count) + 1_000_000)
    }

    @Test func elementsAndArchitecture() throws {
        var file = GGUFBuilder(tensors: 3, keys: 4).key("general.name", type: 8).string("x")
        file = file.key("general.architecture", type: 8).string("llama").key("llama.context_length", type: 4).int(
            8192, 4)
        file = file.key("general.architectures", type: 9).int(8, 4).int(1, 8).string("no")
        file = file.tensor("a", [32, 2], type: 8, offset: 0).tensor("b", [3, 2], type: 0, offset: 96)
        let bytes = file.tensor("c", [32], type: 8, offset: 128).data(162)
        for chunk in [1, 7, 4096] {
            let summary = try parse(GGUFParser(fileSize: UInt64(bytes.count), chunkBytes: chunk), bytes)
            #expect(summary.architecture == "llama" && summary.contextLength == 8192)
            #expect(summary.types.map(\.type) == ["F32", "Q8_0"] && summary.types.map(\.elements) == [6, 96])
            #expect(summary.types.map(\.tensors) == [1, 2])
        }
    }

    @Test(arguments: [0, 64, 65]) func longArchitecture(length: Int) throws {
        let name = String(repeating: "a", count: length)
        let bytes = GGUFBuilder(keys: 1).key("general.architecture", type: 8).string(name).bytes
        let summary = try parse(GGUFParser(fileSize: UInt64(bytes.count)), bytes)
        #expect(summary.architecture == (length <= 64 ? name : nil))
    }
}
