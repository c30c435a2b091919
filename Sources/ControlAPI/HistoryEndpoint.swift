internal import Daemon
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import Retention

extension Endpoint {
    static func historyEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        [
            Endpoint(
                method: .get, path: "/api/history",
                summary: "How full each cache's filesystem was in the last year, and when its floor is reached.",
                query: [cacheParameter], answerSchema: "History", problems: [.invalidRequest, .unknownCache]
            ) { request, _ in
                let query = try Query(of: request, keys: ["cache"])
                let caches = try await desk.history(cache: query["cache"]).orProblem()
                return .json(.map([("caches", .list(caches.map(document)))]))
            }
        ]
    }

    private static func document(_ history: CacheHistory) -> JSONValue {
        .map([
            ("cache", .text(history.cache)), ("path", .text(history.path.text)),
            (
                "samples",
                .list(
                    history.samples.map { sample in
                        .map([
                            ("time", .text(CalendarTime.text(of: sample.time))), ("free_bytes", .count(sample.free)),
                            ("floor_bytes", sample.floor.map { .count($0) } ?? .null),
                            ("total_bytes", .count(sample.total)), ("cache_bytes", .count(sample.cacheBytes)),
                        ])
                    })
            ),
            (
                "forecast",
                history.forecast.map { forecast in
                    .map([
                        ("floor_reached", .text(CalendarTime.text(of: forecast.floorReached))),
                        ("bytes_per_day", .count(forecast.bytesPerDay)),
                    ])
                } ?? .null
            ),
        ])
    }
}
