import HubCache
import HubClient
import Preview

/// A preview for a person.
struct PreviewText {
    private let preview: RepoPreview
    private let revision: String
    private let room: PreviewRoom

    private static let mostSets = 12
    private static let labelWidth = 14

    init(_ preview: RepoPreview, _ revision: String, _ room: PreviewRoom) {
        self.preview = preview
        self.revision = revision
        self.room = room
    }

    var lines: [String] {
        let name = Terminal.styled("\(preview.repo)@\(displayText(of: revision))", .bold)
        var lines = ["\(name)  \(preview.info.commit.short)"]
        func add(_ label: String, _ text: String?) {
            guard let text else { return }
            let padding = String(repeating: " ", count: Self.labelWidth - label.count)
            lines.append(Terminal.styled(label, .dim) + padding + text)
        }
        add("size", size)
        add("access", access)
        add("licence", preview.info.license.map { displayText(of: $0) })
        add("architecture", architecture)
        add("context", preview.facts.contextLength.map { "\($0) tokens" })
        add("parameters", parameters)
        add("quantisation", preview.facts.quantization.map { displayText(of: $0) })
        add("adapter", adapter)
        add("own code", ownCode)
        lines += alternatives + memory
        lines.append("")
        add("disk", disk)
        add("", "\(formatBytes(room.freeBytes)) free, floor \(formatBytes(room.floorBytes)) (\(room.floorName))")
        add("memory", machineMemory)
        for text in graphics { add("GPU", text) }
        for note in preview.notes { lines.append(Terminal.styled("note: ", .yellow) + note) }
        return lines
    }

    private var size: String {
        let text = "\(formatBytes(preview.bytes)) in \(counted(preview.files.count, "file"))"
        return preview.sets.isEmpty ? text : text + ", \(formatBytes(preview.weightBytes)) of them weights"
    }

    private var access: String? {
        var words: [String] = []
        switch preview.info.gating {
        case .open: break
        case .automatic: words.append("gated: its conditions must be accepted")
        case .manual: words.append("gated: its owner decides who gets it")
        }
        if preview.info.isPrivate { words.append("private") }
        if preview.info.isDisabled { words.append("disabled by the Hub") }
        return words.isEmpty ? nil : Terminal.styled(words.joined(separator: ", "), .yellow)
    }

    private var architecture: String? {
        let names = preview.facts.architectures.map { displayText(of: $0) }.joined(separator: ", ")
        let type = preview.facts.modelType.map { displayText(of: $0) }
        return names.isEmpty ? type : names + (type.map { " (\($0))" } ?? "")
    }

    private var parameters: String? {
        guard let count = preview.parameters else { return preview.main.isEmpty ? nil : "unknown" }
        let types = count.byType.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        var text = formatCount(count.total)
        text +=
            types.count == 1
            ? " \(displayText(of: types[0].key))"
            : ": " + types.map { "\(formatCount($0.value)) \(displayText(of: $0.key))" }.joined(separator: ", ")
        return count.isEstimated ? text + " (an estimate from the files' sizes)" : text
    }

    private var adapter: String? {
        guard preview.facts.adapterType != nil || preview.facts.baseModel != nil else { return nil }
        let base = preview.facts.baseModel.map { " for \(displayText(of: $0)), whose weights come on top" } ?? ""
        return displayText(of: preview.facts.adapterType ?? "adapter") + base
    }

    private var ownCode: String? {
        let files = preview.pythonFiles == 0 ? "" : counted(preview.pythonFiles, "Python file")
        if preview.needsOwnCode {
            return Terminal.styled("needed (trust_remote_code)\(files.isEmpty ? "" : ", " + files)", .yellow)
        }
        return files.isEmpty ? nil : files + ", which its configuration does not name"
    }

    /// The weights that are in the repo besides, or in place of each other.
    private var alternatives: [String] {
        guard preview.sets.count > preview.main.count else { return [] }
        var table = Table()
        for set in preview.sets.prefix(Self.mostSets) {
            let isMain = preview.main.contains { $0.name == set.name }
            table.add([
                (isMain ? "counted" : "", .dim), (formatBytes(set.bytes), nil), (counted(set.files.count, "file"), nil),
                (set.name.display, nil),
            ])
        }
        let rest = preview.sets.count - Self.mostSets
        return ["", "The same weights more than once, or others besides; --include chooses:"]
            + table.lines(rightAligned: [1, 2]).map { "  " + $0 } + (rest > 0 ? ["  … and \(rest) more"] : [])
    }

    private var memory: [String] {
        guard !preview.memory.isEmpty else { return [] }
        var table = Table()
        let hasGraphics = room.graphicsBytes != nil
        table.add(
            [
                ("LOADED", .dim), ("WEIGHTS", .dim), ("WITH \(MemoryEstimate.overheadPercent) %", .dim),
                ("MEMORY", .dim),
            ] + (hasGraphics ? [("GPU", .dim)] : []))
        for estimate in preview.memory {
            var cells: [(String, Terminal.Style?)] = [
                (estimate.precision == .stored ? "as it is" : estimate.precision.rawValue, nil),
                (formatBytes(estimate.weightBytes), nil), (formatBytes(estimate.bytes), nil),
            ]
            let ram = room.fitsInMemory(estimate.bytes)
            cells.append(
                ram.map { $0.now ? ("fits", .green) : $0.ever ? ("not now", .yellow) : ("too large", .red) }
                    ?? ("unknown", nil))
            if let graphics = room.fitsInGraphics(estimate.bytes) {
                cells.append(
                    graphics.one ? ("fits", .green) : graphics.all ? ("in all together", .yellow) : ("too large", .red))
            }
            table.add(cells)
        }
        return [""] + table.lines(rightAligned: [1, 2])
            + [
                Terminal.styled(
                    "\(MemoryEstimate.overheadPercent) % are for activations, buffers and the runtime; "
                        + "contexts come on top.", .dim)
            ]
    }

    private var disk: String {
        let share = room.share
        let here = share.hereBytes > 0 ? ", \(formatBytes(share.hereBytes)) are here" : ""
        guard share.missingBytes > 0 else { return Terminal.styled("all of it is here", .green) }
        let verdict = room.fitsOnDisk ? Terminal.styled("fits", .green) : Terminal.styled("does not fit", .red)
        return verdict + ": \(formatBytes(share.missingBytes)) to fetch" + here
    }

    private var machineMemory: String? {
        guard let memory = room.memory else { return "unknown" }
        let limit = memory.limitBytes.map { ", limited to \(formatBytes($0))" } ?? ""
        return "\(formatBytes(memory.totalBytes))\(limit), \(formatBytes(memory.availableBytes)) available"
    }

    private var graphics: [String] {
        if room.graphics.isEmpty { return ["unknown: none that tells of its memory"] }
        var texts = room.graphics.map { processor in
            let total = processor.totalBytes.map(formatBytes) ?? "unknown memory"
            return "\(processor.name): \(total)" + (processor.freeBytes.map { ", \(formatBytes($0)) free" } ?? "")
        }
        if texts.count > 1, let total = room.graphicsBytes { texts.append("together \(formatBytes(total))") }
        return texts
    }
}

/// A number of things for a person, in short: `8.03 billion`.
func formatCount(_ count: UInt64) -> String {
    let units: [(UInt64, String)] = [
        (1_000_000_000_000, "trillion"), (1_000_000_000, "billion"), (1_000_000, "million"),
    ]
    guard let (unit, name) = units.first(where: { count >= $0.0 }) else { return "\(count)" }
    let hundredths = count / unit * 100 + count % unit / (unit / 100)
    let rest = hundredths % 100
    return "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest) \(name)"
}
