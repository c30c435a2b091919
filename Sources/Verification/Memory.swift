internal import CacheScan
internal import HubCache

/// placeholder
public struct Memory: Sendable {
    public static let none = Memory()
    public var problem: String? { nil }
    public static func open(environment: [String: String], programVersion: String) -> Memory { Memory() }
    func facts(of root: CacheRoot, depth: VerificationDepth, isFresh: Bool) -> KnownFacts { KnownFacts() }
    func rememberHeaders(of examined: [ExaminedRepo], root: CacheRoot, looked: Bool) {}
}
