import ArgumentParser
import ControlAPI
import ControlClient
internal import Glibc
import HubCache
import LinuxIO

struct Open: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the daemon's page in a browser.",
        discussion: """
            Opens a port on the loopback interface that leads to the daemon's control socket, with a path that nobody can \
            guess: whoever knows the URL may do what you may. It ends with Ctrl-C, or when nobody used it for a while. Over SSH \
            it prints the line that brings the port to your own machine.

            Exit status: 0; 69 no daemon listens; 73 cannot listen.
            """)

    @OptionGroup var socket: SocketOption

    @Option(help: ArgumentHelp("The port. Default: any that is free.", valueName: "number"))
    var port = 0

    @Flag(help: "Let the URL say localhost in place of 127.0.0.1; browsers that come by the other name are refused.")
    var localhost = false

    @Flag(help: "Only print the URL.")
    var noBrowser = false

    @Option(help: ArgumentHelp("End when nobody used it for so long.", valueName: "duration"))
    var idle = "30m"

    func validate() throws {
        guard (0...65535).contains(port) else { throw ValidationError("--port is a number up to 65535") }
    }

    func run() throws {
        try reportingFailures {
            let limit: Duration
            do throws(UnitError) { limit = try TimeSpan.parse(idle) } catch {
                throw CommandFailure(status: .usage, message: "--idle: \(error.words)")
            }
            guard let client = SocketOption.client(named: socket.socket),
                try socket.ask("GET", "/healthz", milliseconds: 5000) != nil
            else {
                throw CommandFailure(
                    status: .unavailable,
                    message: "no daemon listens; start 'hfjanitor daemon', or see 'hfjanitor report'")
            }
            Interruption.install()
            let forwarder: LoopbackForwarder
            do {
                forwarder = try LoopbackForwarder(
                    to: client.path, port: port, name: localhost ? "localhost" : "127.0.0.1")
            } catch {
                throw CommandFailure(status: .cannotWrite, message: "cannot listen on 127.0.0.1: \(error)")
            }
            forwarder.start()
            Terminal.print(forwarder.url)
            let environment = Terminal.environment
            if let line = Self.sshLine(environment, port: forwarder.port) {
                Terminal.print("On your own machine, before you open it: \(line)")
            }
            let start = noBrowser ? nil : BrowserStart(forwarder.url, environment)
            defer { start?.end() }
            Terminal.complain("Ctrl-C ends it")
            let nanoseconds = limit.components.seconds * 1_000_000_000
            while !Interruption.cancellation.isCancelled, forwarder.idleTime < nanoseconds {
                sleepMilliseconds(200)
            }
            return .good
        }
    }

    /// How to get here by the way this shell came; nil: it came by none.
    private static func sshLine(_ environment: [String: String], port: Int) -> String? {
        guard let words = environment["SSH_CONNECTION"]?.split(separator: " "), words.count == 4,
            let server = words.dropFirst(2).first, let number = Int(words[3]),
            server.allSatisfy({ $0.isHexDigit || $0 == "." || $0 == ":" || $0 == "%" })
        else { return nil }
        let user = UserRecord.find(effectiveUser()).map { displayText(of: $0.name) + "@" } ?? ""
        return "ssh -N -L \(port):127.0.0.1:\(port)" + (number == 22 ? "" : " -p \(number)") + " \(user)\(server)"
    }
}

/// A browser that is shown where to go.
///
/// By a file that only this user can read: everybody may see the arguments of a program, and so would learn the URL.
private struct BrowserStart {
    private static let openers: [String] = ["/usr/bin/xdg-open", "/usr/local/bin/xdg-open"]

    private let path: BytePath

    /// - Returns: nil where there is no display, or nothing to open it with; root's browser is nobody's wish.
    init?(_ url: String, _ environment: [String: String]) {
        let hasDisplay = ["DISPLAY", "WAYLAND_DISPLAY"].contains { !(environment[$0] ?? "").isEmpty }
        guard hasDisplay, effectiveUser() != 0, let folder = environment["XDG_RUNTIME_DIR"], folder.hasPrefix("/"),
            let opener = Self.openers.first(where: { opener in unsafe access(opener, X_OK) == 0 })
        else { return nil }
        path = BytePath("\(folder)/hfjanitor-open-\(getpid()).html")
        let page =
            "<!DOCTYPE html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\">"
            + "<meta http-equiv=\"refresh\" content=\"0; url=\(url)\"><title>hfjanitor</title><a href=\"\(url)\">hfjanitor</a>\n"
        do {
            try NewFile(path: path, mode: 0o600).write(Array(page.utf8), replacing: true)
            _ = try ChildProgram(
                arguments: [opener, path.text], environment: environment.map { "\($0.key)=\($0.value)" }, input: [])
        } catch {
            end()
            return nil
        }
    }

    func end() { unsafe unlink(path.text) }
}
