/// The clock as it was at some moment: the time of day, and how long the machine has run.
public struct ClockReading: Sendable, Hashable {
    /// The time of day.
    public var time: Timestamp
    /// Nanoseconds since the machine started, sleep included.
    public var sinceBoot: Int64
    /// Which start that was.
    public var bootID: String

    /// Makes a reading.
    public init(time: Timestamp, sinceBoot: Int64, bootID: String) {
        self.time = time
        self.sinceBoot = sinceBoot
        self.bootID = bootID
    }
}
