import ArgumentParser
import CacheScan
import Documents
import HubCache
import LinuxIO
import PolicyFile
import Retention
import Verification

struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "Show repos and revisions: size on disk, state, last use, what is reclaimable.",
        discussion: """
            Sizes are bytes on the disk, each file once. States are judged by structure and by what earlier checks remember.

            \(ExitStatus.table)
            """)

    /// What a listing is ordered by.
    struct Order: ExpressibleByArgument, CustomStringConvertible {
        enum Key: String, CaseIterable { case used, size, arrived, name }
        var key: Key
        var isAscending: Bool

        var description: String { isAscending == (key == .name) ? key.rawValue : key.rawValue + ":asc" }

        init(key: Key, isAscending: Bool) {
            self.key = key
            self.isAscending = isAscending
        }

        init?(argument: String) {
            let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count <= 2, let first = parts.first, let key = Key(rawValue: String(first)) else { return nil }
            let direction = parts.count == 2 ? String(parts[1]) : (key == .name ? "asc" : "desc")
            guard ["asc", "desc"].contains(direction) else { return nil }
            self.init(key: key, isAscending: direction == "asc")
        }
    }

    @Argument(help: "Repos, revisions, folders or weight files. Default: everything.", completion: .targets)
    var targets: [String] = []

    @Option(help: ArgumentHelp("Order by used, size, arrived or name; :asc turns it round.", valueName: "key[:asc]"))
    var sort = Order(key: .name, isAscending: true)

    @Flag(help: "One line a revision.")
    var revisions = false

    @Flag(help: "Leftovers too: what belongs to no revision.")
    var all = false

    @OptionGroup var caches: CacheOptions
    @OptionGroup var socket: SocketOption

    func run() throws {
        try reportingFailures {
            let opened = try OpenedCaches(caches.choice, needing: .rules)
            if let path = opened.absentDefault, targets.isEmpty {
                Terminal.complain("there is no cache yet at '\(path.display)'")
            }
            var work = try VerificationRun(
                opened, options: VerificationOptions(depth: .structure), socket: socket.socket, judgesUse: true)
            var reports = try work.reports(of: targets)
            for index in reports.indices { reports[index].repos = sorted(reports[index].repos) }
            let protection = ListedProtection(pins: opened.loaded.policy.pins, held: work.heldRepos(of: reports))
            if caches.json {
                try printJSON(ListDocument(reports: reports, withLeftovers: all, protection: protection))
            } else {
                for report in reports { show(report, protection) }
            }
            return .good
        }
    }

    private func sorted(_ repos: [RepoReport]) -> [RepoReport] {
        let ascending = repos.sorted { left, right in
            switch sort.key {
            case .name: return (left.repo?.name ?? left.id) < (right.repo?.name ?? right.id)
            case .size: return left.bytes < right.bytes
            case .used: return (left.lastUse?.time.nanoseconds ?? .min) < (right.lastUse?.time.nanoseconds ?? .min)
            case .arrived: return arrived(left) < arrived(right)
            }
        }
        return sort.isAscending ? ascending : ascending.reversed()
    }

    private func arrived(_ repo: RepoReport) -> Int64 {
        repo.revisions.compactMap(\.arrived?.nanoseconds).max() ?? .min
    }

    private func show(_ cache: CacheReport, _ protection: ListedProtection) {
        let now = currentTime()
        Terminal.print(Terminal.styled(cache.path.display, .bold))
        var table = Table()
        let header = ["SIZE", "STATE", "LAST USED", "REPO"] + (revisions ? ["REVISION", "ARRIVED", "REFS"] : ["REFS"])
        table.add(header.map { ($0, .dim) })
        for repo in cache.repos {
            let name = displayText(of: repo.id)
            let marks = [
                protection.isPinned(repo) ? "pinned" : nil, protection.isHeld(repo, in: cache) ? "held" : nil,
            ].compactMap(\.self)
            let mark = marks.isEmpty ? "" : " (\(marks.joined(separator: ", ")))"
            if revisions {
                for revision in repo.revisions {
                    table.add([
                        (formatBytes(revision.bytes), nil), stateCell(revision.state),
                        (used(revision.lastUse, now), nil),
                        (name + mark, nil), (revision.commit?.hex ?? "", nil),
                        (revision.arrived.map { formatAge($0, now: now) } ?? "", nil), (refs(revision.refs), nil),
                    ])
                }
                if repo.revisions.isEmpty {
                    table.add([
                        (formatBytes(repo.bytes), nil), stateCell(repo.state), ("", nil), (name + mark, nil),
                        ("none", .dim),
                    ])
                }
            } else {
                var names = repo.revisions.flatMap(\.refs)
                let detached = repo.revisions.count { $0.refs.isEmpty }
                if detached > 0, repo.repo != nil { names.append(BytePath("\(detached) detached")) }
                table.add([
                    (formatBytes(repo.bytes), nil), stateCell(repo.state), (used(repo.lastUse, now), nil),
                    (name + mark, nil),
                    (refs(names), nil),
                ])
            }
        }
        if !cache.repos.isEmpty { table.lines(rightAligned: [0]).forEach(Terminal.print) }
        if all && !cache.allLeftovers.isEmpty {
            var leftovers = Table()
            leftovers.add([("SIZE", .dim), ("KIND", .dim), ("LEFTOVER", .dim)])
            for leftover in cache.allLeftovers {
                leftovers.add([
                    (formatBytes(leftover.bytes), nil), (leftover.kind, nil), (leftover.path.display, nil),
                ])
            }
            Terminal.print("")
            leftovers.lines(rightAligned: [0]).forEach(Terminal.print)
        }
        Terminal.print(
            "\(counted(cache.repos.count, "repo")), \(formatBytes(cache.bytes)) on disk, "
                + "\(formatBytes(cache.reclaimableBytes)) reclaimable, \(formatBytes(cache.freeBytes)) free")
    }

    private func stateCell(_ state: RevisionState?) -> (String, Terminal.Style?) {
        guard let state else { return ("-", nil) }
        return switch state {
        case .complete: (state.rawValue, .green)
        case .corrupt, .partial: (state.rawValue, .red)
        case .downloading, .unknown: (state.rawValue, .yellow)
        }
    }

    private func used(_ use: LastUse?, _ now: Timestamp) -> String {
        guard let use else { return "" }
        return "\(formatAge(use.time, now: now)) (\(use.source.rawValue))"
    }

    private func refs(_ refs: [BytePath]) -> String { refs.map(\.display).joined(separator: ", ") }
}
