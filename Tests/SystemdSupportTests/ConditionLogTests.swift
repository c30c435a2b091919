import HubCache
import SystemdSupport
import Testing

/// A log behind a reference: an expectation cannot change a value.
private final class Log {
    private var log = ConditionLog()
    var open: [ConditionLog.Entry] { log.open }
    func holds(_ identity: Condition.Identity) -> Bool { log.holds(identity) }
    var nextDue: Timestamp? { log.nextDue }
    func raise(_ condition: Condition, now: Timestamp) -> Bool { log.raise(condition, now: now) }
    func clear(_ identity: Condition.Identity) -> ConditionLog.Entry? { log.clear(identity) }
    func takeDue(now: Timestamp) -> [Condition] { log.takeDue(now: now) }
    func replace(scope: String, with conditions: [Condition], now: Timestamp) -> ConditionLog.Changes {
        log.replace(scope: scope, with: conditions, now: now)
    }
}

@Suite struct ConditionLogTests {
    private static let day: Int64 = 24 * 3600
    private func at(_ seconds: Int64) -> Timestamp { Timestamp(seconds: 1_700_000_000 + seconds) }

    private func condition(
        _ code: String, scope: String = "/srv/hf", subject: String = "", detail: String = "",
        priority: EventPriority? = nil
    ) -> Condition {
        Condition(
            .init(scope: scope, code: code, subject: subject), detail: detail,
            event: JournalEvent(.finding, priority: priority, "\(code) \(subject) \(detail)"))
    }

    @Test func anUnchangedConditionIsSaidOnceADay() {
        let log = Log()
        let floor = condition("floor-unreachable", detail: "pins")
        #expect(log.raise(floor, now: at(0)))
        #expect(!log.raise(floor, now: at(1)))
        #expect(!log.raise(floor, now: at(Self.day - 1)))
        #expect(log.raise(floor, now: at(Self.day)))
        #expect(!log.raise(floor, now: at(Self.day + 1)))
        #expect(!log.raise(floor, now: at(2 * Self.day - 1)))
        #expect(log.raise(floor, now: at(2 * Self.day)))
        #expect(log.open.map(\.since) == [at(0)])
    }

    @Test func aChangeIsSaidAtOnce() {
        let log = Log()
        #expect(log.raise(condition("floor", detail: "pins"), now: at(0)))
        #expect(log.raise(condition("floor", detail: "the Hub"), now: at(1)))
        #expect(!log.raise(condition("floor", detail: "the Hub"), now: at(2)))
        #expect(log.raise(condition("floor", detail: "the Hub", priority: .critical), now: at(3)))
        // The words alone may carry a number that always moves.
        var other = condition("floor", detail: "the Hub", priority: .critical)
        other.event.message = "1 byte less"
        #expect(!log.raise(other, now: at(4)))
        #expect(log.open.first?.condition.event.message == "1 byte less")
    }

    @Test func aClearedConditionIsSaidAndMayComeAgain() {
        let log = Log()
        let floor = condition("floor")
        #expect(log.clear(floor.identity) == nil)
        #expect(!log.holds(floor.identity))
        _ = log.raise(floor, now: at(0))
        #expect(log.holds(floor.identity))
        #expect(log.clear(floor.identity)?.since == at(0))
        #expect(log.clear(floor.identity) == nil)
        #expect(log.open.isEmpty)
        #expect(log.nextDue == nil)
        #expect(log.raise(floor, now: at(1)))
    }

    @Test func aScopeIsReplacedWhole() {
        let log = Log()
        let (a, b, c) = (condition("f", subject: "a"), condition("f", subject: "b"), condition("f", subject: "c"))
        let elsewhere = condition("f", scope: "/other", subject: "a")
        _ = log.raise(elsewhere, now: at(0))
        #expect(log.replace(scope: "/srv/hf", with: [b, a], now: at(1)).toSay == [b, a])
        var changes = log.replace(scope: "/srv/hf", with: [a, c], now: at(2))
        #expect(changes.toSay == [c])
        #expect(changes.cleared.map(\.condition) == [b])
        changes = log.replace(scope: "/srv/hf", with: [], now: at(3))
        #expect(changes.toSay.isEmpty)
        #expect(changes.cleared.map(\.condition) == [a, c])
        #expect(log.open.map(\.condition) == [elsewhere])
    }

    @Test func whatNobodyLooksAtIsSaidAgainToo() {
        let log = Log()
        let (a, b) = (condition("a"), condition("b"))
        _ = log.raise(a, now: at(0))
        _ = log.raise(b, now: at(60))
        #expect(log.nextDue == at(Self.day))
        #expect(log.takeDue(now: at(Self.day - 1)).isEmpty)
        #expect(log.takeDue(now: at(Self.day)) == [a])
        #expect(log.takeDue(now: at(Self.day)).isEmpty)
        #expect(log.nextDue == at(Self.day + 60))
        #expect(log.takeDue(now: at(Self.day + 60)) == [b])
    }

    @Test func aClockThatJumpsBackSaysNothingTwice() {
        let log = Log()
        let floor = condition("floor")
        _ = log.raise(floor, now: at(0))
        #expect(!log.raise(floor, now: at(-40 * Self.day)))
        #expect(!log.raise(floor, now: at(-39 * Self.day - 1)))
        #expect(log.raise(floor, now: at(-39 * Self.day)))
        _ = log.raise(condition("x"), now: Timestamp(nanoseconds: .min))
        #expect(!log.raise(condition("x"), now: Timestamp(nanoseconds: .max)))
    }
}
