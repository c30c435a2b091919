public import HubCache
internal import Retention
internal import SystemdSupport

// Where the policy has the metrics served besides the control socket.
extension DaemonLoop {
    private static let identity = Condition.Identity(scope: "metrics", code: "metrics-listen")

    /// Tells whoever serves them of the address, where it is another one.
    func tellMetricsAddress() {
        let wanted = inForce.policy.metricsAddress
        guard let follow = followMetricsAddress, wanted != toldMetricsAddress else { return }
        toldMetricsAddress = wanted
        // What was wrong with another address is over.
        clear(Self.identity, saying: nil)
        follow(wanted)
    }

    /// Takes what became of listening.
    func take(metricsAt address: ListenAddress, problem: String?) {
        guard address == toldMetricsAddress else { return }
        guard let problem else {
            let isBack = clear(
                Self.identity,
                saying: JournalEvent(
                    .watchDegraded, priority: .notice, "metrics are served at \(address.text) again",
                    EventFields(code: Self.identity.code)))
            if !isBack, !address.isLoopback {
                say(
                    JournalEvent(
                        .policyApplied, priority: .warning,
                        "metrics are served at \(address.text), to everybody who reaches that address: they name the caches, "
                            + "rules and sizes; a firewall, or 127.0.0.1 with a proxy before it, keeps others out",
                        EventFields(code: Self.identity.code)))
            }
            return
        }
        raise(
            Condition(
                Self.identity, detail: problem,
                event: JournalEvent(
                    .watchDegraded,
                    "metrics cannot be served at \(address.text): \(problem); it is tried again; see who listens there: "
                        + "ss -ltnp 'sport = :\(address.port)'; or change 'metrics: {listen}' of the policy",
                    EventFields(code: Self.identity.code, reason: problem))))
    }
}

extension DaemonDesk {
    /// Calls on the loop's thread, which must not wait, with the address at which the policy has metrics served: now, and
    /// whenever it is another one; nil: nowhere.
    public func followMetricsAddress(_ follow: @escaping @Sendable (ListenAddress?) -> Void) {
        post { loop in
            loop.followMetricsAddress = follow
            loop.tellMetricsAddress()
        }
    }

    /// Says what became of listening.
    ///
    /// - Parameter problem: why it is not possible; nil: it is.
    public func report(metricsAt address: ListenAddress, problem: String?) {
        post { loop in loop.take(metricsAt: address, problem: problem) }
    }
}
