public import HubCache

/// One thing that happened, as it goes to the journal.
///
/// A pure value: what is sent is made of nothing else.
public struct JournalEvent: Sendable, Hashable {
    /// What kind of thing.
    public var kind: EventKind
    /// How much it matters.
    public var priority: EventPriority
    /// One sentence for a person, with the numbers that count and, in an alarm, the command to run.
    public var message: String
    /// The facts, for programs.
    public var fields: EventFields

    /// Makes an event.
    ///
    /// - Parameter priority: the kind's usual one when left out.
    public init(_ kind: EventKind, priority: EventPriority? = nil, _ message: String, _ fields: EventFields = .init()) {
        self.kind = kind
        self.priority = priority ?? kind.usualPriority
        self.message = message
        self.fields = fields
    }
}

/// The facts of an event. What is nil is not sent.
public struct EventFields: Sendable, Hashable {
    /// `HFJ_CACHE`: the cache's root.
    public var cache: BytePath?
    /// `HFJ_REPO`: `type/org/name`, or `local:PATH` for a plain folder.
    public var repo: String?
    /// `HFJ_REVISION`: the commit.
    public var revision: CommitHash?
    /// `HFJ_PATH`: relative to the cache's root.
    public var path: BytePath?
    /// `HFJ_BLOB`: the etag.
    public var blob: BytePath?
    /// `HFJ_CODE`: a finding's, an error's or a condition's code.
    public var code: String?
    /// `HFJ_RULE`: the name of the policy's rule.
    public var rule: String?
    /// `HFJ_REASON`: the fact that decided, in words.
    public var reason: String?
    /// `HFJ_BYTES`: the bytes the event is about.
    public var bytes: UInt64?
    /// `HFJ_FREE_BYTES`: the bytes free on the filesystem then.
    public var freeBytes: UInt64?
    /// `HFJ_DURATION_USEC`: how long it took, in microseconds.
    public var durationMicroseconds: UInt64?
    /// `HFJ_CHECKED`: revisions looked at in a pass.
    public var checked: UInt64?
    /// `HFJ_INCOMPLETE`: those of them that are not whole.
    public var incomplete: UInt64?
    /// `HFJ_REMOVED`: items removed in a pass.
    public var removed: UInt64?
    /// `HFJ_ERRORS`: what could not be done in a pass.
    public var errors: UInt64?

    /// Makes fields; those left out are not sent.
    public init(
        cache: BytePath? = nil, repo: String? = nil, revision: CommitHash? = nil, path: BytePath? = nil,
        blob: BytePath? = nil, code: String? = nil, rule: String? = nil, reason: String? = nil, bytes: UInt64? = nil,
        freeBytes: UInt64? = nil, durationMicroseconds: UInt64? = nil, checked: UInt64? = nil,
        incomplete: UInt64? = nil, removed: UInt64? = nil, errors: UInt64? = nil
    ) {
        self.cache = cache
        self.repo = repo
        self.revision = revision
        self.path = path
        self.blob = blob
        self.code = code
        self.rule = rule
        self.reason = reason
        self.bytes = bytes
        self.freeBytes = freeBytes
        self.durationMicroseconds = durationMicroseconds
        self.checked = checked
        self.incomplete = incomplete
        self.removed = removed
        self.errors = errors
    }
}

/// A fact as it is written: text that is safe to show, or a number.
enum FieldValue: Sendable, Hashable {
    case text(String)
    case number(UInt64)
}

extension EventFields {
    /// Those that are set, by name without `HFJ_`, in a fixed order. Texts are safe to show.
    var list: [(name: String, value: FieldValue)] {
        let all: [(name: String, value: FieldValue?)] = [
            ("CACHE", cache.map { .text($0.display) }),
            ("REPO", repo.map { .text(displayText(of: $0)) }),
            ("REVISION", revision.map { .text($0.hex) }),
            ("PATH", path.map { .text($0.display) }),
            ("BLOB", blob.map { .text($0.display) }),
            ("CODE", code.map { .text(displayText(of: $0)) }),
            ("RULE", rule.map { .text(displayText(of: $0)) }),
            ("REASON", reason.map { .text(displayText(of: $0)) }),
            ("BYTES", bytes.map { .number($0) }),
            ("FREE_BYTES", freeBytes.map { .number($0) }),
            ("DURATION_USEC", durationMicroseconds.map { .number($0) }),
            ("CHECKED", checked.map { .number($0) }),
            ("INCOMPLETE", incomplete.map { .number($0) }),
            ("REMOVED", removed.map { .number($0) }),
            ("ERRORS", errors.map { .number($0) }),
        ]
        return all.compactMap { field in field.value.map { (field.name, $0) } }
    }
}
