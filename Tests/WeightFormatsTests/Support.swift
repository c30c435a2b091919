import Testing
import WeightFormats

/// Feeds `bytes` to a parser as a caller would and checks each demand against the contract.
func parse<Parser: WeightFileParser>(_ parser: Parser, _ bytes: [UInt8]) throws(FormatError) -> Parser.Summary {
    var parser = parser
    var demands = 0
    while let demand = parser.demand {
        demands += 1
        #expect(demand.count >= 1 && demand.count <= FormatLimits.maxChunkBytes)
        #expect(demands <= 2 * bytes.count + 70_000)
        let start = min(Int(clamping: demand.offset), bytes.count)
        let end = min(start + demand.count, bytes.count)
        try parser.consume(bytes.span.extracting(start..<end))
    }
    return try parser.finish()
}

/// The verdict in a form that tables can hold: `ok`, or kind and reason.
func verdict<Parser: WeightFileParser>(_ parser: Parser, _ bytes: [UInt8]) -> String {
    do throws(FormatError) {
        _ = try parse(parser, bytes)
        return "ok"
    } catch {
        return "\(error.kind) \(error.reason)"
    }
}

/// Everything an outcome says, to compare two ways of feeding.
func fullOutcome<Parser: WeightFileParser>(_ parser: Parser, _ bytes: [UInt8]) -> String {
    do throws(FormatError) {
        return String(describing: try parse(parser, bytes))
    } catch {
        return String(describing: error)
    }
}

extension Array<UInt8> {
    /// Appends an integer, little-endian.
    mutating func append(_ value: some FixedWidthInteger, bytes: Int) {
        for index in 0..<bytes { append(UInt8(truncatingIfNeeded: value >> (index * 8))) }
    }
}

/// A file of the safetensors format.
func safetensors(_ header: String, data: Int = 0, claim: UInt64? = nil) -> [UInt8] {
    safetensors(bytes: Array(header.utf8), data: data, claim: claim)
}

/// A file of the safetensors format whose header need not be text.
func safetensors(bytes header: [UInt8], data: Int = 0, claim: UInt64? = nil) -> [UInt8] {
    var file: [UInt8] = []
    file.append(claim ?? UInt64(header.count), bytes: 8)
    return file + header + Array(repeating: 0x2A, count: data)
}

/// A named row of a table.
struct Row<Input: Sendable>: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let input: Input
    let expected: String

    init(_ name: String, _ input: Input, _ expected: String) {
        testDescription = name
        self.input = input
        self.expected = expected
    }
}

/// SplitMix64: small, seeded, the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
