internal import Daemon
internal import Documents
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import NIOCore
internal import Retention
internal import Verification

extension Endpoint {
    static func modelEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        let list = KnownAnswer()
        return [
            Endpoint(
                method: .get, path: "/api/models/list", summary: "Every repo and its state.", answerSchema: "Models"
            ) { _, _ in
                let models = try await desk.models()
                return list.response(number: models.number) { ByteBuffer(string: document(models.models).rendered) }
            },
            Endpoint(
                method: .post, path: "/api/models/status", summary: "The state of a repo or revision.",
                body: modelParameters, answerSchema: "ModelStatus",
                problems: [.invalidRequest, .invalidRepoID, .unknownCache, .tooLarge]
            ) { request, _ in
                let name = try await RequestBody(of: request, keys: RequestBody.modelKeys).requiredModel()
                switch try await desk.model(name) {
                case .success(let model): return .json(document(name, model))
                case .failure(.absent): return .json(document(name, nil))
                case .failure(let failure): throw Problem(failure)
                }
            },
            Endpoint(
                method: .get, path: "/api/models/space", summary: "The caches, what they hold and what is free.",
                answerSchema: "Space"
            ) { _, _ in
                .json(space(try await desk.status().caches))
            },
            Endpoint(
                method: .delete, path: "/api/models",
                summary: "Removes a repo or revision, unless something keeps it. While a download of it runs, cancels "
                    + "that instead, and takes away what has come; 'kept' then tells why something of it stays.",
                body: modelParameters + [
                    Parameter(
                        name: "task_id",
                        meaning: "Cancels this download or repair of it and does nothing else: 404 when it has ended.")
                ], answerSchema: "Removed",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .notAllowed, .modelNotFound, .pinned,
                    .held, .inUse, .kept, .busy, .failed, .unavailable,
                ]
            ) { request, _ in
                let body = try await RequestBody(of: request, keys: RequestBody.modelKeys.union(["task_id"]))
                switch try await desk.remove(try body.requiredModel(), task: try body.text("task_id")).orProblem() {
                case .removed(let bytes):
                    return .json(
                        .map([("status", .text("deleted")), ("bytes", .count(bytes)), ("kept", .null)]))
                case .cancelled(let left):
                    return .json(
                        .map([
                            ("status", .text("cancelled")), ("bytes", .null),
                            ("kept", left.map { .text($0) } ?? .null),
                        ]))
                case .absent: throw Problem(.modelNotFound, "this is not here any more")
                case .kept(let reasons): throw Problem(keeping: reasons)
                case .refused(let reason): throw Problem(.notAllowed, reason)
                case .failed(let reason): throw Problem(.failed, reason)
                }
            },
            Endpoint(
                method: .post, path: "/api/verify",
                summary: "Verifies a repo, a revision or everything, and waits for it: hfjanitor.verify/1.",
                body: modelParameters.map { parameter in
                    var parameter = parameter
                    parameter.isRequired = false
                    return parameter
                } + [depthParameter], answerSchema: "Verification",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .modelNotFound, .busy, .unavailable,
                ]
            ) { request, _ in
                let body = try await RequestBody(of: request, keys: RequestBody.modelKeys.union(["depth"]))
                let depth = try body.depth()
                let asked = try await desk.verify(
                    try body.model(), cache: try body.text("cache"), depth: depth
                ).orProblem()
                let summary = VerificationSummary(
                    asked.reports, bytesHashed: asked.bytesHashed, seconds: asked.seconds)
                return .json(VerifyDocument(depth: asked.depth, reports: asked.reports, summary: summary))
            },
        ]
    }

    // MARK: documents

    enum ModelStatus: String {
        case downloaded = "DOWNLOADED"
        case downloading = "DOWNLOADING"
        case partial = "PARTIAL"
        case corrupt = "CORRUPT"
        case absent = "NOT_FOUND"
    }

    private static func status(of model: KnownModel) -> ModelStatus {
        switch model.state {
        case .complete: .downloaded
        case .downloading: .downloading
        // What cannot be read cannot be told to be whole.
        case .partial, .unknown: .partial
        case .corrupt: .corrupt
        case nil: .absent
        }
    }

    static func parts(of repo: String) -> (type: String, name: String) {
        let slash = repo.firstIndex(of: "/") ?? repo.startIndex
        return (String(repo[..<slash]), String(repo[slash...].dropFirst()))
    }

    private static func document(_ models: [KnownModel]) -> JSONValue {
        .map([
            (
                "models",
                .list(
                    models.map { model in
                        let (type, name) = parts(of: model.repo)
                        return .map([
                            ("model", .text(name)), ("type", .text(type)), ("cache", .text(model.cache)),
                            ("status", .text(status(of: model).rawValue)),
                        ])
                    })
            )
        ])
    }

    private static func document(_ name: ModelName, _ model: KnownModel?) -> JSONValue {
        let worst = model?.worst
        let words = worst.map { finding in
            let facts = [
                finding.detail, finding.expected.map { "expected \($0)" }, finding.actual.map { "found \($0)" },
            ]
            return ([(finding.file ?? finding.path).display] + facts.compactMap(\.self)).joined(separator: ", ")
        }
        return .map([
            ("model", .text(name.repo.name)), ("type", .text(name.repo.type.rawValue)),
            ("status", .text((model.map(status) ?? .absent).rawValue)),
            ("progress", model?.progress.map(document) ?? .null),
            ("error_code", (model?.failure?.code ?? worst?.code.rawValue).map { .text($0) } ?? .null),
            ("error_message", (model?.failure?.message ?? words).map { .text($0) } ?? .null),
        ])
    }

    private static func space(_ caches: [DaemonStatus.Cache]) -> JSONValue {
        func document(_ cache: DaemonStatus.Cache) -> JSONValue {
            .map([
                ("id", .text(cache.id)), ("cache_path", .text(cache.path.text)), ("watch", .text(cache.watch)),
                ("cache_size_bytes", .count(cache.bytes)),
                ("available_bytes", cache.freeBytes.map { .count($0) } ?? .null),
                ("floor_bytes", cache.floorBytes.map { .count($0) } ?? .null),
                ("reclaimable_bytes", .count(cache.reclaimableBytes)),
            ])
        }
        // The first cache stands for all where somebody knows of one only.
        return .map([
            ("cache_size_bytes", .count(caches.reduce(0) { $0 &+ $1.bytes })),
            ("available_bytes", (caches.first?.freeBytes).map { .count($0) } ?? .null),
            ("cache_path", caches.first.map { .text($0.path.text) } ?? .null),
            ("caches", .list(caches.map(document))),
        ])
    }
}

extension Problem {
    /// Why something stays.
    init(keeping reasons: [Kept]) {
        let words = reasons.map { "\($0.by.rawValue) (\($0.detail))" }.joined(separator: ", ")
        let code: Code =
            switch reasons.map(\.by).min() {
            case .pin: .pinned
            case .hold: .held
            case .lock, .open, .openerAlive, .cannotTell: .inUse
            default: .kept
            }
        self.init(code, "it stays: \(words)")
    }
}
