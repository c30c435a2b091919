import ArgumentParser
import CacheScan
import ControlAPI
import Daemon
internal import Glibc
import HubCache
import HubClient
import Ledger
import LinuxIO
import SystemdSupport

struct DaemonCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "daemon",
        abstract: "Watch, verify, enforce and report until stopped; what systemd runs.",
        discussion: """
            Without systemd it runs in the foreground the same way: Ctrl-C ends it, SIGHUP reads the policy again. What it finds \
            and does goes to the journal, to a terminal as text, or as JSON lines to whatever standard error is.

            Exit status: 0 stopped; 64 usage; 73 cannot listen; 74 cannot start; 78 the policy is wrong.
            """)

    @OptionGroup var caches: CacheChoice
    @OptionGroup var socket: SocketOption

    func run() throws {
        try reportingFailures {
            let environment = Terminal.environment
            // First of all: no thread but this one may run while variables are removed.
            let service = ServiceEnvironment.take(environment: environment)
            keepCapabilitiesFromPrograms()
            // A limit of a file's size is an error of one download, and ends nothing.
            signal(SIGXFSZ, SIG_IGN)
            let locator = CacheLocator(environment: environment)
            let state = LedgerLocation.directory(environment: environment)
            var setup = DaemonSetup(
                policy: caches.policyOptions.location(),
                caches: try caches.cache.map { try Self.absolute(BytePath(locator.expand($0))) },
                defaultCache: try Self.absolute(locator.hubCache), stateFolder: state,
                statusFolder: StatusFile.folder(environment: environment, state: state), version: Version.text,
                service: service,
                hub: HubEnvironment(environment: environment, tokenFile: locator.tokenFile),
                wantsColour: Terminal.hasErrorColour)
            setup.token = try Self.token(of: service)
            let loop = DaemonLoop(setup)
            let control = try controlSocket(service, loop)
            let end = loop.run { desk in
                let metrics = MetricsServer(desk)
                metrics.start()
                let server = control.map { ControlServer($0, desk: desk) }
                server?.start { desk.complain("the control socket is not served any more: \($0)") }
                return {
                    metrics.stop()
                    server?.stop()
                }
            }
            switch end {
            case .stopped: return .good
            case .badPolicy: return .policy
            case .failed(let reason): throw CommandFailure(status: .cannotRead, message: reason)
            }
        }
    }

    /// The service manager's socket, else one of our own. Where none was named, the daemon does without one.
    private func controlSocket(_ service: ServiceEnvironment, _ loop: DaemonLoop) throws -> ControlSocket? {
        var activation = SocketActivation(service)
        do throws(ActivationFailure) {
            if let given = try activation.takeListener(named: "control") { return ControlSocket(adopting: given) }
        } catch {
            throw CommandFailure(status: .cannotRead, message: error.description)
        }
        let environment = Terminal.environment
        let paths = BytePath.controlSockets(named: socket.socket, environment: environment)
        guard let path = try paths.first.map(Self.absolute) else { return nil }
        do throws(SystemCallFailure) {
            return try ControlSocket(listeningAt: path)
        } catch {
            let problem = "cannot listen at '\(path.display)': \(error.reason)"
            guard socket.socket == nil, environment["HFJANITOR_SOCKET"] == nil else {
                throw CommandFailure(status: .cannotWrite, message: problem)
            }
            loop.complain("\(problem): no control socket; name one with --socket")
            return nil
        }
    }

    /// The token of `LoadCredential=hf-token`.
    private static func token(of service: ServiceEnvironment) throws -> HubToken? {
        do throws(CredentialFailure) {
            guard let bytes = try Credentials(service).read("hf-token") else { return nil }
            return (try? HubToken(cleaning: String(decoding: bytes, as: UTF8.self))) ?? nil
        } catch {
            throw CommandFailure(status: .permission, message: error.description)
        }
    }

    private static func absolute(_ path: BytePath) throws -> BytePath {
        if path.hasPrefix("/") { return path }
        do throws(SystemCallFailure) {
            let here = try OwnedDescriptor.open(trustedPath: ".", options: .directory).currentPath()
            return path == "." ? here : here.appending(path)
        } catch {
            throw CommandFailure(status: .cannotRead, message: "cannot tell the working directory: \(error.reason)")
        }
    }
}
