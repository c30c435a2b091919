import ArgumentParser
import CacheScan
internal import Glibc
import HubCache
import InUse
import LinuxIO

struct Hold: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Keep a repo or a revision whatever a rule says: for a while, or as long as a program runs.",
        discussion: """
            Without a program, for 24 hours or what --for says, at most 30 days. With one, hfjanitor becomes that program, and \
            the hold ends with the last process that has inherited its descriptor; the exit status is the program's, 127 \
            when there is none of that name, 126 when it cannot be run.

            Exit status: 0 held; 64 usage; 66 not here; 73 cannot write; 77 permission.
            """)

    @Argument(help: "A repo or a revision.", completion: .targets)
    var target: String

    // Whatever follows is the value, so that '-1h' is told what is wrong with it.
    @Option(
        name: .customLong("for"), parsing: .unconditional,
        help: ArgumentHelp("For so long, such as 8h or 7d.", valueName: "duration"))
    var duration: String?

    @Option(help: "Why, for whoever wonders.")
    var reason: String = ""

    @OptionGroup var caches: CacheOptions

    @Argument(parsing: .postTerminator, help: "A program to run, and its arguments.")
    var command: [String] = []

    private struct Document: Encodable {
        var schema = "hfjanitor.hold/1"
        var id: String
        var commit: String?
        var path: String
        var until: String?
        var by: String
        var reason: String
    }

    func validate() throws {
        if let duration {
            guard command.isEmpty else { throw ValidationError("--for is for holds without a program") }
            do throws(UnitError) {
                guard let length = try length(duration), length > 0 else {
                    throw UnitError("'\(displayText(of: duration))' is not between 1s and 30d")
                }
            } catch {
                throw ValidationError("--for: \(error.words)")
            }
        }
        if command.isEmpty, CommandLine.arguments.last == "--" {
            throw ValidationError("no program behind '--': name one, or leave '--' out to hold for 24 hours")
        }
        if reason.utf8.count > 4096 { throw ValidationError("--reason is too long") }
    }

    /// In nanoseconds; nil when it is longer than any hold.
    private func length(_ duration: String) throws(UnitError) -> Int64? {
        let length = try TimeSpan.parse(duration)
        guard length <= .nanoseconds(InUse.Hold.longest) else { return nil }
        return length.components.seconds * 1_000_000_000
    }

    func run() throws {
        try reportingFailures {
            // Who asks, not as whom it is then done.
            let by = "\(UserRecord.find(effectiveUser())?.name ?? "uid \(effectiveUser())")@\(hostName())"
            let (root, id, commit) = try HoldTarget.resolve(target, caches, runsProgram: !command.isEmpty)
            let now = currentTime()
            let writer = HoldWriter(root: root, now: now)
            if command.isEmpty {
                let time = try duration.flatMap(length) ?? InUse.Hold.usual
                let until = Timestamp(nanoseconds: now.nanoseconds + time)
                let path = try HoldTarget.writing(root) { () throws(SystemCallFailure) in
                    try writer.hold(id.folder, commit: commit, until: until, by: by, reason: reason)
                }
                if caches.json {
                    try printJSON(
                        Document(
                            id: id.description, commit: commit?.hex, path: path.text, until: formatTime(until), by: by,
                            reason: reason))
                } else {
                    Terminal.print("\(HoldTarget.name(id, commit)) is held until \(formatTime(until))")
                }
                return .good
            }
            let held = try HoldTarget.writing(root) { () throws(SystemCallFailure) in
                let held = try writer.hold(whileOpen: id.folder, commit: commit, by: by, reason: reason)
                try held.descriptor.keepOverExecution()
                return held
            }
            throw ExitCode(become(held))
        }
    }

    /// Becomes the program; comes back only when that fails, with the exit status that shells give.
    private func become(_ held: borrowing HoldWriter.HeldHold) -> Int32 {
        let words = unsafe command.map { unsafe strdup($0) } + [nil]
        if let program = unsafe words[0] { unsafe execvp(program, words) }
        let number = errno
        Terminal.complain("cannot run '\(displayText(of: command[0]))': \(describeErrno(number))")
        return number == ENOENT ? 127 : 126
    }
}

struct Release: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Give up holds of a repo or a revision.",
        discussion: """
            Of a revision, those of that revision; of a repo, all. A hold that a running program has ends with it and stays.

            Exit status: 0 none is left; 66 not here; 73 cannot write; 75 a program has one; 77 permission.
            """)

    @Argument(help: "A repo or a revision.", completion: .targets)
    var target: String

    @OptionGroup var caches: CacheOptions

    private struct Document: Encodable {
        struct Item: Encodable {
            var path: String
            var commit: String?
            var detail: String
        }

        var schema = "hfjanitor.release/1"
        var id: String
        var released: [Item]
        var left: [Item]
    }

    func run() throws {
        try reportingFailures {
            let (root, id, commit) = try HoldTarget.resolve(target, caches)
            let release = HoldWriter(root: root, now: currentTime()).release(id.folder, commit: commit)
            func item(_ hold: InUse.Hold, _ detail: String) -> Document.Item {
                Document.Item(path: hold.path.text, commit: hold.commit?.hex, detail: detail)
            }
            let left = release.busy.map { item($0, $0.words) } + release.failed.map { item($0.hold, $0.reason) }
            if caches.json {
                let released = release.removed.map { item($0, $0.words) }
                try printJSON(Document(id: id.description, released: released, left: left))
            } else {
                let count = release.removed.count
                let name = HoldTarget.name(id, commit)
                Terminal.print(
                    count == 0
                        ? "\(name): no hold to give up" : "\(name): \(counted(count, "hold")) given up")
            }
            for hold in release.busy { Terminal.complain("\(hold.path.display) stays: \(hold.words)") }
            for (hold, reason) in release.failed {
                Terminal.complain("\(hold.path.display) of uid \(hold.uid) cannot be removed: \(reason)")
            }
            if !release.failed.isEmpty { return .permission }
            return release.busy.isEmpty ? .good : .busy
        }
    }
}

/// What both commands do with their TARGET.
enum HoldTarget {
    static func resolve(
        _ target: String, _ caches: CacheOptions, runsProgram: Bool = false
    ) throws -> (CacheRoot, RepoID, CommitHash?) {
        let user = effectiveUser()
        let opened = try OpenedCaches(caches.choice, needing: .cachesOfTarget)
        var resolver = TargetResolver(opened)
        let selected = try resolver.resolve(target)
        if runsProgram, effectiveUser() != user {
            // The program would have to run as the owner too, which nobody asked for.
            throw CommandFailure(
                status: .permission,
                message: "the cache belongs to uid \(effectiveUser()): run this as that user, "
                    + "such as by 'runuser -u NAME -- hfjanitor hold …'")
        }
        switch selected {
        case .repo(let cache, let id, let commit): return (resolver.roots[cache], id, commit)
        case .cache, .folder:
            throw CommandFailure(
                status: .usage, message: "'\(displayText(of: target))' is not a repo: only repos and revisions are held"
            )
        }
    }

    static func name(_ id: RepoID, _ commit: CommitHash?) -> String {
        displayText(of: id.description) + (commit.map { "@\($0.short)" } ?? "")
    }

    static func writing<Result: ~Copyable>(
        _ root: CacheRoot, _ body: () throws(SystemCallFailure) -> Result
    ) throws -> Result {
        do throws(SystemCallFailure) {
            return try body()
        } catch {
            throw CommandFailure(
                status: error.isPermission ? .permission : .cannotWrite,
                message: "cannot write a hold into '\(root.path.display)': \(error)")
        }
    }
}
