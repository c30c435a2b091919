extension Schema {
    /// What retention and repair remember: who used what, what refs named, what the Hub said, what passes came to.
    static let useStep = Step(
        name: "2-use-history-passes",
        objects: [
            (
                "opened",
                """
                CREATE TABLE opened (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    kind INTEGER NOT NULL,
                    name TEXT NOT NULL,
                    opened_at INTEGER NOT NULL,
                    source INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, kind, name)
                ) WITHOUT ROWID
                """
            ),
            (
                "opener",
                """
                CREATE TABLE opener (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    blob TEXT NOT NULL,
                    boot TEXT NOT NULL,
                    pid INTEGER NOT NULL,
                    started INTEGER NOT NULL,
                    seen_at INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, blob, boot, pid, started)
                ) WITHOUT ROWID
                """
            ),
            (
                "watched",
                """
                CREATE TABLE watched (
                    cache TEXT NOT NULL,
                    since INTEGER NOT NULL,
                    last_seen INTEGER NOT NULL,
                    PRIMARY KEY (cache)
                ) WITHOUT ROWID
                """
            ),
            (
                "ref_seen",
                """
                CREATE TABLE ref_seen (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    ref TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    first_seen INTEGER NOT NULL,
                    last_seen INTEGER NOT NULL,
                    moved_at INTEGER,
                    PRIMARY KEY (cache, repo, ref, revision)
                ) WITHOUT ROWID
                """
            ),
            (
                "complete_once",
                """
                CREATE TABLE complete_once (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    first_seen INTEGER NOT NULL,
                    last_seen INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, revision)
                ) WITHOUT ROWID
                """
            ),
            (
                "hub_answer",
                """
                CREATE TABLE hub_answer (
                    repo TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    file TEXT NOT NULL,
                    etag TEXT NOT NULL,
                    endpoint TEXT NOT NULL,
                    answer INTEGER NOT NULL,
                    reason TEXT NOT NULL,
                    asked_at INTEGER NOT NULL,
                    PRIMARY KEY (repo, revision, file)
                ) WITHOUT ROWID
                """
            ),
            (
                "pass",
                """
                CREATE TABLE pass (
                    filesystem INTEGER NOT NULL,
                    ended_at INTEGER NOT NULL,
                    predicted INTEGER NOT NULL,
                    appeared INTEGER NOT NULL,
                    PRIMARY KEY (filesystem, ended_at)
                ) WITHOUT ROWID
                """
            ),
            (
                "repair_attempt",
                """
                CREATE TABLE repair_attempt (
                    cache TEXT NOT NULL,
                    repo TEXT NOT NULL,
                    revision TEXT NOT NULL,
                    file TEXT NOT NULL,
                    attempts INTEGER NOT NULL,
                    reason TEXT NOT NULL,
                    last_at INTEGER NOT NULL,
                    PRIMARY KEY (cache, repo, revision, file)
                ) WITHOUT ROWID
                """
            ),
            (
                "policy_seen",
                """
                CREATE TABLE policy_seen (
                    scope TEXT NOT NULL,
                    digest TEXT NOT NULL,
                    document TEXT NOT NULL,
                    applied_at INTEGER NOT NULL,
                    replaced_at INTEGER,
                    PRIMARY KEY (scope, digest)
                ) WITHOUT ROWID
                """
            ),
            (
                "clock",
                """
                CREATE TABLE clock (
                    id INTEGER NOT NULL,
                    seen_at INTEGER NOT NULL,
                    since_boot INTEGER NOT NULL,
                    boot TEXT NOT NULL,
                    PRIMARY KEY (id)
                ) WITHOUT ROWID
                """
            ),
        ])
}
