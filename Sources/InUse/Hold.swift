public import CacheScan
public import HubCache
public import LinuxIO

/// A hold: somebody's word that a repo, or one revision of it, must stay whatever a rule says.
///
/// It is a file `.locks/<repo>/<8 hex>.hold` with the JSON `{commit|null, until|null, by, reason}`. Without `until` it holds
/// only while a process has it locked with flock(2).
public struct Hold: Sendable, Hashable {
    /// Its file, relative to the cache root; the folder of the repo's holds where those cannot all be looked at.
    public var path: BytePath
    /// The revision that is held; nil: all of the repo.
    public var commit: CommitHash?
    /// Until when; nil: while it is locked.
    public var until: Timestamp?
    /// Who said so.
    public var by: String
    /// Why.
    public var reason: String
    /// Whether a process has it locked; `unknown` where that cannot be told.
    public var lock: ProbeAnswer
    /// Whose file it is.
    public var uid: UInt32
    /// Whether it can be read and has the form. One that is not holds only while it is locked, or may be.
    public var isReadable: Bool
    /// Whether it stands for holds that could not be looked at, and is no file itself.
    public internal(set) var isUnseen = false
    /// Whether it has the name of a hold: eight hexadecimal digits.
    var isNamedLikeOne = true
    /// What the file was when it was read.
    var key: FileKey
    /// When it was written.
    var modified: Timestamp

    /// No hold is for longer than this, in nanoseconds: 30 days.
    public static let longest: Int64 = 30 * 86_400_000_000_000
    /// A hold is for so long when nothing else is said, in nanoseconds: 24 hours.
    public static let usual: Int64 = 86_400_000_000_000

    /// Whether it holds at a time.
    ///
    /// One that may be locked holds. A time more than 30 days after the file was written is cut to that: nobody can hold for
    /// ever by a file alone.
    public func isValid(at now: Timestamp) -> Bool {
        if lock != .free { return true }
        let (latest, overflow) = modified.nanoseconds.addingReportingOverflow(Self.longest + Self.slack)
        // What cannot be understood may be somebody's wish all the same, for as long as any could be.
        guard isReadable else { return isNamedLikeOne && (overflow || now.nanoseconds < latest) }
        guard let until else { return false }
        return now < until && (overflow || now.nanoseconds < latest)
    }

    /// Clocks of machines that share a cache differ a little.
    private static let slack: Int64 = 3600 * 1_000_000_000

    /// Whether it is about a revision; nil asks about what belongs to the repo and to no revision.
    public func covers(_ commit: CommitHash?) -> Bool { self.commit == nil || commit == nil || self.commit == commit }

    /// What it says, in words for a person.
    public var words: String {
        if !isReadable, !isUnseen {
            return "'\(path.display)' cannot be understood; 'hfjanitor release' removes it"
        }
        var text = by.isEmpty ? "held" : "held by \(displayText(of: by))"
        if let until, lock == .free { text += " until \(CalendarTime.text(of: until))" }
        if lock == .taken { text += ", a process has it" }
        if case .unknown(let reason) = lock { text += ", cannot tell whether a process still has it: \(reason)" }
        return reason.isEmpty ? text : text + ": \(displayText(of: reason))"
    }
}

/// Finds the holds of a cache. It creates and changes nothing.
public struct HoldReader: Sendable {
    let root: CacheRoot
    /// The time to judge by.
    public let now: Timestamp

    static let suffix = ".hold"
    /// A hold file has a few hundred bytes; in one of more, nothing is believed.
    static let sizeLimit = 16 * 1024
    /// More hold files of one repo than this are not read.
    static let countLimit = 1000

    /// Makes a reader.
    public init(root: CacheRoot, now: Timestamp) {
        self.root = root
        self.now = now
    }

    /// The holds of a repo that hold now.
    ///
    /// - Parameter folder: the repo's folder name.
    public func holds(of folder: BytePath) -> [Hold] { all(of: folder).filter { $0.isValid(at: now) } }

    /// All hold files of a repo, also those that hold no more.
    ///
    /// Where they cannot all be looked at, one more stands for what was not seen: it holds all of the repo, and says why.
    public func all(of folder: BytePath) -> [Hold] {
        let place = BytePath(".locks").appending(folder)
        let listing: DirectoryListing
        do throws(SystemCallFailure) {
            listing = try root.open(place, options: [.directory, .keepAccessTime]).listDirectory()
        } catch {
            return error.errno == SystemCallFailure.absentNumber ? [] : [unseen(in: place, error.reason)]
        }
        let files = listing.entries.filter { $0.stat.kind == .regular && $0.name.hasSuffix(Self.suffix) }
        var holds = files.sorted { $0.name < $1.name }.prefix(Self.countLimit).compactMap { entry in
            read(place.appending(entry.name), stat: entry.stat)
        }
        if let failure = listing.failures.first(where: { $0.subject.hasSuffix(Self.suffix) }) {
            holds.append(unseen(in: place, failure.reason))
        } else if files.count > Self.countLimit {
            holds.append(unseen(in: place, "there are more than \(Self.countLimit) hold files"))
        }
        return holds
    }

    /// Stands for the holds in a folder that could not be looked at: what is not known to be none may be one.
    private func unseen(in place: BytePath, _ reason: String) -> Hold {
        Hold(
            path: place, commit: nil, until: nil, by: "", reason: "its holds cannot all be looked at",
            lock: .unknown(reason: reason), uid: root.stat.uid, isReadable: false, isUnseen: true, key: root.stat.key,
            modified: now)
    }

    /// The repos, by folder name, of which at least one hold holds now.
    ///
    /// - Parameter files: the hold files of the cache, as `CacheScan.scanLocks` lists them.
    public func heldRepos(among files: [BytePath]) -> Set<BytePath> {
        var held: Set<BytePath> = []
        for file in files {
            let folder = file.parent.lastComponent
            if !held.contains(folder), isValid(file) { held.insert(folder) }
        }
        return held
    }

    private func isValid(_ file: BytePath) -> Bool {
        do throws(SystemCallFailure) {
            let stat = try root.open(file.parent, options: [.directory, .keepAccessTime]).stat(of: file.lastComponent)
            return read(file, stat: stat)?.isValid(at: now) ?? false
        } catch {
            return error.errno != SystemCallFailure.absentNumber
        }
    }

    /// Reads one file; nil when it is gone.
    func read(_ path: BytePath, stat listed: FileStat) -> Hold? {
        guard listed.kind == .regular else { return nil }
        var hold = Hold(
            path: path, commit: nil, until: nil, by: "", reason: "", lock: .free, uid: listed.uid, isReadable: false,
            key: listed.key, modified: listed.modified)
        let stem = BytePath(bytes: path.lastComponent.bytes.dropLast(Self.suffix.utf8.count))
        hold.isNamedLikeOne = BytePath(bytes: Array("x.".utf8) + stem.bytes).droppingHexSuffix == "x"
        do throws(SystemCallFailure) {
            let file = try root.open(path)
            let stat = try file.stat()
            hold.key = stat.key
            hold.modified = stat.modified
            hold.uid = stat.uid
            guard stat.kind == .regular else { return nil }
            hold.lock = file.probeHeldByAnybody()
            if let content = try file.readAll(limit: Self.sizeLimit), hold.isNamedLikeOne { hold.take(content) }
        } catch {
            if error.isAbsent { return nil }
            if hold.lock == .free { hold.lock = .unknown(reason: error.reason) }
        }
        // Some network filesystems grant every caller the lock: what they call free means nothing.
        if hold.lock == .free, hold.until == nil, root.filesystem.kind.isNetwork {
            hold.lock = .unknown(reason: "\(root.filesystem.kind.name) may not show the locks of other machines")
        }
        return hold
    }
}

extension Hold {
    /// Takes what a file says, if all of it has the form.
    fileprivate mutating func take(_ content: [UInt8]) {
        guard let object = FlatJSON.parse(content), case .text(let by)? = object["by"] else { return }
        var commit: CommitHash?
        switch object["commit"] {
        case .text(let hex):
            guard let found = CommitHash(hex) else { return }
            commit = found
        case .null: break
        default: return
        }
        var until: Timestamp?
        switch object["until"] {
        case .text(let text):
            guard let time = CalendarTime.parse(text) else { return }
            until = time
        case .null: break
        default: return
        }
        var reason = ""
        switch object["reason"] {
        case .text(let text): reason = text
        case .null, nil: break
        default: return
        }
        self.commit = commit
        self.until = until
        self.by = by
        self.reason = reason
        isReadable = true
    }

    /// The content of a hold file.
    static func content(commit: CommitHash?, until: Timestamp?, by: String, reason: String) -> [UInt8] {
        let commit = commit.map { FlatJSON.quoted($0.hex) } ?? "null"
        let until = until.map { FlatJSON.quoted(CalendarTime.text(of: $0)) } ?? "null"
        let words = "\"by\":\(FlatJSON.quoted(by)),\"reason\":\(FlatJSON.quoted(reason))"
        return Array("{\"commit\":\(commit),\"until\":\(until),\(words)}\n".utf8)
    }
}
