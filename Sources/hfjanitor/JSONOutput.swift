import FoundationEssentials
import HubCache

/// Writes a document as one line of JSON with its keys in order.
func printJSON(_ document: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    Terminal.print(String(decoding: try encoder.encode(document), as: UTF8.self))
}

/// A time as RFC 3339 in UTC.
func formatTime(_ time: Timestamp) -> String { CalendarTime.text(of: time) }
