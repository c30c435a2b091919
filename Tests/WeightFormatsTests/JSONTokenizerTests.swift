import Testing

@testable import WeightFormats

/// Writes the events down, strings joined, so that a run can be compared with a literal.
private struct Transcript: JSONSink {
    var events: [String] = []
    private var string: [UInt8] = []

    mutating func beginObject(at offset: UInt64) { events.append("{") }
    mutating func endObject(at offset: UInt64) { events.append("}") }
    mutating func beginArray(at offset: UInt64) { events.append("[") }
    mutating func endArray(at offset: UInt64) { events.append("]") }
    mutating func scalar(_ scalar: JSONScalar, at offset: UInt64) {
        switch scalar {
        case .unsigned(let value): events.append("u\(value)")
        case .number: events.append("n")
        case .hugeNumber: events.append("huge")
        case .bool: events.append("bool")
        case .null: events.append("null")
        }
    }
    mutating func beginString(isKey: Bool, at offset: UInt64) { string = [] }
    mutating func stringBytes(_ bytes: borrowing Span<UInt8>, _ range: Range<Int>) {
        for index in range { string.append(bytes[index]) }
    }
    mutating func endString(isKey: Bool, at offset: UInt64) {
        events.append((isKey ? "key:" : "str:") + String(decoding: string, as: UTF8.self))
    }
}

private func transcript(_ bytes: [UInt8], chunk: Int) -> String {
    var tokenizer = JSONTokenizer()
    var sink = Transcript()
    do throws(JSONFault) {
        var start = 0
        while start < bytes.count {
            let end = min(start + chunk, bytes.count)
            try tokenizer.feed(bytes.span.extracting(start..<end), 0..<end - start, into: &sink)
            start = end
        }
        try tokenizer.finish(into: &sink)
    } catch {
        switch error.kind {
        case .encoding: return "encoding@\(error.offset)"
        case .syntax: return "syntax@\(error.offset)"
        case .meaning(let name), .declined(let name): return name
        }
    }
    return sink.events.joined(separator: " ")
}

@Suite struct JSONTokenizerTests {
    static let texts: [Row<String>] = [
        Row("object", #" {"a" : [1, true, false, null, "b"]} "#, "{ key:a [ u1 bool bool null str:b ] }"),
        Row("empty containers", "[{},[]]", "[ { } [ ] ]"),
        Row("top-level scalar", "12", "u12"),
        Row("top-level string", #""x""#, "str:x"),
        Row("all whitespace", "\t\r\n 1\n", "u1"),
        Row("largest u64", "18446744073709551615", "u18446744073709551615"),
        Row("2^64", "18446744073709551616", "n"),
        Row("zero", "0", "u0"),
        Row("minus zero", "-0", "n"),
        Row("negative", "-1", "n"),
        Row("float", "1.0", "n"),
        Row("exponent", "1e3", "n"),
        Row("signed exponent", "1E+3", "n"),
        Row("largest double", "1.7976931348623157e308", "n"),
        Row("past the largest double", "1.7976931348623159e308", "huge"),
        Row("huge exponent", "1e99999999999999999999", "huge"),
        Row("zero with huge exponent", "0.0e999", "n"),
        Row("tiny", "1e-999", "n"),
        Row("small digits, large exponent", "0.00001e310", "n"),
        Row("escapes", #""\"\\\/\b\f\n\r\t""#, "str:\"\\/\u{8}\u{c}\n\r\t"),
        Row("escaped scalars", #""\u0041\u00e9\u20AC""#, "str:A\u{e9}\u{20ac}"),
        Row("surrogate pair", #""\ud83d\ude00""#, "str:\u{1f600}"),
        Row("escaped NUL", #""\u0000""#, "str:\u{0}"),
        Row("DEL", "\"\u{7f}\"", "str:\u{7f}"),
        Row("long plain text", "\"0123456789abcdefghij\"", "str:0123456789abcdefghij"),
        Row("UTF-8 of every length", "\"a\u{e9}\u{20ac}\u{1f600}b\"", "str:a\u{e9}\u{20ac}\u{1f600}b"),
        Row("empty text", "", "syntax@0"),
        Row("only space", "  ", "syntax@2"),
        Row("unfinished", "[1", "syntax@2"),
        Row("unfinished string", "\"ab", "syntax@3"),
        Row("unfinished literal", "tru", "syntax@3"),
        Row("unfinished number", "-", "syntax@0"),
        Row("trailing garbage", "{} x", "syntax@3"),
        Row("trailing NUL", "{}\u{0}", "syntax@2"),
        Row("second value", "1 2", "syntax@2"),
        Row("leading zero", "01", "syntax@1"),
        Row("leading plus", "+1", "syntax@0"),
        Row("bare point", "1.", "syntax@0"),
        Row("point without digits", "[1.]", "syntax@3"),
        Row("bare exponent", "[1e]", "syntax@3"),
        Row("signed bare exponent", "[1e+]", "syntax@4"),
        Row("minus alone", "[-]", "syntax@2"),
        Row("NaN", "NaN", "syntax@0"),
        Row("wrong literal", "nulL", "syntax@3"),
        Row("trailing comma in array", "[1,]", "syntax@3"),
        Row("trailing comma in object", #"{"a":1,}"#, "syntax@7"),
        Row("missing colon", #"{"a" 1}"#, "syntax@5"),
        Row("bare key", "{a:1}", "syntax@1"),
        Row("wrong closer", "[}", "syntax@1"),
        Row("wrong closer after value", "[1}", "syntax@2"),
        Row("form feed", "\u{c}1", "syntax@0"),
        Row("byte order mark", "\u{feff}1", "syntax@0"),
        Row("control character", "\"a\u{1}\"", "syntax@2"),
        Row("unknown escape", #""\x""#, "syntax@2"),
        Row("bad hex", #""\u00g0""#, "syntax@5"),
        Row("lone high surrogate", #""\ud800""#, "syntax@7"),
        Row("high surrogate, other escape", #""\ud800\n""#, "syntax@8"),
        Row("two high surrogates", #""\ud800\ud800""#, "syntax@12"),
        Row("lone low surrogate", #""\udc00""#, "syntax@6"),
    ]

    @Test(arguments: texts) func text(_ row: Row<String>) {
        let bytes = Array(row.input.utf8)
        for chunk in [1, 2, 3, 8, 1_000] { #expect(transcript(bytes, chunk: chunk) == row.expected) }
    }

    static let encodings: [Row<[UInt8]>] = [
        Row("stray continuation", [0x80], "encoding@1"),
        Row("overlong slash", [0xC0, 0xAF], "encoding@1"),
        Row("overlong in two bytes", [0xC1, 0xBF], "encoding@1"),
        Row("overlong in three", [0xE0, 0x9F, 0xBF], "encoding@2"),
        Row("overlong in four", [0xF0, 0x8F, 0xBF, 0xBF], "encoding@2"),
        Row("surrogate", [0xED, 0xA0, 0x80], "encoding@2"),
        Row("above 10FFFF", [0xF4, 0x90, 0x80, 0x80], "encoding@2"),
        Row("no such lead", [0xF5, 0x80, 0x80, 0x80], "encoding@1"),
        Row("cut off", [0xE2, 0x82], "encoding@3"),
        Row("last of three", [0xE2, 0x82, 0x41], "encoding@3"),
        Row(
            "first of each length", [0xC2, 0x80, 0xE0, 0xA0, 0x80, 0xF0, 0x90, 0x80, 0x80], "str:\u{80}\u{800}\u{10000}"
        ),
        Row("last below surrogates", [0xED, 0x9F, 0xBF], "str:\u{d7ff}"),
        Row("last of all", [0xF4, 0x8F, 0xBF, 0xBF], "str:\u{10ffff}"),
    ]

    @Test(arguments: encodings) func encoding(_ row: Row<[UInt8]>) {
        let bytes = [0x22] + row.input + [0x22]
        for chunk in [1, 2, 1_000] { #expect(transcript(bytes, chunk: chunk) == row.expected) }
    }

    @Test func textEndsInsideCharacter() {
        #expect(transcript([0x22, 0xE2, 0x82], chunk: 10) == "encoding@3")
    }

    @Test func depth() {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(transcript(nested(127), chunk: 50).hasPrefix("[ ["))
        #expect(transcript(nested(128), chunk: 50) == "syntax@127")
    }

    @Test func objectsAndArraysInterleave() {
        let text = String(repeating: #"[{"a":"#, count: 60) + "1" + String(repeating: "}]", count: 60)
        #expect(transcript(Array(text.utf8), chunk: 7).hasSuffix("} ]"))
    }
}
