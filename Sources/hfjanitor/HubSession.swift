import CacheScan
import Enforcement
import HubCache
import HubClient
import LinuxIO
import PolicyFile
import Repair
import Retention

/// What a command that asks the Hub for content works with.
struct HubSession {
    let client: HubClient
    private let clients: @Sendable () -> HubClient
    private let policy: Policy
    private let options: CacheOptions

    /// - Throws: `CommandFailure` 78 for an endpoint in the policy that is none.
    init(_ opened: OpenedCaches, _ options: CacheOptions) throws {
        policy = opened.loaded.policy
        self.options = options
        clients = try Self.clients(policy)
        client = clients()
    }

    /// What makes clients, one for each thread, that all ask where the policy says, else where the environment does.
    ///
    /// - Throws: `CommandFailure` 78 for an endpoint in the policy that is none.
    static func clients(_ policy: Policy) throws -> @Sendable () -> HubClient {
        let environment = HubEnvironment(
            environment: Terminal.environment, tokenFile: CacheLocator(environment: Terminal.environment).tokenFile)
        // What is public needs none.
        if let problem = environment.tokenProblem { Terminal.complain("no token is used: \(problem)") }
        let endpoints: [HubEndpoint]?
        do throws(HubEndpointProblem) {
            endpoints = try policy.repair.hubEndpoints(besides: environment)
        } catch {
            throw CommandFailure(status: .policy, message: "repair: endpoints: \(error)")
        }
        let health = HubHealth()
        var settings = HubSettings()
        settings.userAgent = "hfjanitor/\(Version.text)"
        return { [settings] in
            HubClient(environment: environment, endpoints: endpoints, health: health, settings: settings)
        }
    }

    /// What the policy says of work in a cache; what came so far always stays for the next run.
    func settings(of root: CacheRoot, _ opened: OpenedCaches) -> RepairSettings {
        var settings = RepairSettings(policy, of: opened.policy(of: root), on: root)
        settings.makesLinks = !HubEnvironment(environment: Terminal.environment).disablesLinks
        settings.event = { event in
            if case .downloadJoined(let file) = event {
                Terminal.complain("'\(file.path.display)' is being fetched by another process: waiting for it")
            }
        }
        if policy.mode == .enforce {
            let policies = opened.roots.filter { $0.filesystem.id == root.filesystem.id }.map { opened.policy(of: $0) }
            settings.makeRoom = { [options, clients] free, repo in
                let room = policies.room(toFree: free, of: root.filesystem.totalBytes)
                Self.makeRoom(room, for: repo, until: free, on: root.filesystem.id, options, clients)
            }
        }
        return settings
    }

    /// Carries the policy's plan out once on a filesystem, so that so much is free above its floor. Of the repo that the room is for
    /// nothing goes.
    private static func makeRoom(
        _ bytes: UInt64, for repo: RepoID, until free: UInt64, on filesystem: UInt64, _ options: CacheOptions,
        _ clients: () -> HubClient
    ) {
        do {
            let session = try RetentionSession(
                options.choice, room: bytes, on: filesystem, sparing: repo, isActing: true, needsMemory: true)
            // Nothing goes for what finds no room even then.
            guard session.enforcer.plan().caches.contains(where: { $0.freeBytesAfter >= free }) else { return }
            let hub = HubQuestioner(client: clients(), cancellation: Interruption.cancellation)
            let text = PlanText(caches: session.gathered)
            _ = session.enforcer.enforce(askHub: hub.ask) { event in
                if case .removed(let action, _) = event {
                    Terminal.complain("to make room: " + text.line(action, folds: false))
                }
            }
        } catch let failure as CommandFailure {
            Terminal.complain("no room could be made: \(failure.message)")
        } catch {
            Terminal.complain("no room could be made: \(error)")
        }
    }
}

extension RepairFailure {
    /// The exit status that it gives a command.
    var exitStatus: ExitStatus {
        switch code {
        case .repoNotFound, .revisionNotFound, .entryNotFound: .absent
        case .gated, .invalidToken: .permission
        case .network, .offline, .rateLimited, .incompleteDownload: .unavailable
        case .insufficientDisk: .cannotWrite
        case .downloadLimitReached, .alreadyDownloading, .inUse: .busy
        case .digestMismatch: .data
        case .downloadCancelled: .interrupted
        case nil: isPermission ? .permission : .cannotWrite
        }
    }
}
