import ControlClient
import FoundationEssentials
import HubCache
import LinuxIO
import Verification

/// Tells a daemon that runs what this process reads, so that it does not count as use. The announcement ends
/// with the process at the latest.
enum AnnouncedReads {
    /// As long is the daemon waited for.
    private static let patience: UInt64 = 1_000_000_000

    private struct Body: Encodable {
        struct Model: Encodable {
            var name: String
            var type: String

            enum CodingKeys: String, CodingKey {
                case type
                case name = "hf_repo"
            }
        }

        var models: [Model]
        var depth: String
    }

    /// Announces reads, where a daemon can be told: where it cannot, they count as use, which only protects.
    ///
    /// - Parameters:
    ///   - repos: none: everything.
    ///   - depth: how deep it looks.
    ///   - socket: the daemon's control socket, where the command line names it.
    /// - Returns: what ends the announcement before the process does.
    @discardableResult
    static func begin(_ repos: [RepoID], depth: VerificationDepth, socket: String?) -> Cancellation {
        let end = Cancellation()
        guard let client = SocketOption.client(named: socket), let bell = try? WakeUp() else { return end }
        let models = repos.map { Body.Model(name: $0.name, type: $0.type.rawValue) }
        guard let body = try? JSONEncoder().encode(Body(models: models, depth: depth.rawValue)) else { return end }
        let bytes = Array(body)
        let thread = BackgroundThread(name: "announce") {
            // No answer at all is an answer, too.
            _ = try? client.ask(
                "POST", "/api/reads", body: bytes, milliseconds: 0, cancellation: end, onBody: bell.ring)
            bell.ring()
        }
        if thread.isStarted { bell.wait(atMost: patience) }
        return end
    }
}
