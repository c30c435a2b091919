import ArgumentParser
import ControlClient
import Documents
import Enforcement
import FoundationEssentials
import HubCache
import LinuxIO
import Page
import Retention

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Write what is known as one HTML file, to be looked at anywhere and without a network.",
        discussion: """
            From the daemon, where one runs; else, or where --cache or --policy is given, from the disk: states and findings as \
            'ls' judges them (structure, and what earlier checks remember) and the plan of the policy. The file is written at \
            once or not at all, and only in place of a file: not through a link.

            Exit status: 0; 64 usage; 66 no such cache; 73 cannot write; 78 the policy is wrong.
            """)

    @Option(help: ArgumentHelp("The file to write; - for standard output.", valueName: "file"))
    var html: String

    @OptionGroup var caches: CacheChoice
    @OptionGroup var socket: SocketOption

    /// What the page shows, by its name there, and where the daemon tells it.
    private static let sources = [
        ("status", "/api/status"), ("ls", "/api/ls"), ("findings", "/api/findings"), ("plan", "/api/plan"),
        ("space", "/api/models/space"), ("history", "/api/history"),
    ]

    func run() throws {
        try reportingFailures {
            let file = try html == "-" ? nil : NewFile(path: BytePath(html), mode: 0o600)
            try file?.requirePlainFile()
            let page = Page.report(data: try data())
            guard let file else {
                Terminal.write(String(decoding: page, as: UTF8.self), to: 1)
                return .good
            }
            try file.write(page, replacing: true)
            Terminal.print("wrote '\(file.path.display)'")
            return .good
        }
    }

    private func data() throws -> [UInt8] {
        let isDaemon = caches.cache.isEmpty && caches.policyOptions.policy == nil
        let (source, documents) = try isDaemon ? fromDaemon() ?? fromDisk() : fromDisk()
        var json = Array(#"{"time":"\#(formatTime(currentTime()))","source":"\#(source)","documents":{"#.utf8)
        for (index, document) in documents.enumerated() {
            json += Array((index == 0 ? "" : ",").utf8) + Array("\"\(document.name)\":".utf8) + document.json
        }
        return json + Array("}}".utf8)
    }

    private typealias Documents = (source: String, [(name: String, json: [UInt8])])

    private func fromDaemon() throws -> Documents? {
        var documents: [(name: String, json: [UInt8])] = []
        for (name, target) in Self.sources {
            guard let answer = try socket.ask("GET", target, milliseconds: 120_000) else { return nil }
            // What this daemon does not know is not shown.
            if answer.status == 200 {
                documents.append((name, answer.body))
            } else if answer.status != 404 {
                throw CommandFailure(status: .unavailable, message: ControlProblem(answer).detail)
            }
        }
        return ("as the daemon saw it", documents)
    }

    private func fromDisk() throws -> Documents {
        let session = try RetentionSession(caches)
        session.sayWhatIsAbsent()
        let plan = session.enforcer.plan()
        func json(_ document: some Encodable) throws -> [UInt8] { Array(try JSONEncoder().encode(document)) }
        return (
            "from the disk at the depth structure",
            [
                ("ls", try json(ListDocument(gathered: session.gathered, pins: session.policy.pins))),
                ("findings", try json(FindingsDocument(session.gathered.map(\.report)))),
                (
                    "plan",
                    try json(
                        PlanDocument(
                            mode: session.policy.mode, time: session.now, caches: session.gathered, plan: plan))
                ),
            ]
        )
    }
}
