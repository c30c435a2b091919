import ArgumentParser
import ControlClient
import HubCache
import LinuxIO

struct Reload: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Have the daemon read its policy again, and wait for the verdict.",
        discussion: "Exit status: 0 the policy counts; 69 no daemon runs; 78 the policy is wrong.")

    /// As long as a daemon may take.
    private static let patience: UInt64 = 30_000_000_000

    @OptionGroup var socket: SocketOption

    func run() throws {
        try reportingFailures {
            if let answer = try socket.ask("POST", "/api/reload", milliseconds: Int(Self.patience / 1_000_000)) {
                if answer.status == 200 { return .good }
                let problem = ControlProblem(answer)
                guard problem.code == "policy_invalid" else {
                    throw CommandFailure(status: .unavailable, message: problem.detail)
                }
                throw Self.refusal(problem.detail)
            }
            // A daemon without a socket tells the verdict in its file.
            guard let daemon = RunningDaemon.find(), sendReload(to: daemon.pid) else {
                throw CommandFailure(
                    status: .unavailable, message: "no daemon of this user runs: start it with 'hfjanitor daemon'")
            }
            let end = monotonicNanoseconds() + Self.patience
            while monotonicNanoseconds() < end {
                sleepMilliseconds(50)
                guard let now = RunningDaemon.find(), now.pid == daemon.pid else {
                    throw CommandFailure(status: .unavailable, message: "the daemon ended meanwhile")
                }
                guard now.policy.readings > daemon.policy.readings else { continue }
                if now.policy.ok { return .good }
                throw Self.refusal(now.policy.error ?? "")
            }
            throw CommandFailure(status: .unavailable, message: "the daemon does not answer")
        }
    }

    private static func refusal(_ problem: String) -> CommandFailure {
        CommandFailure(
            status: .policy, message: "the policy is wrong, the daemon goes on with the last good one:\n\(problem)")
    }
}
