import ArgumentParser
import ControlClient
import Documents
import FoundationEssentials
import HubCache

struct Scrub: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "The daemon's background digest pass.",
        discussion: "Exit status: 0; 69 no daemon runs.",
        subcommands: [Start.self, Cancel.self, Show.self], defaultSubcommand: Show.self)

    struct Start: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Begin one now; one that is under way goes on.")

        @OptionGroup var options: Options

        func run() throws { try options.ask(#"{"action":"start"}"#) }
    }

    struct Cancel: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "End the one that is under way.")

        @OptionGroup var options: Options

        func run() throws { try options.ask(#"{"action":"cancel"}"#) }
    }

    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status", abstract: "How far it is, and when the next one is due.")

        @OptionGroup var options: Options

        func run() throws { try options.ask(nil) }
    }

    struct Options: ParsableArguments {
        @OptionGroup var socket: SocketOption

        @Flag(help: "Print one JSON document.")
        var json = false

        /// Asks the daemon, and shows what it says.
        ///
        /// - Parameter body: what is to be done; nil: nothing.
        func ask(_ body: String?) throws {
            try reportingFailures {
                let answer = try socket.ask(
                    body == nil ? "GET" : "POST", "/api/scrub", body: body.map { Array($0.utf8) }, milliseconds: 10_000)
                guard let answer else {
                    throw CommandFailure(
                        status: .unavailable,
                        message: "no daemon of this user runs: start it with 'hfjanitor daemon', or use "
                            + "'hfjanitor verify --depth digests'")
                }
                guard answer.status == 200 else {
                    throw CommandFailure(status: .unavailable, message: ControlProblem(answer).detail)
                }
                if json {
                    Terminal.print(String(decoding: answer.body, as: UTF8.self))
                } else {
                    let document = try SocketOption.decode(ScrubsDocument.self, from: answer)
                    document.caches.forEach(show)
                }
                return .good
            }
        }

        private func show(_ scrub: StatusDocument.Scrub) {
            var words: String
            switch scrub.state {
            case "running":
                words = "running since \(scrub.begun ?? ""): \(scrub.reposDone) of \(scrub.reposTotal) repos, "
                words += "\(formatBytes(scrub.bytes)) read"
            case "never": words = "never done"
            default:
                words = scrub.cancelled.map { "cancelled \($0)" } ?? scrub.finished.map { "finished \($0)" } ?? "idle"
                words += ", \(scrub.revisions) revisions, \(formatBytes(scrub.bytes))"
            }
            if let due = scrub.nextDue { words += "; next \(due)" }
            Terminal.print("\(displayText(of: scrub.path)): \(words)")
        }
    }
}
