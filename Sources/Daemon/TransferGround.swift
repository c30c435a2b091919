internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
internal import PolicyFile
internal import Repair
internal import Retention
internal import SystemdSupport

/// What asking the Hub takes, as plain values.
struct HubAccount: Sendable {
    var environment: HubEnvironment
    /// In place of the environment's.
    var token: HubToken?
    var health: HubHealth
    var version: String

    /// - Parameter attempts: nil: as many as usual.
    /// - Throws: `HubEndpointProblem`.
    func client(_ policy: RepairPolicy, attempts: Int? = nil) throws(HubEndpointProblem) -> HubClient {
        var settings = HubSettings()
        settings.userAgent = "hfjanitor/\(version)"
        if let attempts { settings.attempts = attempts }
        return HubClient(
            environment: environment, endpoints: try policy.hubEndpoints(besides: environment), token: token,
            health: health, settings: settings)
    }
}

/// What every transfer's thread needs, a download's and a repair's, as plain values.
struct TransferGround: Sendable {
    var looker: Looker
    /// Other caches: what one of them has already is copied.
    var others: [Looker]
    var policy: Policy
    var cachePolicy: CachePolicy
    var account: HubAccount
    /// Makes room before a download is refused.
    var room: RoomMaker
    var progress: TransferProgress
    var cancellation: Cancellation

    func settings(
        on root: CacheRoot, _ say: @escaping @Sendable (JournalEvent) -> Void
    ) -> RepairSettings {
        var settings = RepairSettings(policy, of: cachePolicy, on: root)
        settings.makesLinks = !account.environment.disablesLinks
        settings.makeRoom = { [room] free, repo in room.makeRoom(free, for: repo, on: root, say) }
        return settings
    }

    var otherRoots: [CacheRoot] { others.compactMap { try? $0.openRoot() } }

    /// - Throws: `HubEndpointProblem`.
    func client(attempts: Int? = nil) throws(HubEndpointProblem) -> HubClient {
        try account.client(policy.repair, attempts: attempts)
    }
}

extension DaemonLoop {
    func ground(
        of transfer: Transfer, in cache: WatchedCache, _ looker: Looker, _ account: HubAccount
    ) -> TransferGround {
        var looker = looker
        looker.cancellation = transfer.cancellation
        let others = caches.filter { $0.presence == .present && !$0.isUnresponsive && $0 !== cache }
        return TransferGround(
            looker: looker, others: others.compactMap { self.looker($0) }, policy: inForce.policy,
            cachePolicy: cache.policy, account: account,
            room: RoomMaker(mailbox: mailbox, cache: cache.number, cancellation: transfer.cancellation),
            progress: transfer.progress, cancellation: transfer.cancellation)
    }

    /// How the Hub is asked: with somebody's own token, else as the daemon itself does.
    func account(_ token: HubToken?) -> HubAccount {
        HubAccount(
            environment: setup.hub, token: token ?? setup.token, health: hubHealth, version: setup.version)
    }
}
