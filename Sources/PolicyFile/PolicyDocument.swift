public import HubCache
public import Retention

/// The content of one file of a policy.
public struct PolicySource: Sendable {
    /// Its name, for diagnostics.
    public var file: BytePath
    /// Its bytes.
    public var bytes: [UInt8]
    /// Whether only its pins count: a policy in `/etc` of a user who has one of their own.
    public var givesPinsOnly: Bool

    /// Makes a source.
    public init(file: BytePath, bytes: [UInt8], givesPinsOnly: Bool = false) {
        self.file = file
        self.bytes = bytes
        self.givesPinsOnly = givesPinsOnly
    }
}

/// What a policy file meant when it was read.
public struct LoadedPolicy: Sendable {
    /// The policy.
    public var policy: Policy
    /// The files it was read from, in the order of reading; none: there is no policy file, and `policy` is the default.
    public var files: [BytePath]
    /// What is odd in them.
    public var warnings: [Diagnostic]
    /// Whether there are files and nothing in them. The policy then only observes.
    public var isEmpty: Bool
    /// The files with nothing in them.
    public var blankFiles: [BytePath]

    /// Makes a result.
    public init(
        policy: Policy, files: [BytePath], warnings: [Diagnostic], isEmpty: Bool, blankFiles: [BytePath] = []
    ) {
        self.policy = policy
        self.files = files
        self.warnings = warnings
        self.isEmpty = isEmpty
        self.blankFiles = blankFiles
    }
}

/// Reads policies from bytes: no file, clock or environment is looked at here.
public struct PolicyParser: Sendable {
    private let paths: PathReader
    private let isOffline: Bool
    private let folderExists: (@Sendable (BytePath) -> Bool)?

    /// Makes a parser.
    ///
    /// - Parameters:
    ///   - home: what `~` stands for in paths; nil: they are refused.
    ///   - isOffline: whether the Hub is never asked (`HF_HUB_OFFLINE`), for a warning.
    ///   - folderExists: whether a path of the policy is a folder, for a warning; nil: not asked.
    public init(
        home: String? = nil, isOffline: Bool = false, folderExists: (@Sendable (BytePath) -> Bool)? = nil
    ) {
        paths = PathReader(home: home)
        self.isOffline = isOffline
        self.folderExists = folderExists
    }

    /// Reads a policy from its files.
    ///
    /// - Parameters:
    ///   - sources: the file and its drop-ins in their order, each after those that it adds to.
    ///   - problems: what was wrong with files that could not be read at all.
    /// - Throws: `PolicyFailure` with everything that is wrong, not the first alone.
    public func policy(_ sources: [PolicySource], problems: [Diagnostic] = []) throws(PolicyFailure) -> LoadedPolicy {
        let log = DiagnosticLog()
        var whole: Element?
        var pins: [Element] = []
        var isEmpty = true
        var blankFiles: [BytePath] = []
        for (index, source) in sources.enumerated() {
            guard let root = YAMLDocument(file: index, log: log).root(source.bytes) else {
                blankFiles.append(source.file)
                continue
            }
            // Alone first: what a later file replaces may be wrong too.
            let part = PolicyReader(log: log, paths: paths, isPart: true)
            _ = part.policy(root)
            if source.givesPinsOnly {
                pins += root["pins"]?.items ?? []
                continue
            }
            isEmpty = false
            whole = Merging.merged(whole, with: root, paths: paths)
        }
        let isTrulyEmpty = isEmpty && sources.contains { !$0.givesPinsOnly }
        var root = whole ?? Element(content: .map([]), position: Position(file: 0))
        if !pins.isEmpty {
            let addition = Element(
                content: .map([
                    Element.Entry(
                        key: "pins", position: pins[0].position,
                        value: Element(content: .list(pins), position: pins[0].position))
                ]), position: root.position)
            root = Merging.merged(root, with: addition, paths: paths)
        }
        var reader = PolicyReader(log: log, paths: paths, isPart: false)
        reader.isOffline = isOffline
        reader.folderExists = folderExists
        let policy = reader.policy(root)
        var diagnostics = problems + log.diagnostics(files: sources.map(\.file))
        if isTrulyEmpty, !log.hasErrors, let file = sources.first(where: { !$0.givesPinsOnly })?.file {
            diagnostics.append(
                Diagnostic(
                    file: file, severity: .warning,
                    message: "there is nothing in this file: the policy only observes"))
        }
        if diagnostics.contains(where: { $0.severity == .error }) {
            throw PolicyFailure(diagnostics: diagnostics)
        }
        return LoadedPolicy(
            policy: policy, files: sources.map(\.file), warnings: diagnostics, isEmpty: isTrulyEmpty,
            blankFiles: blankFiles)
    }
}
