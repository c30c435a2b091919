internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// Why a file could not be taken for what its name promises.
enum ReadOutcome<Summary: Sendable>: Sendable {
    case sound(Summary)
    case bad(FormatError)
    case failed(SystemCallFailure)
}

/// Feeds a parser from a file.
///
/// - Parameter keepsOutOfCache: reads around the page cache where the kernel can, for weights, of which a model server may
///   have cached what it needs. Manifests and indexes are small, and are looked at again and again.
func read<Parser: WeightFileParser>(
    _ file: borrowing OwnedDescriptor, with parser: consuming Parser, keepsOutOfCache: Bool
) -> ReadOutcome<Parser.Summary> {
    var parser = parser
    while let demand = parser.demand {
        let bytes: [UInt8]
        do throws(SystemCallFailure) {
            bytes =
                keepsOutOfCache
                ? try file.readUncached(at: demand.offset, count: demand.count)
                : try file.read(at: demand.offset, count: demand.count)
        } catch {
            return .failed(error)
        }
        do throws(FormatError) {
            try parser.consume(bytes.span)
        } catch {
            return .bad(error)
        }
    }
    do throws(FormatError) {
        return .sound(try parser.finish())
    } catch {
        return .bad(error)
    }
}
