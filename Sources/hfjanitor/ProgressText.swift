internal import Glibc

/// One line of progress, never longer than the terminal is wide: what is longer wraps, and a wrapped line cannot be taken back.
enum ProgressText {
    /// A name and what is said of it, on the terminal that standard error is.
    static func show(_ name: String, _ rest: String) {
        Terminal.write("\r\u{1B}[K" + fitted(name, rest, columns: columns(of: STDERR_FILENO) ?? 80), to: STDERR_FILENO)
    }

    /// The columns of the terminal that a descriptor is; nil where it is none, or does not tell.
    static func columns(of descriptor: Int32) -> Int? {
        var size = winsize()
        let result = unsafe ioctl(descriptor, UInt(TIOCGWINSZ), &size)
        return result == 0 && size.ws_col > 0 ? Int(size.ws_col) : nil
    }

    /// Cuts the middle of the name out, and the end of the whole where that is not enough. The last column stays free: some
    /// terminals begin a new line there.
    static func fitted(_ name: String, _ rest: String, columns: Int) -> String {
        let room = max(columns - 1, 1)
        let roomForName = room - width(rest)
        if width(name) <= roomForName { return name + rest }
        guard roomForName >= 9 else { return start(of: name + rest, width: room) }
        let half = (roomForName - 1) / 2
        let end = String(start(of: String(name.reversed()), width: half).reversed())
        return start(of: name, width: roomForName - 1 - half) + "…" + end + rest
    }

    private static func start(of text: String, width limit: Int) -> String {
        var taken = ""
        var sum = 0
        for character in text {
            sum += width(character)
            if sum > limit { break }
            taken.append(character)
        }
        return taken
    }

    /// The columns that a text takes.
    static func width(_ text: String) -> Int { text.reduce(0) { $0 + width($1) } }

    /// Two for the characters of East Asian scripts and for pictures; too much rather than too little.
    private static func width(_ character: Character) -> Int {
        character.unicodeScalars.contains { scalar in
            switch scalar.value {
            case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0xa4cf, 0xa960...0xa97c, 0xac00...0xd7a3, 0xf900...0xfaff,
                0xfe0f...0xfe6f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f000...0x1faff, 0x20000...0x3fffd:
                true
            default: scalar.properties.isEmojiPresentation
            }
        } ? 2 : 1
    }
}
