public import HubCache
internal import LinuxIO
public import Retention

extension ClockReading {
    /// Reads the clocks of this machine.
    public static func now() -> ClockReading {
        let file = try? OwnedDescriptor.open(trustedPath: "/proc/sys/kernel/random/boot_id")
        let text = (try? file?.readAll(limit: 64)).flatMap(\.self) ?? []
        return ClockReading(
            time: currentTime(), sinceBoot: nanosecondsSinceBoot(),
            bootID: String(decoding: text.prefix { $0 > 0x20 }, as: UTF8.self))
    }
}

extension ClockReading {
    /// Whether ages can be told by this clock.
    ///
    /// - Parameters:
    ///   - earlier: a reading that an earlier run left behind, if one did.
    ///   - isSynchronised: whether the system says that its clock follows a reference; nil where it does not say.
    ///   - youngest: the youngest ctime found in a cache: the kernel gives that by this very clock.
    public func trust(earlier: ClockReading?, isSynchronised: Bool?, youngest: Timestamp?) -> ClockTrust {
        if let earlier {
            if time.nanoseconds &+ Self.slack < earlier.time.nanoseconds {
                return .untrusted(
                    reason:
                        "the clock is \(Self.words(earlier.time.nanoseconds &- time.nanoseconds)) behind an earlier run's"
                )
            }
            if earlier.bootID == bootID, !bootID.isEmpty {
                let jump = (time.nanoseconds &- earlier.time.nanoseconds) &- (sinceBoot &- earlier.sinceBoot)
                if jump.magnitude > UInt64(Self.slack) {
                    return .untrusted(reason: "the clock jumped by \(Self.words(jump)) since an earlier run")
                }
            }
        }
        if let youngest, youngest.nanoseconds > time.nanoseconds &+ Self.slack {
            return .untrusted(
                reason:
                    "the clock is \(Self.words(youngest.nanoseconds &- time.nanoseconds)) behind changes in the cache")
        }
        if isSynchronised == false, sinceBoot < Self.earlyInBoot {
            return .untrusted(reason: "the machine has just started and its clock is not synchronised yet")
        }
        return .trusted
    }

    /// Clocks are set by minutes without anybody noticing.
    private static let slack: Int64 = 10 * 60 * 1_000_000_000
    /// What has not been synchronised after this long will not be.
    private static let earlyInBoot: Int64 = 15 * 60 * 1_000_000_000

    private static func words(_ nanoseconds: Int64) -> String {
        let seconds = Int64(nanoseconds.magnitude / 1_000_000_000)
        return seconds < 7200
            ? "\(seconds / 60) min" : seconds < 172_800 ? "\(seconds / 3600) h" : "\(seconds / 86_400) days"
    }
}
