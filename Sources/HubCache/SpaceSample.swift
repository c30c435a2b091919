/// How full a cache's filesystem was at some moment.
public struct SpaceSample: Hashable, Sendable {
    /// When.
    public var time: Timestamp
    /// Bytes that an unprivileged user could still write.
    public var free: UInt64
    /// Bytes that the filesystem has.
    public var total: UInt64
    /// Free bytes below which room is made; nil: there was no floor.
    public var floor: UInt64?
    /// Bytes on the disk that the cache took, when the whole was last looked at.
    public var cacheBytes: UInt64

    /// Makes a sample of its parts.
    public init(time: Timestamp, free: UInt64, total: UInt64, floor: UInt64?, cacheBytes: UInt64) {
        self.time = time
        self.free = free
        self.total = total
        self.floor = floor
        self.cacheBytes = cacheBytes
    }
}
