internal import GRDB

/// What the database looks like, and how it came to.
enum Schema {
    struct Step {
        /// The name under which the database remembers that the step was taken.
        let name: String
        /// The objects it makes: name and statement, the latter exactly as SQLite keeps it.
        let objects: [(name: String, sql: String)]
    }

    /// Every step ever taken, oldest first. Append only: a released step is never changed.
    static let steps: [Step] = [
        Step(
            name: "1-content-headers-partials",
            objects: [
                (
                    "content",
                    """
                    CREATE TABLE content (
                        filesystem INTEGER NOT NULL,
                        inode INTEGER NOT NULL,
                        algorithm INTEGER NOT NULL,
                        size INTEGER NOT NULL,
                        modified INTEGER NOT NULL,
                        changed INTEGER NOT NULL,
                        digest BLOB NOT NULL,
                        mismatched INTEGER,
                        verified_at INTEGER NOT NULL,
                        PRIMARY KEY (filesystem, inode, algorithm)
                    ) WITHOUT ROWID
                    """
                ),
                (
                    "content_mismatched",
                    "CREATE INDEX content_mismatched ON content (filesystem, inode, algorithm) WHERE mismatched = 1"
                ),
                (
                    "header_verdict",
                    """
                    CREATE TABLE header_verdict (
                        filesystem INTEGER NOT NULL,
                        inode INTEGER NOT NULL,
                        size INTEGER NOT NULL,
                        modified INTEGER NOT NULL,
                        changed INTEGER NOT NULL,
                        program_version TEXT NOT NULL,
                        code TEXT NOT NULL,
                        reason TEXT NOT NULL,
                        offset INTEGER,
                        detail TEXT NOT NULL,
                        seen_at INTEGER NOT NULL,
                        PRIMARY KEY (filesystem, inode)
                    ) WITHOUT ROWID
                    """
                ),
                (
                    "partial_seen",
                    """
                    CREATE TABLE partial_seen (
                        cache TEXT NOT NULL,
                        repo TEXT NOT NULL,
                        etag TEXT NOT NULL,
                        first_seen INTEGER NOT NULL,
                        last_seen INTEGER NOT NULL,
                        PRIMARY KEY (cache, repo, etag)
                    ) WITHOUT ROWID
                    """
                ),
            ]),
        useStep,
        scrubStep,
        sweepStep,
        spaceStep,
        askedStep,
    ]

    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator().disablingDeferredForeignKeyChecks()
        for step in steps {
            migrator.registerMigration(step.name) { database in
                for object in step.objects { try database.execute(sql: object.sql) }
            }
        }
        return migrator
    }()

    enum Layout: Equatable {
        /// There is nothing in the database.
        case empty
        /// As this program makes it.
        case current
        /// As an older version of this program made it.
        case older
        /// A newer version of this program was here.
        case newer
        /// Not made by this program.
        case foreign
    }

    /// Tells whose database it is, by the text of its schema alone.
    ///
    /// A name is not enough: a view called `content` could compute rows without end, and a trigger could run on every write.
    static func layout(of database: Database) throws -> Layout {
        let statement = try RawStatement(database, "SELECT type, name, sql FROM sqlite_master LIMIT 1000")
        defer { statement.finish() }
        var found: [String: String] = [:]
        var keepsSteps = false
        while try statement.step() {
            guard let type = statement.text(at: 0, maximumBytes: 16),
                let name = statement.text(at: 1, maximumBytes: 256)
            else { return .foreign }
            // SQLite reserves this prefix for itself: automatic indexes, statistics.
            if name.hasPrefix("sqlite_") { continue }
            if name == migrationsTable {
                // Its text is GRDB's and may differ between GRDB's versions; a table computes nothing.
                guard type == "table" else { return .foreign }
                keepsSteps = true
                continue
            }
            found[name] = statement.text(at: 2, maximumBytes: 4096) ?? ""
        }
        guard keepsSteps else { return found.isEmpty ? .empty : .foreign }
        let known = Set(steps.map(\.name))
        guard let taken = try stepsTaken(database) else { return .foreign }
        guard taken.isSubset(of: known) else { return .newer }
        let done = steps.prefix { taken.contains($0.name) }
        let expected = Dictionary(uniqueKeysWithValues: done.flatMap(\.objects))
        guard taken.count == done.count, found == expected else { return .foreign }
        return done.count == steps.count ? .current : .older
    }

    private static let migrationsTable = "grdb_migrations"

    private static func stepsTaken(_ database: Database) throws -> Set<String>? {
        let statement = try RawStatement(database, "SELECT identifier FROM \(migrationsTable) LIMIT 1000")
        defer { statement.finish() }
        var names: Set<String> = []
        while try statement.step() {
            guard let name = statement.text(at: 0, maximumBytes: 256) else { return nil }
            names.insert(name)
        }
        return names
    }
}
