internal import NIOCore
internal import Synchronization

/// The connections there are, each at work on a request or idle.
final class Connections: Sendable {
    private struct State {
        var open: [ObjectIdentifier: (channel: any Channel, number: UInt64, requests: Int)] = [:]
        var last: UInt64 = 0
    }

    private let state = Mutex(State())
    private let most: Int

    /// - Parameter most: as many are served at once.
    init(atMost most: Int) { self.most = most }

    /// Takes one more. Where there are as many as may be, the oldest that asks for nothing is closed for it, so that idle ones
    /// shut nobody out.
    ///
    /// - Returns: whether there is room for it.
    func admit(_ channel: any Channel) -> Bool {
        let key = ObjectIdentifier(channel)
        let (isAdmitted, idle) = state.withLock { [most] state -> (Bool, (any Channel)?) in
            var idle: (any Channel)?
            if state.open.count >= most {
                let oldest = state.open.filter { $0.value.requests == 0 }.min { $0.value.number < $1.value.number }
                guard let oldest else { return (false, nil) }
                idle = oldest.value.channel
                state.open[oldest.key] = nil
            }
            state.last += 1
            state.open[key] = (channel, state.last, 0)
            return (true, idle)
        }
        idle?.close(promise: nil)
        if isAdmitted { channel.closeFuture.whenComplete { _ in self.state.withLock { $0.open[key] = nil } } }
        return isAdmitted
    }

    /// A request came by it, and is being answered.
    func begin(_ channel: any Channel) { state.withLock { $0.open[ObjectIdentifier(channel)]?.requests += 1 } }

    func end(_ channel: any Channel) { state.withLock { $0.open[ObjectIdentifier(channel)]?.requests -= 1 } }

    /// Whether no request is being answered.
    var areIdle: Bool { state.withLock { $0.open.values.allSatisfy { $0.requests == 0 } } }

    func closeAll() {
        for channel in state.withLock({ $0.open.values.map(\.channel) }) { channel.close(promise: nil) }
    }
}
