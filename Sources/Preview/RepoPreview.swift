public import HubCache
public import HubClient

/// What is known of a repo at a revision before it is fetched.
public struct RepoPreview: Sendable {
    /// The repo.
    public let repo: RepoID
    /// What the Hub says of it.
    public let info: HubRepoInfo
    /// The files that would be fetched.
    public let files: [HubTreeFile]
    /// The weights among them.
    public internal(set) var sets: [WeightSet] = []
    /// Those of the sets that a program loads which is given all of them.
    public internal(set) var main: [WeightSet] = []
    /// What the configuration says.
    public internal(set) var facts = ModelFacts()
    /// The weights of the main sets; nil where there are none, or not all of them could be counted.
    public internal(set) var parameters: ParameterCount?
    /// Python files in the repo: code that a program may be told to run.
    public internal(set) var pythonFiles = 0
    /// What could not be told, and why; safe to show.
    public internal(set) var notes: [String] = []
    /// Why nothing more was read, where the Hub stopped answering or refused the content.
    public internal(set) var stop: HubFailure?

    /// The bytes of the files.
    public var bytes: UInt64 { files.reduce(0) { $0.addingUpTo($1.size) } }
    /// The bytes of the weights.
    public var weightBytes: UInt64 { sets.reduce(0) { $0.addingUpTo($1.bytes) } }
    /// What the model takes when it is loaded; none where its parameters are not known.
    public var memory: [MemoryEstimate] { parameters.map { MemoryEstimate.all($0, facts) } ?? [] }
    /// Whether loading it means running code of the repo.
    public var needsOwnCode: Bool { facts.namesOwnCode }

    init(repo: RepoID, info: HubRepoInfo, files: [HubTreeFile]) {
        self.repo = repo
        self.info = info
        self.files = files
    }
}
