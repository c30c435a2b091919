public import WeightFormats

/// Parses `bytes` whole and in pieces of several sizes, and traps unless all agree.
///
/// `make` gets the file size and the chunk size. A demand outside its contract traps too.
public func checkEveryChunking<Parser: WeightFileParser>(_ bytes: [UInt8], _ make: (UInt64, Int) -> Parser) {
    let size = UInt64(bytes.count)
    let whole = outcome(make(size, FormatLimits.chunkBytes), bytes)
    for chunk in [1, 2, 7, 64] {
        precondition(outcome(make(size, chunk), bytes) == whole, "chunks of \(chunk) bytes change the outcome")
    }
    // A file that is shorter than it was said to be must end in an error, not in a trap.
    _ = outcome(make(size + 1, 5), bytes)
    _ = outcome(make(size &* 1_000_003, FormatLimits.chunkBytes), bytes)
}

private func outcome<Parser: WeightFileParser>(_ parser: Parser, _ bytes: [UInt8]) -> String {
    var parser = parser
    do throws(FormatError) {
        var demands = 0
        while let demand = parser.demand {
            demands += 1
            precondition(demands <= 4 * bytes.count + 200_000, "demands without end")
            precondition(demand.count >= 1 && demand.count <= FormatLimits.maxChunkBytes, "a demand out of bounds")
            let start = min(Int(clamping: demand.offset), bytes.count)
            let end = min(start + demand.count, bytes.count)
            try parser.consume(bytes.span.extracting(start..<end))
        }
        return String(describing: try parser.finish())
    } catch {
        precondition(error.detail.utf8.count < 1_000 && error.reason.utf8.count < 64, "an error without bounds")
        return String(describing: error)
    }
}

/// The input of a fuzzer as an array.
public func copied(_ start: UnsafePointer<UInt8>, _ count: Int) -> [UInt8] {
    Array(UnsafeBufferPointer(start: start, count: count))
}
