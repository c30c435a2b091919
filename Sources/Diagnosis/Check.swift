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
    /// What to do about it; nothing but where all is as it should be.
    public var remedy: String?

    /// What needs a remedy.
    public enum Trouble: Sendable {
        /// It works, with a limit worth knowing.
        case note
        /// Something will not work, or is at risk.
        case problem
    }

    /// What needs none.
    public enum Health: Sendable {
        /// As it should be.
        case good
    }

    /// Makes a check of what is as it should be.
    public init(_ name: String, cache: String? = nil, _: Health, _ detail: String) {
        self.name = name
        self.cache = cache
        self.status = .good
        self.detail = detail
    }

    /// Makes a check of what is not: nobody is told of that without being told what can be done.
    public init(_ name: String, cache: String? = nil, _ trouble: Trouble, _ detail: String, remedy: String) {
        self.name = name
        self.cache = cache
        self.status =
            switch trouble {
            case .note: .note
            case .problem: .problem
            }
        self.detail = detail
        self.remedy = remedy
    }
}
