internal import HubCache
internal import LinuxIO
internal import PolicyFile
internal import SystemdSupport

// What a policy file that was read again does.
extension DaemonLoop {
    /// Has the files read again for somebody who waits for the verdict.
    func reload(_ reply: Reply<ReloadVerdict>) {
        guard let policyWatch else { return }
        reloads.append((reply, policyWatch.request()))
    }

    func takePolicy(_ reading: PolicyWatch.Reading, _ occasion: PolicyWatch.Occasion) {
        defer { answerReloads(occasion) }
        let before = inForce.policy
        let verdict = inForce.take(reading, ledger: ledger, now: currentTime())
        let identity = Condition.Identity(scope: "policy", code: "policy-rejected")
        let file = inForce.loaded.files.first
        switch verdict {
        case .rejected(let problem):
            raise(
                Condition(
                    identity, detail: problem,
                    event: JournalEvent(
                        .policyRejected, "the policy is wrong, the last good one stays: \(Self.oneLine(problem))",
                        EventFields(path: file, code: "policy", reason: Self.oneLine(problem)))))
        case .unchanged:
            // An answer is due where somebody asked.
            if case .request = occasion {
                say(
                    JournalEvent(
                        .policyApplied, "the policy was read again: nothing changed", EventFields(path: file)))
            }
        case .applied(let difference):
            clear(identity, saying: nil)
            if inForce.policy != before { endPasses() }
            say(
                JournalEvent(
                    .policyApplied, "the policy changed: \(difference.text)",
                    EventFields(path: file, reason: difference.text)))
            do throws(SystemCallFailure) { try setCaches() } catch {
                say(
                    JournalEvent(
                        .watchDegraded, "cannot watch the caches of the new policy: \(error.reason)",
                        EventFields(code: "instance-limit")))
            }
            tellMetricsAddress()
            clearIdleFloors()
            for key in passes.keys {
                passes[key]?.failures = 0
                passes[key]?.hasChanged = true
            }
            planRehearsals()
            forgetForwarding()
            let now = monotonicNanoseconds()
            for cache in caches {
                cache.space.nextLook = now
                // Another floor is reached at another time.
                cache.history.nextSample = now
                judgeWritability(cache)
                planRepairs(of: cache)
                planLocalLooks(of: cache)
                cache.scrub.nextLook = now
                requestPass(cache, after: 0, hasChanged: true)
            }
        }
        isStatusStale = true
        timers.statusFile = 0
        showStatus(monotonicNanoseconds())
        if isReloading, case .request = occasion {
            isReloading = false
            notifier.send(.ready, .status(statusText))
        }
    }

    private func answerReloads(_ occasion: PolicyWatch.Occasion) {
        guard case .request(let number) = occasion else { return }
        for reload in reloads where reload.request <= number {
            reload.reply.give(inForce.error.map { .rejected($0) } ?? .applied)
        }
        reloads.removeAll { $0.request <= number }
    }

    private static func oneLine(_ text: String) -> String {
        text.split(separator: "\n").prefix(5).joined(separator: "; ")
    }
}
