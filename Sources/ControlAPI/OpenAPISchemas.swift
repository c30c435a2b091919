internal import Daemon
internal import HubCache
internal import Verification

/// The shapes of what is answered, as JSON Schema.
enum OpenAPISchemas {
    typealias Keys = [(String, JSONValue)]

    // MARK: building

    static let text = JSONValue.map([("type", .text("string"))])
    static let flag = JSONValue.map([("type", .text("boolean"))])
    static let integer = JSONValue.map([("type", .text("integer"))])
    static let number = JSONValue.map([("type", .text("number"))])
    static let count = JSONValue.map([("type", .text("integer")), ("minimum", .number(0))])
    static let time = JSONValue.map([("type", .text("string")), ("format", .text("date-time"))])
    static let commit = JSONValue.map([("type", .text("string")), ("pattern", .text("^[0-9a-f]{40}$"))])

    static func choice(_ values: [String]) -> JSONValue {
        .map([("type", .text("string")), ("enum", .list(values.map { .text($0) }))])
    }

    static func list(_ items: JSONValue) -> JSONValue { .map([("type", .text("array")), ("items", items)]) }

    /// - Parameter schema: one with a single type.
    static func orNull(_ schema: JSONValue) -> JSONValue {
        .map([("anyOf", .list([schema, .map([("type", .text("null"))])]))])
    }

    /// An object that always has some keys, and may have others.
    static func object(_ keys: Keys, optional: Keys = []) -> JSONValue {
        .map([
            ("type", .text("object")), ("properties", .map(keys + optional)),
            ("required", .list(keys.map { .text($0.0) })),
        ])
    }

    static func map(of values: JSONValue) -> JSONValue {
        .map([("type", .text("object")), ("additionalProperties", values)])
    }

    static func reference(_ name: String) -> JSONValue { .map([("$ref", .text("#/components/schemas/\(name)"))]) }

    /// A document of a command, which says by `schema` which one.
    private static func command(_ schema: String, _ keys: Keys, optional: Keys = []) -> JSONValue {
        object([("schema", .map([("const", .text(schema))]))] + keys, optional: optional)
    }

    // MARK: parts

    private static let modelStatus = choice(["DOWNLOADED", "DOWNLOADING", "PARTIAL", "CORRUPT", "NOT_FOUND"])
    private static let repoType = choice(RepoType.allCases.map(\.rawValue))
    private static let severity = choice(Severity.allCases.map(\.rawValue))

    private static let finding: Keys = [
        ("code", choice(FindingCode.allCases.map(\.rawValue))), ("severity", severity), ("path", text),
    ]
    private static let findingDetails: Keys = [
        ("path_base64", text), ("file", text), ("file_base64", text), ("blob", text), ("expected", text),
        ("actual", text), ("offset", count), ("detail", text),
    ]
    private static let findings = list(object(finding, optional: findingDetails))

    private static let scrub = object(
        [
            ("path", text), ("state", choice(["never", "running", "idle"])), ("repos_done", count),
            ("repos_total", count), ("revisions", count), ("bytes", count),
        ], optional: [("begun", time), ("finished", time), ("cancelled", time), ("next_due", time)])

    private static let reason = object(
        [("fact", text)],
        optional: [
            ("value", .map([("type", .list([.text("integer"), .text("number"), .text("string")]))])),
            ("limit", .map([("type", .list([.text("integer"), .text("number"), .text("string")]))])), ("source", text),
        ])

    private static let forecast = object([("floor_reached", time), ("bytes_per_day", count)])

    // MARK: documents

    private static let history = object([
        (
            "caches",
            list(
                object([
                    ("cache", text), ("path", text),
                    (
                        "samples",
                        list(
                            object([
                                ("time", time), ("free_bytes", count), ("floor_bytes", orNull(count)),
                                ("total_bytes", count), ("cache_bytes", count),
                            ]))
                    ), ("forecast", orNull(forecast)),
                ]))
        )
    ])

    private static let status = command(
        "hfjanitor.status/1",
        [
            (
                "daemon",
                orNull(
                    object([
                        ("pid", count), ("version", text), ("since", time), ("mode", choice(["observe", "enforce"])),
                        ("policy", object([("ok", flag), ("error", orNull(text))])),
                    ]))
            ),
            (
                "caches",
                list(
                    object(
                        [
                            ("path", text), ("states", map(of: count)), ("findings", count), ("in_use_method", text),
                        ],
                        optional: [
                            (
                                "watch",
                                choice([
                                    "inotify", "mixed", "polling", "absent", "unresponsive", "read-only",
                                    "listed-twice",
                                ])
                            ), ("free_bytes", count), ("floor_bytes", count), ("forecast", forecast),
                        ]))
            ),
            (
                "work",
                object([
                    ("queued", count),
                    (
                        "downloads",
                        list(
                            object(
                                [("cache", text), ("repo", text), ("path", text), ("bytes", count)],
                                optional: [("total_bytes", count)]))
                    ), ("scrub", list(scrub)),
                ])
            ), ("next", list(object([("action", text), ("time", time)]))),
            (
                "conditions",
                list(object([("code", text), ("severity", severity), ("since", time), ("message", text)]))
            ),
            (
                "last_pass",
                orNull(
                    object([
                        ("checked", count), ("incomplete", count), ("removed", count), ("bytes", count),
                        ("errors", count),
                    ]))
            ),
        ])

    private static let plan = command(
        "hfjanitor.plan/1",
        [
            ("mode", choice(["observe", "enforce"])), ("time", time),
            (
                "caches",
                list(
                    object(
                        [
                            ("path", text), ("filesystem", text), ("free_bytes", count), ("shortfall_bytes", count),
                            (
                                "actions",
                                list(
                                    object(
                                        [
                                            ("action", text), ("path", text), ("bytes", count),
                                            ("bytes_at_most", flag), ("rule", text), ("reason", reason),
                                        ],
                                        optional: [
                                            ("repo", text), ("commit", commit),
                                            ("hub", choice(["confirmed", "unasked", "refused"])), ("detail", text),
                                        ]))
                            ),
                            (
                                "kept",
                                list(
                                    object(
                                        [("bytes", count), ("by", text), ("detail", text)],
                                        optional: [("repo", text), ("commit", commit), ("path", text)]))
                            ),
                            (
                                "after",
                                object([
                                    ("free_bytes", count), ("free_bytes_if_refused", count), ("reached", flag),
                                ])
                            ), ("notes", list(text)),
                        ], optional: [("min_free_bytes", count), ("target_free_bytes", count)]))
            ),
        ])

    private static let verification = command(
        "hfjanitor.verify/1",
        [
            ("depth", choice(VerificationDepth.allCases.map(\.rawValue))),
            (
                "caches",
                list(
                    object([
                        ("path", text), ("findings", findings),
                        (
                            "repos",
                            list(
                                object([
                                    ("id", text), ("folder", text), ("findings", findings),
                                    (
                                        "revisions",
                                        list(
                                            object([
                                                ("commit", orNull(commit)), ("refs", list(text)),
                                                ("state", choice(RevisionState.allCases.map(\.rawValue))),
                                                ("files", count), ("bytes", count), ("findings", findings),
                                            ]))
                                    ),
                                ]))
                        ),
                    ]))
            ),
            (
                "summary",
                object(
                    [
                        "repos", "revisions", "complete", "partial", "downloading", "corrupt", "unknown",
                        "files_checked", "bytes_checked", "bytes_hashed",
                    ].map { ($0, count) } + [("seconds", number)])
            ),
        ])

    private static let estimate = object(
        [("weights_bytes", count), ("bytes", count)],
        optional: [("fits_ram", flag), ("fits_ram_now", flag), ("fits_one_gpu", flag), ("fits_all_gpus", flag)])

    private static let preview = command(
        "hfjanitor.preview/1",
        [
            ("repo", text), ("revision", text), ("commit", commit),
            (
                "access",
                object([("gated", choice(["false", "auto", "manual"])), ("private", flag), ("disabled", flag)])
            ),
            ("files", count), ("bytes", count),
            (
                "weights",
                list(
                    object([
                        ("name", text), ("format", text), ("files", count), ("bytes", count), ("main", flag),
                    ]))
            ),
            (
                "model",
                object(
                    [("architectures", list(text))],
                    optional: [
                        ("model_type", text), ("context_length", count), ("dtype", text), ("quantization", text),
                        ("adapter_type", text), ("base_model", text),
                    ])
            ), ("custom_code", object([("needed", flag), ("python_files", count)])),
            (
                "disk",
                object([
                    ("cache", text), ("here_bytes", count), ("missing_bytes", count), ("free_bytes", count),
                    ("floor_bytes", count), ("floor", choice(["critical-free", "min-free"])), ("fits", flag),
                ])
            ), ("notes", list(text)),
        ],
        optional: [
            ("license", text),
            (
                "parameters", object([("total", count), ("by_dtype", map(of: count)), ("estimated", flag)])
            ),
            (
                "memory",
                object(
                    [("overhead_percent", count)],
                    optional: ["stored", "fp16", "int8", "int4"].map { ($0, estimate) })
            ),
            (
                "ram",
                object([("total_bytes", count), ("available_bytes", count)], optional: [("limit_bytes", count)])
            ),
            (
                "gpus",
                list(object([("name", text)], optional: [("total_bytes", count), ("free_bytes", count)]))
            ), ("gpu_bytes", count), ("error_code", text), ("error_message", text),
        ])

    private static let progress = object([
        ("start_time", time), ("elapsed_seconds", count), ("bytes", count), ("total_bytes", orNull(count)),
        ("bytes_per_second", orNull(count)), ("eta_seconds", orNull(count)),
    ])

    private static let transfer = object([
        ("task_id", text), ("kind", choice(TransferReport.Kind.allCases.map(\.rawValue))), ("own", flag),
        ("cache", text), ("model", orNull(text)), ("type", orNull(repoType)), ("revision", orNull(text)),
        ("commit", orNull(commit)), ("include", list(text)), ("exclude", list(text)),
        ("status", choice(TransferReport.State.allCases.map { $0.rawValue.uppercased() })),
        ("progress", reference("Progress")), ("ended", orNull(time)),
        ("files", orNull(object([("repaired", count), ("left", count), ("failed", count)]))),
        ("error_code", orNull(text)), ("error_message", orNull(text)),
    ])

    private static let space = object([
        ("cache_size_bytes", count), ("available_bytes", orNull(count)), ("cache_path", orNull(text)),
        (
            "caches",
            list(
                object([
                    ("id", text), ("cache_path", text), ("watch", text), ("cache_size_bytes", count),
                    ("available_bytes", orNull(count)), ("floor_bytes", orNull(count)), ("reclaimable_bytes", count),
                ]))
        ),
    ])

    private static let problem = object([
        ("type", text), ("title", text), ("status", count),
        ("code", choice(Problem.Code.allCases.map(\.rawValue))), ("detail", text),
    ])

    /// All of them, by name.
    static let all: Keys = [
        (
            "Document",
            object([
                ("openapi", text), ("info", object([("title", text), ("version", text)])),
                ("paths", map(of: object([]))),
                ("components", object([])),
            ])
        ), ("Text", text), ("Health", object([("status", choice(["ok", "starting"]))])),
        ("Reloaded", object([("status", choice(["applied"]))])),
        (
            "Removed",
            object([
                ("status", choice(["deleted", "cancelled"])), ("bytes", orNull(count)), ("kept", orNull(text)),
            ])
        ), ("Status", status), ("Scrubs", command("hfjanitor.scrub/1", [("caches", list(scrub))])),
        (
            "Findings",
            command(
                "hfjanitor.findings/1",
                [
                    (
                        "caches",
                        list(
                            object([
                                ("id", text), ("path", text),
                                (
                                    "findings",
                                    list(
                                        object(
                                            finding,
                                            optional: findingDetails + [("repo", text), ("commit", commit)]))
                                ),
                            ]))
                    )
                ])
        ), ("History", history), ("Plan", plan), ("Verification", verification), ("Preview", preview),
        (
            "Models",
            object([
                (
                    "models",
                    list(object([("model", text), ("type", text), ("cache", text), ("status", modelStatus)]))
                )
            ])
        ),
        (
            "ModelStatus",
            object([
                ("model", text), ("type", repoType), ("status", modelStatus),
                ("progress", orNull(reference("Progress"))), ("error_code", orNull(text)),
                ("error_message", orNull(text)),
            ])
        ), ("Progress", progress),
        (
            "BegunDownload",
            object([("task_id", text), ("status", choice(["DOWNLOADING"])), ("joined", flag)])
        ),
        (
            "BegunRepairs",
            object([
                (
                    "tasks",
                    list(
                        object([
                            ("task_id", text), ("cache", text), ("model", orNull(text)), ("type", orNull(repoType)),
                            ("joined", flag),
                        ]))
                )
            ])
        ), ("Downloads", object([("downloads", list(transfer))])), ("Space", space), ("Problem", problem),
    ]
}
