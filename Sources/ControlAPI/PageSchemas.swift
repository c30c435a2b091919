internal import Daemon
internal import HubCache
internal import Verification

extension OpenAPISchemas {
    private static let lastUse = object([
        ("time", time), ("source", choice(["open", "atime", "mtime", "ctime", "unwatched"])),
    ])
    private static let state = choice(RevisionState.allCases.map(\.rawValue))

    private static let listedRevision = object(
        [
            ("commit", orNull(commit)), ("refs", list(text)), ("state", state), ("files", count), ("bytes", count),
            ("unique_bytes", count),
        ], optional: [("arrived", time), ("last_use", lastUse)])

    private static let listedRepo = object(
        [
            ("id", text), ("folder", text), ("bytes", count), ("reclaimable_bytes", count), ("pinned", flag),
            ("held", flag), ("revisions", list(listedRevision)),
        ], optional: [("state", state), ("last_use", lastUse)])

    private static let listedCache = object([
        ("path", text), ("bytes", count), ("free_bytes", count), ("reclaimable_bytes", count), ("other_bytes", count),
        ("repos", list(listedRepo)),
        ("leftovers", list(object([("path", text), ("kind", text), ("bytes", count)]))),
    ])

    /// What the page asks, by name.
    static let page: Keys = [
        ("List", object([("schema", .map([("const", .text("hfjanitor.ls/1"))])), ("caches", list(listedCache))])),
        (
            "Removal",
            object([
                ("bytes", count), ("bytes_at_most", flag), ("refusal", orNull(text)),
                ("kept", list(object([("by", text), ("detail", text)]))),
                ("shared_with", list(object([("repo", text), ("commit", commit), ("bytes", count)]))),
            ])
        ),
    ]
}
