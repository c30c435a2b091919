internal import HubCache

/// Jobs that wait for a thread.
///
/// The longest comes first, from the device that the fewest are being read from.
struct JobQueue {
    private struct Device {
        /// Shortest first: the next one is the last.
        var waiting: [DigestJob]
        var active = 0
    }

    private var devices: [UInt64: Device]
    /// Each thread's first job, set aside before any thread runs: else the first thread to start would have two of the longest
    /// to itself before the others have one.
    private var setAside: [DigestJob?] = []

    init(_ jobs: [DigestJob], workers: Int) {
        devices = Dictionary(grouping: jobs, by: \.device).mapValues { jobs in
            Device(waiting: jobs.sorted { ($0.expected.size, $1.id) < ($1.expected.size, $0.id) })
        }
        for _ in 0..<workers { setAside.append(takeLongest()) }
    }

    /// The next job for a thread, or nil when none is left.
    mutating func take(worker: Int) -> DigestJob? {
        if let own = setAside[worker].take() { return own }
        if let job = takeLongest() { return job }
        // A thread that has not come to its first job yet may do without: it would find nothing else to do anyway.
        for other in setAside.indices.reversed() {
            if let job = setAside[other].take() { return job }
        }
        return nil
    }

    /// Says that a job which was taken has ended.
    mutating func end(_ job: DigestJob) { devices[job.device]?.active -= 1 }

    private mutating func takeLongest() -> DigestJob? {
        var best: (key: UInt64, active: Int, size: UInt64)?
        for (key, device) in devices {
            guard let next = device.waiting.last else { continue }
            let size = next.expected.size
            guard let found = best else {
                best = (key, device.active, size)
                continue
            }
            if (device.active, found.size, key) < (found.active, size, found.key) { best = (key, device.active, size) }
        }
        guard let best else { return nil }
        devices[best.key]?.active += 1
        return devices[best.key]?.waiting.popLast()
    }
}
