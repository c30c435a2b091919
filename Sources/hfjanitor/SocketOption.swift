import ArgumentParser
import ControlClient
import FoundationEssentials
import HubCache
import SystemdSupport

/// Where the daemon is asked.
struct SocketOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The daemon's control socket. Default: $HFJANITOR_SOCKET, else the user's, else the system's.",
            valueName: "path"),
        completion: .file())
    var socket: String?

    /// The daemon's control socket; nil where there is none that this user may believe.
    static func client(named socket: String?) -> ControlClient? {
        let environment = Terminal.environment
        return ControlClient(
            BytePath.controlSockets(
                named: socket, environment: environment, unitOf: environment["USER"] ?? environment["LOGNAME"]))
    }

    /// What answers there is no daemon of this version.
    static let otherService = CommandFailure(
        status: .unavailable,
        message:
            "what answers at the control socket is not understood: a daemon of another version, or another program; "
            + "restart the daemon, or name its --socket")

    /// Reads a document of the daemon's.
    ///
    /// - Throws: `CommandFailure` when it is none.
    static func decode<Document: Decodable>(_ type: Document.Type, from answer: ControlClient.Answer) throws -> Document
    {
        guard let document = try? JSONDecoder().decode(type, from: Data(answer.body)) else { throw otherService }
        return document
    }

    /// Asks the daemon.
    ///
    /// - Returns: nil where nobody listens.
    /// - Throws: `CommandFailure` when the connection broke, or a socket that was named has nobody.
    func ask(_ method: String, _ target: String, body: [UInt8]? = nil, milliseconds: Int) throws -> ControlClient
        .Answer?
    {
        do throws(ControlClient.Failure) {
            if let client = Self.client(named: socket) {
                return try client.ask(method, target, body: body, milliseconds: milliseconds)
            }
        } catch .broken(let reason) {
            throw CommandFailure(
                status: .unavailable, message: "the daemon does not answer: \(reason); see 'systemctl status hfjanitor'"
            )
        } catch .absent {}
        guard let socket else { return nil }
        throw CommandFailure(status: .unavailable, message: "no daemon listens at '\(displayText(of: socket))'")
    }
}

/// What a daemon answers when it does not do what it was asked.
struct ControlProblem: Decodable {
    var code: String
    var detail: String

    init(_ answer: ControlClient.Answer) {
        let known = try? JSONDecoder().decode(ControlProblem.self, from: Data(answer.body))
        self = known ?? ControlProblem(code: "unavailable", detail: "the daemon answered with status \(answer.status)")
    }

    private init(code: String, detail: String) {
        self.code = code
        self.detail = detail
    }
}
