internal import Daemon
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import LinuxIO
internal import NIOCore
internal import SystemdSupport

// Answers that last as long as somebody listens, and the metrics.
extension Endpoint {
    static func listeningEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        [
            Endpoint(
                method: .post, path: "/api/reads",
                summary: "Announces that the caller reads these repos, or everything, until it closes the connection: "
                    + "what it opens is then no use of them.",
                body: [
                    Parameter(
                        name: "models", meaning: "A list of objects with the keys that name a model; none: everything.",
                        kind: .models),
                    depthParameter,
                ], answerSchema: "Text", answerType: "text/plain",
                problems: [.invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .busy]
            ) { request, caller in
                let body = try await RequestBody(of: request, keys: ["models", "depth"])
                let depth = try body.depth()
                let names = try body.list("models", keys: RequestBody.modelKeys)?.map { try $0.requiredModel() } ?? []
                guard let end = try await desk.announceReads(of: names, depth: depth).orProblem() else {
                    throw Problem(.busy, "too many announce what they read")
                }
                caller.whenGone(end)
                return Response(
                    status: .ok, headers: [.contentType: "text/plain", .cacheControl: "no-store"],
                    body: ResponseBody { writer in
                        try await writer.write(ByteBuffer(string: "announced\n"))
                        await caller.waitUntilGone()
                    })
            },
            Endpoint(
                method: .get, path: "/api/events",
                summary:
                    "What the journal is told, as it is told, and twice a second how far each transfer is: server-sent events, "
                    + "each with its kind ('progress' for transfers) and one line of JSON.",
                answerSchema: "Text", answerType: "text/event-stream", problems: [.busy]
            ) { _, caller in
                guard let listening = desk.bulletin.listen() else {
                    throw Problem(.busy, "too many listen already")
                }
                caller.whenGone(listening.end)
                return Response(
                    status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
                    body: ResponseBody { writer in
                        try await writer.write(ByteBuffer(string: ": listening\n\n"))
                        for await said in listening.events {
                            let (kind, line) =
                                switch said.news {
                                case .event(let event):
                                    (event.kind.rawValue, event.jsonLine(time: CalendarTime.text(of: said.time)))
                                case .progress(let report): ("progress", eventLine(report) + "\n")
                                }
                            try await writer.write(ByteBuffer(string: "event: \(kind)\ndata: \(line)\n"))
                        }
                        try await writer.finish(nil)
                    })
            },
            Endpoint(
                method: .get, path: "/metrics", summary: "The daemon's numbers, for Prometheus.", answerSchema: "Text",
                answerType: Metrics.contentType
            ) { _, _ in
                .text(ByteBuffer(string: Metrics.text(try await desk.numbers())), type: Metrics.contentType)
            },
        ]
    }
}
