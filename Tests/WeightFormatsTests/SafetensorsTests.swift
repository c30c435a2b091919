import Testing

@testable import WeightFormats

private let tensor = #"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#

private func entry(_ dtype: String, _ shape: String, _ begin: String, _ end: String) -> String {
    #"{"dtype":"\#(dtype)","shape":[\#(shape)],"data_offsets":[\#(begin),\#(end)]}"#
}

private func nested(_ depth: Int) -> String {
    let array = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    return #"{"a":{"x":\#(array),"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
}

@Suite struct SafetensorsTests {
    private static let json = "invalid InvalidHeaderDeserialization"
    private static let utf8 = "invalid InvalidHeader"

    // Every verdict was taken from the reference library 0.8.0, but for `truncated` and unknown types.
    static let files: [Row<[UInt8]>] = [
        Row("empty file", [], "invalid HeaderTooSmall"),
        Row("seven bytes", Array(repeating: 0, count: 7), "invalid HeaderTooSmall"),
        Row("header of no bytes", safetensors(""), json),
        Row("empty header object", safetensors("{}"), "ok"),
        Row("one tensor", safetensors(#"{"a":\#(tensor)}"#, data: 1), "ok"),
        Row("header just too large", safetensors("{}", claim: 100_000_001), "invalid HeaderTooLarge"),
        Row("header of 2^64 - 1", safetensors("{}", claim: .max), "invalid HeaderTooLarge"),
        Row("largest claim in a small file", safetensors("{}", claim: 100_000_000), "truncated InvalidHeaderLength"),
        Row("header one byte past the file", safetensors("{}", claim: 3), "truncated InvalidHeaderLength"),
        Row("leading whitespace", safetensors(" \n{}"), "ok"),
        Row("trailing whitespace", safetensors("{} \t\r\n"), "ok"),
        Row("trailing NUL", safetensors("{}\u{0}"), json),
        Row("trailing garbage", safetensors("{}x"), json),
        Row("byte order mark", safetensors("\u{feff}{}"), json),
        Row("not an object", safetensors("[]"), json),
        Row("null", safetensors("null"), json),
        Row("invalid UTF-8", safetensors(bytes: [0x7B, 0x22, 0xFF, 0x22]), utf8),
        Row("invalid UTF-8 after invalid JSON", safetensors(bytes: Array("{]}".utf8) + [0xFF]), utf8),
        Row("cut character after invalid JSON", safetensors(bytes: Array("{]}".utf8) + [0xC3]), utf8),
        Row("valid UTF-8 after invalid JSON", safetensors(bytes: Array("{]} \u{e9}".utf8)), json),
        Row(
            "hole at the start", safetensors(#"{"a":\#(entry("U8", "1", "1", "2"))}"#, data: 2), "invalid InvalidOffset"
        ),
        Row(
            "hole between",
            safetensors(#"{"a":\#(tensor),"b":\#(entry("U8", "1", "2", "3"))}"#, data: 3), "invalid InvalidOffset"),
        Row(
            "overlap",
            safetensors(#"{"a":\#(entry("U8", "2", "0", "2")),"b":\#(entry("U8", "2", "1", "3"))}"#, data: 3),
            "invalid InvalidOffset"),
        Row("same range twice", safetensors(#"{"a":\#(tensor),"b":\#(tensor)}"#, data: 1), "invalid InvalidOffset"),
        Row(
            "ends before it begins", safetensors(#"{"a":\#(entry("U8", "1", "1", "0"))}"#, data: 1),
            "invalid InvalidOffset"),
        Row(
            "key order is free",
            safetensors(#"{"b":\#(entry("U8", "1", "1", "2")),"a":\#(tensor)}"#, data: 2), "ok"),
        Row("data one byte short", safetensors(#"{"a":\#(tensor)}"#), "truncated MetadataIncompleteBuffer"),
        Row("data one byte long", safetensors(#"{"a":\#(tensor)}"#, data: 2), "invalid MetadataIncompleteBuffer"),
        Row(
            "size differs from shape", safetensors(#"{"a":\#(entry("U8", "2", "0", "1"))}"#, data: 1),
            "invalid TensorInvalidInfo"),
        Row(
            "size differs from type", safetensors(#"{"a":\#(entry("F16", "1", "0", "1"))}"#, data: 1),
            "invalid TensorInvalidInfo"),
        Row(
            "product overflows",
            safetensors(#"{"a":\#(entry("U8", "4294967296,4294967296", "0", "0"))}"#), "invalid ValidationOverflow"),
        Row(
            "bits overflow",
            safetensors(#"{"a":\#(entry("U8", "2305843009213693952", "0", "0"))}"#), "invalid ValidationOverflow"),
        Row(
            "overflow before zero",
            safetensors(#"{"a":\#(entry("U8", "4294967296,4294967296,0", "0", "0"))}"#), "invalid ValidationOverflow"),
        Row("zero before overflow", safetensors(#"{"a":\#(entry("U8", "0,4294967296,4294967296", "0", "0"))}"#), "ok"),
        Row(
            "largest size that fits",
            safetensors(#"{"a":\#(entry("U8", "2305843009213693951", "0", "2305843009213693951"))}"#),
            "truncated MetadataIncompleteBuffer"),
        Row("half a byte", safetensors(#"{"a":\#(entry("F4", "1", "0", "1"))}"#, data: 1), "invalid MisalignedSlice"),
        Row("two half bytes", safetensors(#"{"a":\#(entry("F4", "2", "0", "1"))}"#, data: 1), "ok"),
        Row("four times six bits", safetensors(#"{"a":\#(entry("F6_E3M2", "2,2", "0", "3"))}"#, data: 3), "ok"),
        Row("empty tensor", safetensors(#"{"a":\#(entry("F32", "3,0", "0", "0"))}"#), "ok"),
        Row("scalar", safetensors(#"{"a":\#(entry("F32", "", "0", "4"))}"#, data: 4), "ok"),
        Row("empty name", safetensors(#"{"":\#(tensor)}"#, data: 1), "ok"),
        Row("negative number", safetensors(#"{"a":\#(entry("U8", "-1", "0", "1"))}"#, data: 1), json),
        Row("minus zero", safetensors(#"{"a":\#(entry("U8", "1", "-0", "1"))}"#, data: 1), json),
        Row("float", safetensors(#"{"a":\#(entry("U8", "1.0", "0", "1"))}"#, data: 1), json),
        Row("exponent", safetensors(#"{"a":\#(entry("U8", "1e0", "0", "1"))}"#, data: 1), json),
        Row("2^64", safetensors(#"{"a":\#(entry("U8", "18446744073709551616", "0", "1"))}"#, data: 1), json),
        Row(
            "2^64 - 1", safetensors(#"{"a":\#(entry("U8", "18446744073709551615", "0", "1"))}"#, data: 1),
            "invalid ValidationOverflow"),
        Row("three offsets", safetensors(#"{"a":\#(entry("U8", "1", "0", "1,2"))}"#, data: 1), json),
        Row("one offset", safetensors(#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}"#, data: 1), json),
        Row("no offsets", safetensors(#"{"a":{"dtype":"U8","shape":[1]}}"#, data: 1), json),
        Row("shape is null", safetensors(#"{"a":{"dtype":"U8","shape":null,"data_offsets":[0,1]}}"#, data: 1), json),
        Row("type is a number", safetensors(#"{"a":{"dtype":8,"shape":[1],"data_offsets":[0,1]}}"#, data: 1), json),
        Row("tensor is null", safetensors(#"{"a":null}"#), json),
        Row(
            "field twice", safetensors(#"{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: 1),
            json),
        Row(
            "extra keys",
            safetensors(
                #"{"a":{"x":{"y":[1.5,"z",null,{}]},"dtype":"U8","shape":[1],"data_offsets":[0,1],"w":"v"}}"#, data: 1),
            "ok"),
        Row(
            "number out of range in an extra key",
            safetensors(#"{"a":{"x":1e999,"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, data: 1), json),
        Row("deepest", safetensors(nested(125), data: 1), "ok"),
        Row("one too deep", safetensors(nested(126), data: 1), json),
        Row(
            "duplicate name, last wins", safetensors(#"{"a":\#(entry("U8", "9", "0", "9")),"a":\#(tensor)}"#, data: 1),
            "ok"),
        Row(
            "duplicate name by escape",
            safetensors(#"{"a":\#(entry("U8", "9", "0", "9")),"\u0061":\#(tensor)}"#, data: 1), "ok"),
        Row("duplicate name, first malformed", safetensors(#"{"a":3,"a":\#(tensor)}"#, data: 1), json),
        Row("metadata", safetensors(#"{"__metadata__":{"format":"pt"},"a":\#(tensor)}"#, data: 1), "ok"),
        Row("metadata by escape", safetensors(#"{"__meta\u0064ata__":{"format":"pt"}}"#), "ok"),
        Row("metadata null", safetensors(#"{"__metadata__":null}"#), "ok"),
        Row("metadata twice", safetensors(#"{"__metadata__":{},"__metadata__":{}}"#), json),
        Row("metadata key twice", safetensors(#"{"__metadata__":{"a":"1","a":"2"}}"#), "ok"),
        Row("metadata with a number", safetensors(#"{"__metadata__":{"a":1}}"#), json),
        Row("metadata with null", safetensors(#"{"__metadata__":{"a":null}}"#), json),
        Row("metadata an array", safetensors(#"{"__metadata__":[]}"#), json),
        Row("tensor as array", safetensors(#"{"a":["U8",[1],[0,1]]}"#, data: 1), "ok"),
        Row("tensor as short array", safetensors(#"{"a":["U8",[1]]}"#, data: 1), json),
        Row("tensor as long array", safetensors(#"{"a":["U8",[1],[0,1],0]}"#, data: 1), json),
        Row(
            "type as object", safetensors(#"{"a":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}}"#, data: 1),
            "ok"),
        Row(
            "type as object with a value",
            safetensors(#"{"a":{"dtype":{"U8":1},"shape":[1],"data_offsets":[0,1]}}"#, data: 1), json),
        Row(
            "type as empty object", safetensors(#"{"a":{"dtype":{},"shape":[1],"data_offsets":[0,1]}}"#, data: 1), json),
        Row("lone surrogate in a name", safetensors(#"{"\ud800":\#(tensor)}"#, data: 1), json),
    ]

    @Test(arguments: files) func file(_ row: Row<[UInt8]>) {
        for chunk in [1, 3, 17, FormatLimits.chunkBytes] {
            let parser = SafetensorsParser(fileSize: UInt64(row.input.count), hashSeed: 7, chunkBytes: chunk)
            #expect(verdict(parser, row.input) == row.expected)
        }
    }

    @Test(arguments: SafetensorsDtype.allCases) func everyDtype(_ dtype: SafetensorsDtype) throws {
        let bytes = safetensors(#"{"a":\#(entry(dtype.rawValue, "8", "0", "\(dtype.bits)"))}"#, data: Int(dtype.bits))
        let summary = try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes)
        #expect(summary.dtypes == [SafetensorsSummary.DtypeTotal(dtype: dtype, tensors: 1, elements: 8)])
    }

    @Test func summary() throws {
        let header =
            #"{"__metadata__":{"format":"pt"},"w":\#(entry("F32", "2,3", "0", "24")),"b":\#(entry("BF16", "3", "24", "30")),"c":\#(entry("F32", "1", "30", "34"))}  "#
        let bytes = safetensors(header, data: 34)
        let summary = try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes)
        #expect(summary.tensorCount == 3)
        #expect(summary.headerBytes == UInt64(header.utf8.count))
        #expect(summary.dataBytes == 34)
        #expect(summary.dtypes.map(\.dtype) == [.bf16, .f32])
        #expect(summary.dtypes.map(\.tensors) == [1, 2])
        #expect(summary.dtypes.map(\.elements) == [3, 7])
        #expect(summary.nameHashes == summary.nameHashes.sorted())
        #expect(summary.fingerprint.count == 3)
        #expect(summary.unverifiable == nil)
    }

    @Test func unknownTypeIsNoDamage() throws {
        let bytes = safetensors(#"{"a":\#(entry("F2_X", "4", "0", "1")),"b":\#(entry("U8", "1", "1", "2"))}"#, data: 2)
        let summary = try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes)
        #expect(summary.unverifiable?.kind == .unverifiable)
        #expect(summary.unverifiable?.reason == "UnknownDtype")
        #expect(summary.tensorCount == 2)
        let short = Array(bytes.dropLast())
        #expect(
            verdict(SafetensorsParser(fileSize: UInt64(short.count), hashSeed: 7), short)
                == "truncated MetadataIncompleteBuffer")
    }

    @Test func hugeClaimReadsOnlyItsFirstBytes() {
        let parser = SafetensorsParser(fileSize: 1 << 40, hashSeed: 7)
        #expect(parser.demand == ByteDemand(offset: 0, count: FormatLimits.firstChunkBytes))
        let bytes = safetensors("{}", claim: 100_000_001)
        var small = SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7)
        #expect(throws: FormatError.self) { try small.consume(bytes.span) }
    }

    @Test func fileThatShrinksIsTruncated() throws {
        var parser = SafetensorsParser(fileSize: 100, hashSeed: 7)
        let bytes: [UInt8] = [1, 2, 3]
        #expect(throws: FormatError(.truncated, "UnexpectedEndOfFile", at: 3, "the file ended while it was being read"))
        {
            try parser.consume(bytes.span)
        }
    }

    @Test func namesAreHashedDecoded() throws {
        let plain = safetensors(#"{"\#("layer.\u{e9}")":\#(tensor)}"#, data: 1)
        let escaped = safetensors(#"{"l\u0061yer\u002E\u00e9":\#(tensor)}"#, data: 1)
        func hashes(_ bytes: [UInt8], seed: UInt64, chunk: Int) throws -> [UInt64] {
            try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: seed, chunkBytes: chunk), bytes)
                .nameHashes
        }
        let expected = try hashes(plain, seed: 7, chunk: 1_000)
        for chunk in [1, 2, 5, 1_000] { #expect(try hashes(escaped, seed: 7, chunk: chunk) == expected) }
        #expect(try hashes(plain, seed: 8, chunk: 1_000) != expected)
    }

    @Test func errorsNameTheOffsetInTheFile() throws {
        let bytes = safetensors(#"{"a":tru}"#)
        var error: FormatError?
        do throws(FormatError) {
            _ = try parse(SafetensorsParser(fileSize: UInt64(bytes.count), hashSeed: 7), bytes)
        } catch let caught {
            error = caught
        }
        #expect(error?.offset == 16)
    }
}
