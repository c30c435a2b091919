/// One thing that was looked at in the machine or the setup.
public struct Check: Sendable, Hashable {
    /// How it stands.
    public enum Status: String, Sendable, Hashable {
        /// As it should be.
        case good
        /// It works, with a limit worth knowing.
        case note
        /// Something will not work, or is at risk.
        case problem
    }

    /// What was looked at: one word, stable.
    public var name: String
    /// The cache concerned; nil for the machine.
    public var cache: String?
    /// How it stands.
    public var status: Status
    /// What was found.
    public var detail: String
    /// What to do about it.
    public var remedy: String?

    /// Makes a check.
    public init(_ name: String, cache: String? = nil, _ status: Status, _ detail: String, remedy: String? = nil) {
        self.name = name
        self.cache = cache
        self.status = status
        self.detail = detail
        self.remedy = remedy
    }
}
