/// Judges a safetensors file by its header, as the reference library 0.8.0 does.
///
/// Reads `8 + N` bytes and never the data. Reasons are the reference library's error names. Deviations: a file that is
/// shorter than its header says is `truncated`, and an unknown element type is reported in
/// ``SafetensorsSummary/unverifiable`` instead of as an error.
///
/// Memory is 40 bytes for each tensor, with room to grow, and bounded by ``FormatLimits/maxSafetensorsTensors``.
public struct SafetensorsParser: WeightFileParser {
    private enum Phase {
        case length
        case header
        /// The JSON is broken; what is left decides between `InvalidHeader` and `InvalidHeaderDeserialization`.
        case encodingOnly
        case done
    }

    private static let lengthBytes: UInt64 = 8

    private let fileSize: UInt64
    private let chunkBytes: Int
    private var phase: Phase
    private var position: UInt64 = 0
    private var headerBytes: UInt64 = 0
    private var tokenizer = JSONTokenizer()
    private var header: SafetensorsHeader
    private var fault: FormatError?
    private var utf8 = UTF8Tail()

    /// The bytes needed next.
    public private(set) var demand: ByteDemand?

    /// Starts the parse of a file of `fileSize` bytes.
    ///
    /// Name hashes can be compared only between parsers with the same `hashSeed`, which the writer of the file must not
    /// be able to guess.
    public init(fileSize: UInt64, hashSeed: UInt64, chunkBytes: Int = FormatLimits.chunkBytes) {
        self.fileSize = fileSize
        self.chunkBytes = boundedChunk(chunkBytes)
        header = SafetensorsHeader(hashSeed: hashSeed)
        phase = .length
        if fileSize < Self.lengthBytes {
            phase = .done
            fault = FormatError(
                .invalid, "HeaderTooSmall", at: fileSize,
                "\(fileSize) bytes do not hold the eight-byte length of the header")
        } else {
            let first = min(UInt64(min(self.chunkBytes, FormatLimits.firstChunkBytes)), fileSize)
            demand = ByteDemand(offset: 0, count: Int(first))
        }
    }

    /// Takes the demanded bytes.
    public mutating func consume(_ bytes: Span<UInt8>) throws(FormatError) {
        _ = try accept(bytes)
        var index = 0
        while index < bytes.count, position < Self.lengthBytes {
            headerBytes |= UInt64(bytes[index]) << (position * 8)
            index += 1
            position += 1
            if position == Self.lengthBytes { try checkLength() }
        }
        let rest = min(UInt64(bytes.count - index), headerEnd - position)
        if position >= Self.lengthBytes, rest > 0 {
            takeHeader(bytes, index..<index + Int(rest))
            position = phase == .done ? headerEnd : position + rest
        }
        advance()
    }

    private var headerEnd: UInt64 {
        Self.lengthBytes + headerBytes
    }

    private mutating func checkLength() throws(FormatError) {
        phase = .header
        guard headerBytes <= FormatLimits.maxSafetensorsHeaderBytes else {
            throw FormatError(
                .invalid, "HeaderTooLarge", at: 0,
                "the header claims \(headerBytes) bytes, more than \(FormatLimits.maxSafetensorsHeaderBytes)")
        }
        guard headerEnd <= fileSize else {
            throw FormatError(
                .truncated, "InvalidHeaderLength", at: 0,
                "the header claims \(headerBytes) bytes, the file has \(fileSize)")
        }
    }

    private mutating func advance() {
        let end = position < Self.lengthBytes ? Self.lengthBytes : headerEnd
        if position < end {
            demand = ByteDemand(offset: position, count: Int(min(UInt64(chunkBytes), end - position)))
        } else {
            demand = nil
            if phase == .encodingOnly, !utf8.isComplete { noteEncodingFault(at: position) }
            if phase == .header {
                do throws(JSONFault) {
                    try tokenizer.finish(into: &header)
                } catch {
                    fault = Self.formatError(error)
                }
            }
            phase = .done
        }
    }

    private mutating func takeHeader(_ bytes: Span<UInt8>, _ range: Range<Int>) {
        if phase == .header {
            do throws(JSONFault) {
                try tokenizer.feed(bytes, range, into: &header)
            } catch {
                fault = Self.formatError(error)
                switch error.kind {
                case .encoding, .declined: phase = .done
                case .syntax, .meaning:
                    // The reference validates UTF-8 before JSON, so a later encoding fault wins.
                    phase = .encodingOnly
                    // A fault may name the start of a token in an earlier piece; such tokens are ASCII.
                    let faulty = max(error.offset + Self.lengthBytes, position) - position
                    checkEncoding(bytes, range.lowerBound + Int(faulty)..<range.upperBound, at: position + faulty)
                }
            }
        } else if phase == .encodingOnly {
            checkEncoding(bytes, range, at: position)
        }
    }

    private mutating func checkEncoding(_ bytes: Span<UInt8>, _ range: Range<Int>, at start: UInt64) {
        for index in range {
            let byte = bytes[index]
            if utf8.isComplete {
                if byte >= 0x80, !utf8.begin(byte) {
                    return noteEncodingFault(at: start + UInt64(index - range.lowerBound))
                }
            } else if !utf8.take(byte) {
                return noteEncodingFault(at: start + UInt64(index - range.lowerBound))
            }
        }
    }

    private mutating func noteEncodingFault(at offset: UInt64) {
        fault = FormatError(.invalid, "InvalidHeader", at: offset, "the header is not UTF-8")
        phase = .done
    }

    private static func formatError(_ fault: JSONFault) -> FormatError {
        let offset = fault.offset + lengthBytes
        return switch fault.kind {
        case .encoding: FormatError(.invalid, "InvalidHeader", at: offset, fault.detail)
        case .syntax: FormatError(.invalid, "InvalidHeaderDeserialization", at: offset, fault.detail)
        case .meaning(let name): FormatError(.invalid, name, at: offset, fault.detail)
        case .declined(let name): FormatError(.unverifiable, name, at: offset, fault.detail)
        }
    }

    /// The verdict.
    public consuming func finish() throws(FormatError) -> SafetensorsSummary {
        precondition(demand == nil, "finish before every demand was met")
        if let fault { throw fault }
        let dataBytes = try header.tensors.validate()
        let (total, overflow) = headerEnd.addingReportingOverflow(dataBytes)
        guard !overflow, total <= fileSize else {
            throw FormatError(
                .truncated, "MetadataIncompleteBuffer", at: fileSize,
                "the tensors end at byte \(headerEnd) + \(dataBytes), the file at \(fileSize)")
        }
        guard total == fileSize else {
            throw FormatError(
                .invalid, "MetadataIncompleteBuffer", at: total,
                "the tensors end at byte \(total), \(fileSize - total) bytes before the end of the file")
        }
        return header.tensors.summary(headerBytes: headerBytes, dataBytes: dataBytes)
    }
}
