import ArgumentParser
import ControlClient
import HubCache
import LinuxIO

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
            let path = BytePath(textfile)
            do throws(SystemCallFailure) {
                try Self.replace(path, with: answer.body)
            } catch {
                throw CommandFailure(status: .cannotWrite, message: "cannot write '\(path.display)': \(error.reason)")
            }
            return .good
        }
    }

    /// Whoever reads it sees what was there or what is there, and never a part.
    private static func replace(_ path: BytePath, with bytes: [UInt8]) throws(SystemCallFailure) {
        let here: BytePath = path.hasPrefix("/") ? "/" : "."
        let folder = try OwnedDescriptor.open(
            trustedPath: path.parent.isEmpty ? here : path.parent, options: .directory)
        // Of another name than the collector looks for.
        let temporary = BytePath(".hfjanitor-metrics.\(ownProcess())")
        try? folder.unlink(temporary)
        let file = try folder.createFile(temporary, permissions: 0o600)
        do throws(SystemCallFailure) {
            try file.write(bytes)
            try file.setPermissions(0o644)
            try folder.rename(temporary, to: folder, path.lastComponent, .replace)
        } catch {
            try? folder.unlink(temporary)
            throw error
        }
    }
}
