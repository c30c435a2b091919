import ArgumentParser
import ControlClient
import HubCache

struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "The daemon's numbers, for Prometheus.",
        discussion: """
            With --textfile it replaces a file of node_exporter's textfile collector, as a whole: run it every minute. What it \
            prints is what the daemon serves at /metrics.

            Exit status: 0; 64 usage; 69 no daemon answers, and the file stays as it was; 73 cannot write.
            """)

    @Option(
        help: ArgumentHelp(
            "Write to this file, which everybody may read; its name ends in .prom.", valueName: "file"))
    var textfile: String?

    @OptionGroup var socket: SocketOption

    func validate() throws {
        guard let textfile else { return }
        let name = BytePath(textfile).lastComponent
        guard name.text.hasSuffix(".prom"), name.text != ".prom" else {
            throw ValidationError(
                "'\(displayText(of: textfile))' does not end in '.prom': node_exporter would not read it.")
        }
    }

    func run() throws {
        try reportingFailures {
            guard let answer = try socket.ask("GET", "/metrics", milliseconds: 10_000) else {
                throw CommandFailure(
                    status: .unavailable,
                    message: "no daemon listens: start one with 'hfjanitor daemon', or name its --socket")
            }
            guard answer.status == 200 else {
                throw CommandFailure(status: .unavailable, message: ControlProblem(answer).detail)
            }
            guard answer.body.starts(with: "# HELP hfjanitor_".utf8) else { throw SocketOption.otherService }
            guard let textfile else {
                Terminal.print(String(decoding: answer.body.dropLast(), as: UTF8.self))
                return .good
            }
            // Whoever reads it sees what was there or what is there, and never a part.
            try NewFile(path: BytePath(textfile), mode: 0o644).write(answer.body, replacing: true)
            return .good
        }
    }
}
