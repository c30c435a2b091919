public import HubCache
public import HubClient
public import PolicyFile
public import SystemdSupport

/// What a daemon is started with. Plain values: the environment was read by the caller.
public struct DaemonSetup: Sendable {
    /// Where the policy is.
    public var policy: PolicyLocation
    /// Absolute paths of caches named on the command line, in place of the policy's.
    public var caches: [BytePath]
    /// The cache that huggingface_hub would use, absolute: where neither names one.
    public var defaultCache: BytePath
    /// The folder of the ledger; nil: nothing is remembered.
    public var stateFolder: BytePath?
    /// The folder of the status file.
    public var statusFolder: BytePath?
    /// The program's version.
    public var version: String
    /// What the service manager said.
    public var service: ServiceEnvironment
    /// How the Hub is asked.
    public var hub: HubEnvironment
    /// The token that the service manager handed over, in place of the user's.
    public var token: HubToken?
    /// Whether a terminal gets colours.
    public var wantsColour: Bool

    /// Makes a setup.
    public init(
        policy: PolicyLocation, caches: [BytePath], defaultCache: BytePath, stateFolder: BytePath?,
        statusFolder: BytePath?, version: String, service: ServiceEnvironment, hub: HubEnvironment, wantsColour: Bool
    ) {
        self.policy = policy
        self.caches = caches
        self.defaultCache = defaultCache
        self.stateFolder = stateFolder
        self.statusFolder = statusFolder
        self.version = version
        self.service = service
        self.hub = hub
        self.wantsColour = wantsColour
    }
}

/// How a daemon ended.
public enum DaemonEnd: Sendable, Hashable {
    /// It was told to.
    case stopped
    /// The policy was wrong at the start; the journal has it.
    case badPolicy
    /// It could not start; why.
    case failed(String)
}
