/// A byte range of the file that a parser needs next.
public struct ByteDemand: Sendable, Equatable {
    /// Bytes from the start of the file.
    public var offset: UInt64
    /// Bytes wanted: at least 1, at most ``FormatLimits/maxChunkBytes``, never past the declared end of the file.
    public var count: Int

    /// Makes a demand from its parts.
    public init(offset: UInt64, count: Int) {
        self.offset = offset
        self.count = count
    }
}

/// A parser that does no I/O: it says which bytes it needs and is fed them.
///
/// ```swift
/// while let demand = parser.demand {
///     try parser.consume(read(demand).span)
/// }
/// let summary = try parser.finish()
/// ```
///
/// The number of demands is bounded by the size of the file and by ``FormatLimits``. After `consume` has thrown, the
/// parser is spent. Feeding the same file in other chunk sizes gives the same result.
public protocol WeightFileParser {
    /// What a sound file yields.
    associatedtype Summary: Sendable

    /// The bytes needed next; nil when nothing more is needed and ``finish()`` has the verdict.
    var demand: ByteDemand? { get }

    /// Takes the demanded bytes. Fewer mean that the file ended early and are reported as `truncated`.
    ///
    /// Calling this without a demand, or with more bytes than demanded, is a programmer error.
    mutating func consume(_ bytes: Span<UInt8>) throws(FormatError)

    /// Ends the parse. Valid only when ``demand`` is nil.
    consuming func finish() throws(FormatError) -> Summary
}

extension WeightFileParser {
    /// Checks a call of `consume` against its contract.
    func accept(_ bytes: borrowing Span<UInt8>) throws(FormatError) -> ByteDemand {
        guard let demand else { preconditionFailure("consume without a demand") }
        precondition(bytes.count <= demand.count, "more bytes than demanded")
        guard bytes.count == demand.count else {
            throw FormatError(
                .truncated, "UnexpectedEndOfFile", at: demand.offset + UInt64(bytes.count),
                "the file ended while it was being read")
        }
        return demand
    }
}

/// Cuts a caller's chunk size to what the contract of ``ByteDemand`` promises.
func boundedChunk(_ bytes: Int) -> Int {
    min(max(bytes, 1), FormatLimits.maxChunkBytes)
}
