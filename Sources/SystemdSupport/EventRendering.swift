internal import HubCache

/// The three forms of an event. Pure: the same event and time give the same bytes.
extension JournalEvent {
    /// The journal's native protocol: a `NAME=value` line a field. Since no text has a line break (each is escaped), the
    /// protocol's other form, with a length, is never needed.
    func nativeMessage(identifier: String) -> [UInt8] {
        var text = "MESSAGE=\(displayText(of: message))\nPRIORITY=\(priority.rawValue)\n"
        text += "MESSAGE_ID=\(kind.messageID)\nSYSLOG_IDENTIFIER=\(identifier)\nHFJ_EVENT=\(kind.rawValue)\n"
        for (name, value) in fields.list {
            switch value {
            case .text(let words): text += "HFJ_\(name)=\(words)\n"
            case .number(let number): text += "HFJ_\(name)=\(number)\n"
            }
        }
        return Array(text.utf8)
    }

    /// One line of JSON: `time`, `level`, `event`, `message_id`, `message`, then the fields by their names in lower case
    /// without `HFJ_`; numbers are plain integers.
    ///
    /// - Parameter time: RFC 3339.
    public func jsonLine(time: String) -> String {
        var pairs = [
            "\"time\":\(quoted(time))", "\"level\":\(quoted(priority.word))", "\"event\":\(quoted(kind.rawValue))",
            "\"message_id\":\(quoted(kind.messageID))", "\"message\":\(quoted(displayText(of: message)))",
        ]
        for (name, value) in fields.list {
            switch value {
            case .text(let words): pairs.append("\"\(name.lowercased())\":\(quoted(words))")
            case .number(let number): pairs.append("\"\(name.lowercased())\":\(number)")
            }
        }
        return "{\(pairs.joined(separator: ","))}\n"
    }

    /// One line for a person: the time, the level where it is not an ordinary one, and the message.
    ///
    /// - Parameters:
    ///   - time: a time of day.
    ///   - hasColour: whether errors are red and warnings yellow.
    func terminalLine(time: String, hasColour: Bool) -> String {
        let level = priority <= .warning ? "\(priority.word): " : ""
        let line = "\(time) \(level)\(displayText(of: message))"
        guard hasColour, priority <= .warning else { return line + "\n" }
        return "\u{1B}[\(priority <= .error ? 31 : 33)m\(line)\u{1B}[0m\n"
    }

    /// One line for a stream that the service manager reads: it takes a number in front for the priority (sd-daemon(3)).
    var prefixedLine: String { "<\(priority.rawValue)>\(displayText(of: message))\n" }
}

/// A JSON string of a text without control characters.
private func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        if scalar == "\"" || scalar == "\\" { result += "\\" }
        result.unicodeScalars.append(scalar)
    }
    return result + "\""
}
