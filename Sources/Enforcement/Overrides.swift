internal import HubCache

/// What a person overrides with `rm`.
public struct Overrides: Sendable, Hashable {
    /// Pins, holds, and openers that still run.
    public var force: Bool
    /// That nothing can tell whether it is in use.
    public var assumesUnused: Bool
    /// Whether a person named what is to go, and no rule did.
    var isByName = false

    /// Makes overrides.
    public init(force: Bool = false, assumesUnused: Bool = false) {
        self.force = force
        self.assumesUnused = assumesUnused
    }

    /// None.
    public static let none = Overrides()

    /// What is left of reasons to keep something.
    func applied(to reasons: [Kept]) -> [Kept] {
        reasons.filter { reason in
            switch reason.by {
            case .pin, .hold, .openerAlive: !force
            case .cannotTell: !assumesUnused
            default: true
            }
        }
    }
}
