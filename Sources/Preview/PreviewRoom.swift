public import HubCache

/// Where a repo would go, and what this machine has for it.
public struct PreviewRoom: Sendable {
    /// The cache it would be fetched into; it need not exist yet.
    public let cache: BytePath
    /// How much of it is there already.
    public let share: LocalShare
    /// Bytes that could still be written.
    public let freeBytes: UInt64
    /// What must stay free.
    public let floorBytes: UInt64
    /// The key of the policy that says so.
    public let floorName: String
    /// The main memory.
    public let memory: MachineMemory?
    /// The graphics processors.
    public let graphics: [GraphicsProcessor]

    /// Looks at this machine.
    ///
    /// - Parameter floor: what must stay free, and the policy's key that says so.
    public init(cache: BytePath, share: LocalShare, freeBytes: UInt64, floor: (bytes: UInt64, name: String)) {
        self.cache = cache
        self.share = share
        self.freeBytes = freeBytes
        (floorBytes, floorName) = floor
        memory = MachineMemory.read()
        graphics = GraphicsProcessor.all()
    }

    /// Whether what is missing leaves the floor free.
    public var fitsOnDisk: Bool { freeBytes >= floorBytes && freeBytes - floorBytes >= share.missingBytes }

    /// Whether so much fits into memory: ever, and now.
    public func fitsInMemory(_ bytes: UInt64) -> (ever: Bool, now: Bool)? {
        memory.map { (bytes <= $0.usableBytes, bytes <= $0.availableBytes) }
    }

    /// Whether so much fits into one graphics processor's memory, and into that of all together; nil where that is not
    /// known.
    public func fitsInGraphics(_ bytes: UInt64) -> (one: Bool, all: Bool)? {
        let sizes = graphics.compactMap(\.totalBytes)
        guard !sizes.isEmpty, sizes.count == graphics.count else { return nil }
        return (sizes.contains { bytes <= $0 }, bytes <= (graphicsBytes ?? 0))
    }

    /// The memory of all graphics processors together; nil where there are none, or one does not tell.
    public var graphicsBytes: UInt64? {
        let sizes = graphics.compactMap(\.totalBytes)
        guard !sizes.isEmpty, sizes.count == graphics.count else { return nil }
        return sizes.reduce(0) { sum, size in
            let (total, isOverflow) = sum.addingReportingOverflow(size)
            return isOverflow ? .max : total
        }
    }
}
