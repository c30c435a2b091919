internal import Synchronization

/// A request to stop, set by one thread and looked at by those who work.
///
/// It interrupts nothing by itself: long operations say in their documentation how often they look. Once set it stays set.
public final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)
    private let whole: Cancellation?

    /// Makes a request that has not been made yet.
    public init() { whole = nil }

    /// Makes a request to stop a part of something: whoever stops the whole stops the part.
    public init(within whole: Cancellation) { self.whole = whole }

    /// Asks to stop.
    public func cancel() { flag.store(true, ordering: .releasing) }

    /// Whether it was asked to stop.
    public var isCancelled: Bool { flag.load(ordering: .acquiring) || whole?.isCancelled ?? false }
}
