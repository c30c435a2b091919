/// A process, told apart from every other one that has or had its number.
public struct ProcessIdentity: Hashable, Sendable {
    /// The process id.
    public var id: Int32
    /// When it was started, in clock ticks since the machine was: field 22 of `/proc/PID/stat`.
    public var startTicks: UInt64
    /// Which start of the machine, and which PID namespace the id is of: `/proc/sys/kernel/random/boot_id`, a blank, and the
    /// text of `/proc/self/ns/pid`.
    public var boot: String

    /// Makes an identity of its parts.
    public init(id: Int32, startTicks: UInt64, boot: String) {
        self.id = id
        self.startTicks = startTicks
        self.boot = boot
    }
}
