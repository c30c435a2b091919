internal import HubCache
internal import LinuxIO
internal import Synchronization

/// How busy the disks are: `some avg10` of `/proc/pressure/io`, looked at once a second at most.
final class PressureGauge: Sendable {
    private let most: UInt32
    private let last = Mutex<(isHigh: Bool, time: UInt64)>((false, 0))

    init(mostPartsPerMillion: UInt32) { most = mostPartsPerMillion }

    /// Whether somebody waits for disks more than may be. Where the kernel does not say, nobody does.
    var isHigh: Bool {
        last.withLock { last in
            let now = monotonicNanoseconds()
            if last.time == 0 || now &- last.time > Timers.second { last = (Self.pressure() > most, now) }
            return last.isHigh
        }
    }

    /// Parts per million of the last ten seconds.
    private static func pressure() -> UInt32 {
        guard let file = try? OwnedDescriptor.open(trustedPath: "/proc/pressure/io"),
            let bytes = (try? file.readAll(limit: 4096)).flatMap(\.self)
        else { return 0 }
        return parse(String(decoding: bytes, as: UTF8.self))
    }

    /// Reads `some avg10=2.97 …`: percent with two decimals.
    static func parse(_ text: String) -> UInt32 {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("some ") }),
            let field = line.split(separator: " ").first(where: { $0.hasPrefix("avg10=") }),
            let percent = Double(field.dropFirst(6)), percent >= 0, percent <= 100
        else { return 0 }
        return UInt32(percent * 10_000)
    }
}
