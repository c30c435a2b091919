internal import Synchronization

/// A wish to stop, that long work looks at every few milliseconds.
public final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    /// Makes a wish that nobody has made yet.
    public init() {}

    /// Whether work should stop.
    public var isCancelled: Bool { flag.load(ordering: .relaxed) }

    /// Asks for work to stop. May be called from any thread, and from a signal handler.
    public func cancel() { flag.store(true, ordering: .relaxed) }
}
