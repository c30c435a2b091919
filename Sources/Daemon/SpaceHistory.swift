public import HubCache
internal import Ledger
internal import LinuxIO
public import Retention

/// What is known of how full a cache's filesystem was.
struct HistoryState {
    /// Thinned, oldest first.
    var samples: [SpaceSample] = []
    var forecast: SpaceForecast?
    /// When the next sample is due, on the monotonic clock.
    var nextSample: UInt64 = 0
}

/// How full a cache's filesystem was, and when it will be full.
public struct CacheHistory: Sendable {
    /// The cache's id.
    public var cache: String
    /// Its root.
    public var path: BytePath
    /// At most some 1,100 of the last year, oldest first; older ones are farther apart.
    public var samples: [SpaceSample]
    /// When the floor is reached: `min-free`, where there is none `critical-free`.
    public var forecast: SpaceForecast?
}

// Every five minutes what was measured anyway is remembered: nothing is woken for it.
extension DaemonLoop {
    private static let sampleSpacing = 5 * Timers.minute

    /// Remembers what was just measured, where a sample is due.
    func sampleSpace(_ cache: WatchedCache, _ now: UInt64) {
        guard now >= cache.history.nextSample, let free = cache.space.free, let root = cache.root, let recorder else {
            return
        }
        // Free space is looked at once a minute: a little less, so that it is the fifth look and not the sixth.
        cache.history.nextSample = now &+ Self.sampleSpacing &- 10 * Timers.second
        let sample = SpaceSample(
            time: currentTime(), free: free, total: cache.space.total, floor: cache.space.floor(cache.policy),
            cacheBytes: cache.bytes)
        let floor = sample.floor ?? cache.space.critical(cache.policy)
        let (ledger, known) = (ledger, cache.history.samples)
        hand(
            recorder, of: cache,
            { () -> HistoryState in
                ledger.note(space: sample, cache: root)
                let kept = ledger.spaceSamples(cache: root)
                // Without a ledger what this process has seen is all there is.
                let samples = (kept.isEmpty ? known + [sample] : kept).thinned(now: sample.time)
                return HistoryState(
                    samples: samples, forecast: SpaceForecast(samples: samples, floor: floor, now: sample.time))
            },
            then: { loop, cache, found in
                cache.history.samples = found.samples
                cache.history.forecast = found.forecast
                loop.isStatusStale = true
            })
    }

    /// What is known of how full caches were.
    func history(ofCachesNamed id: String?) throws(NamingFailure) -> [CacheHistory] {
        try caches(named: id).map { cache in
            CacheHistory(
                cache: cache.id, path: cache.root ?? cache.path, samples: cache.history.samples,
                forecast: cache.history.forecast)
        }
    }
}

extension DaemonDesk {
    /// How full the caches' filesystems were.
    ///
    /// - Parameter cache: its id; nil: all.
    public func history(cache: String?) async throws -> Result<[CacheHistory], NamingFailure> {
        try await ask { loop, reply in
            do throws(NamingFailure) { reply.give(.success(try loop.history(ofCachesNamed: cache))) } catch {
                reply.give(.failure(error))
            }
        }
    }
}
