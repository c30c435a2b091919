internal import Daemon
internal import Documents
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import SystemdSupport

// Downloads, previews and repairs.
extension Endpoint {
    static func transferEndpoints(_ desk: DaemonDesk) -> [Endpoint] {
        [
            Endpoint(
                method: .post, path: "/api/models/download",
                summary: "Downloads a revision, or joins the download of it that runs. Answers once it is known that "
                    + "there are a place and room for it; how far it is, /api/models/status and /api/events tell. Asked "
                    + "for again after it failed, it goes on with what came.",
                body: modelParameters + fileParameters + [tokenParameter], answerStatus: .accepted,
                answerSchema: "BegunDownload",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .notAllowed, .gated, .invalidToken,
                    .repoNotFound, .revisionNotFound, .entryNotFound, .alreadyDownloading, .downloadCancelled, .inUse,
                    .downloadLimitReached, .busy, .rateLimited, .insufficientDisk, .network, .digestMismatch,
                    .incompleteDownload, .offline, .unavailable,
                ]
            ) { request, _ in
                let body = try await RequestBody(
                    of: request, keys: RequestBody.modelKeys.union(["include", "exclude", "hf_token"]))
                switch try await desk.download(try body.downloadRequest()) {
                case .success(let begun):
                    return .json(
                        .map([
                            ("task_id", .text(begun.task)), ("status", .text(ModelStatus.downloading.rawValue)),
                            ("joined", .flag(begun.joined)),
                        ]), status: .accepted)
                case .failure(let refusal): throw Problem(refusal)
                }
            },
            Endpoint(
                method: .post, path: "/api/models/preview",
                summary: "What a repo on the Hub is, and whether it fits here: hfjanitor.preview/1. The owner's token "
                    + "is used only where 'control: allow-fetch' is set.",
                body: modelParameters + fileParameters + [tokenParameter], answerSchema: "Preview",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .gated, .invalidToken, .repoNotFound,
                    .revisionNotFound, .entryNotFound, .downloadCancelled, .busy, .rateLimited, .network,
                    .digestMismatch, .incompleteDownload, .offline, .unavailable,
                ]
            ) { request, _ in
                let body = try await RequestBody(
                    of: request, keys: RequestBody.modelKeys.union(["include", "exclude", "hf_token"]))
                switch try await desk.preview(try body.downloadRequest()) {
                case .success(let asked): return .json(PreviewDocument(asked.preview, asked.revision, asked.room))
                case .failure(let refusal): throw Problem(refusal)
                }
            },
            Endpoint(
                method: .post, path: "/api/repair",
                summary: "Begins to repair what is missing or corrupt, of a repo, a revision, a cache or, with no "
                    + "body, everything: one task a repo that is named, else one a cache. /api/downloads tells what "
                    + "they come to.",
                body: modelParameters.map { parameter in
                    var parameter = parameter
                    parameter.isRequired = false
                    return parameter
                } + [tokenParameter], answerStatus: .accepted, answerSchema: "BegunRepairs",
                problems: [
                    .invalidRequest, .invalidRepoID, .unknownCache, .tooLarge, .notAllowed, .modelNotFound, .busy,
                    .unavailable,
                ]
            ) { request, _ in
                let body = try await RequestBody(of: request, keys: RequestBody.modelKeys.union(["hf_token"]))
                switch try await desk.repair(try body.repairRequest()) {
                case .success(let begun): return .json(.map([("tasks", .list(begun.map(document)))]), status: .accepted)
                case .failure(let refusal): throw Problem(refusal)
                }
            },
            Endpoint(
                method: .get, path: "/api/downloads",
                summary: "The downloads and repairs that run, and the last that ended, the newest first.",
                answerSchema: "Downloads"
            ) { _, _ in
                .json(.map([("downloads", .list(try await desk.transfers().map(document)))]))
            },
        ]
    }

    static let tokenParameter = Parameter(
        name: "hf_token", meaning: "The caller's own token of the Hub, kept in memory for this job alone.",
        kind: .token)
    static let fileParameters = [
        Parameter(name: "include", meaning: "Patterns of the files that are wanted; none: all.", kind: .texts),
        Parameter(name: "exclude", meaning: "Patterns of files that are not wanted.", kind: .texts),
    ]

    // MARK: documents

    private static func textOrNull(_ text: String?) -> JSONValue { text.map { .text($0) } ?? .null }
    private static func countOrNull(_ number: UInt64?) -> JSONValue { number.map { .count($0) } ?? .null }

    private static func document(_ begun: BegunRepair) -> JSONValue {
        .map([
            ("task_id", .text(begun.transfer.task)), ("cache", .text(begun.cache)),
            ("model", textOrNull(begun.repo?.name)), ("type", textOrNull(begun.repo?.type.rawValue)),
            ("joined", .flag(begun.transfer.joined)),
        ])
    }

    /// What it is.
    private static func names(_ report: TransferReport) -> [(String, JSONValue)] {
        let names = report.repo.map(parts)
        return [
            ("task_id", .text(report.task)), ("kind", .text(report.kind.rawValue)), ("cache", .text(report.cache)),
            ("model", textOrNull(names?.name)), ("type", textOrNull(names?.type)),
            ("status", .text(report.state.rawValue.uppercased())),
        ]
    }

    static func document(_ report: TransferReport) -> JSONValue {
        var pairs = names(report)
        pairs += [("own", .flag(report.isOwn)), ("revision", textOrNull(report.revision))]
        pairs += [("commit", textOrNull(report.commit?.hex)), ("progress", document(report.progress))]
        pairs.append(("include", .list(report.include.map { .text($0) })))
        pairs.append(("exclude", .list(report.exclude.map { .text($0) })))
        pairs.append(("ended", textOrNull(report.ended.map(CalendarTime.text))))
        pairs.append(("files", report.files.map(document) ?? .null))
        pairs.append(("error_code", textOrNull(report.error?.code)))
        pairs.append(("error_message", textOrNull(report.error?.message)))
        return .map(pairs)
    }

    private static func document(_ files: TransferReport.Files) -> JSONValue {
        .map([
            ("repaired", .number(Int64(files.repaired))), ("left", .number(Int64(files.left))),
            ("failed", .number(Int64(files.failed))),
        ])
    }

    private static func numbers(_ progress: TransferReport.Progress) -> [(String, JSONValue)] {
        [
            ("bytes", .count(progress.bytes)), ("total_bytes", countOrNull(progress.totalBytes)),
            ("bytes_per_second", countOrNull(progress.bytesPerSecond)),
            ("eta_seconds", countOrNull(progress.remaining)),
        ]
    }

    static func document(_ progress: TransferReport.Progress) -> JSONValue {
        let times: [(String, JSONValue)] = [
            ("start_time", .text(CalendarTime.text(of: progress.start))),
            ("elapsed_seconds", .number(Int64(progress.elapsed))),
        ]
        return .map(times + numbers(progress))
    }

    /// One line of the event `progress`.
    static func eventLine(_ report: TransferReport) -> String {
        JSONValue.map(names(report) + numbers(report.progress)).rendered
    }
}

extension Problem {
    /// Why a transfer is not begun.
    init(_ refusal: TransferRefusal) {
        self.init(Code(rawValue: refusal.code) ?? .failed, refusal.message)
        retryAfter = refusal.retryAfter
    }
}

extension RequestBody {
    func token() throws -> String? { try text("hf_token", most: Self.mostToken) }

    fileprivate func downloadRequest() throws -> DownloadRequest {
        do {
            return try DownloadRequest(
                try requiredModel(), include: try texts("include"), exclude: try texts("exclude"), token: try token())
        } catch let refusal as TransferRefusal {
            throw Problem(refusal)
        }
    }

    fileprivate func repairRequest() throws -> RepairRequest {
        do {
            return try RepairRequest(try model(), cache: try text("cache"), token: try token())
        } catch let refusal as TransferRefusal {
            throw Problem(refusal)
        }
    }
}
