internal import GRDB
public import HubCache

/// A policy that was or is in force.
public struct RememberedPolicy: Hashable, Sendable {
    /// A digest of its text, by which versions are told apart.
    public var digest: String
    /// What it said, in whatever form its writer reads again: settings and pins.
    public var document: String
    /// When it came into force.
    public var appliedAt: Timestamp
    /// When another one took its place; nil: it is in force.
    public var replacedAt: Timestamp?

    /// Makes a record of its parts.
    public init(digest: String, document: String, appliedAt: Timestamp, replacedAt: Timestamp? = nil) {
        self.digest = digest
        self.document = document
        self.appliedAt = appliedAt
        self.replacedAt = replacedAt
    }
}

extension Ledger {
    private enum Limits {
        static let digest = 128
        static let scope = 4096
        /// Below what one value may have in the database.
        static let document = 500_000
        /// What rewrites its file every few seconds shall not push out what protects for an hour.
        static let versions = 1000
        /// Clocks are set by minutes without anybody noticing; in nanoseconds.
        static let jump: UInt64 = 600_000_000_000
    }

    // MARK: policy

    /// Says which policy is in force. When it is another one than before, the other was replaced at this time.
    ///
    /// - Parameters:
    ///   - scope: whose policy: an instance's name, a file's path.
    ///   - digest: at most 128 bytes.
    ///   - document: at most 500,000 bytes; of a longer one only the digest is remembered.
    /// - Returns: whether it is remembered.
    @discardableResult
    public func notePolicy(scope: String, digest: String, document: String, at time: Timestamp) -> Bool {
        guard Self.isText(scope, atMost: Limits.scope), Self.isText(digest, atMost: Limits.digest),
            time.nanoseconds > 0
        else { return false }
        if policies(scope: scope).first(where: { $0.replacedAt == nil })?.digest == digest { return true }
        let isLong = document.utf8.count > Limits.document || document.utf8.contains(0)
        let isDone: Void? = write { database in
            let replacing = try RawStatement(
                database,
                """
                UPDATE policy_seen SET replaced_at = max(?3, applied_at)
                WHERE scope = ?1 AND digest <> ?2 AND replaced_at IS NULL
                """)
            defer { replacing.finish() }
            try replacing.bind(scope, at: 1)
            try replacing.bind(digest, at: 2)
            try replacing.bind(time.nanoseconds, at: 3)
            try replacing.run()
            let statement = try RawStatement(
                database,
                "INSERT OR REPLACE INTO policy_seen (scope, digest, document, applied_at) VALUES (?1, ?2, ?3, ?4)")
            defer { statement.finish() }
            try statement.bind(scope, at: 1)
            try statement.bind(digest, at: 2)
            try statement.bind(isLong ? "" : document, at: 3)
            try statement.bind(time.nanoseconds, at: 4)
            try statement.run()
            let pruning = try RawStatement(
                database,
                """
                DELETE FROM policy_seen WHERE scope = ?1 AND replaced_at IS NOT NULL AND digest NOT IN (
                    SELECT digest FROM policy_seen WHERE scope = ?1 ORDER BY applied_at DESC LIMIT \(Limits.versions))
                """)
            defer { pruning.finish() }
            try pruning.bind(scope, at: 1)
            try pruning.run()
        }
        return isDone != nil
    }

    /// Says that what other scopes have in force counts no more: another file is the policy from now on.
    ///
    /// - Returns: those that were replaced by this.
    public func replacePolicies(besides scope: String, at time: Timestamp) -> [RememberedPolicy] {
        let others: [String] = read([]) { database in
            let statement = try RawStatement(
                database, "SELECT scope FROM policy_seen WHERE scope <> ?1 AND replaced_at IS NULL LIMIT 100")
            defer { statement.finish() }
            try statement.bind(scope, at: 1)
            var found: [String] = []
            while try statement.step() {
                if let other = statement.text(at: 0, maximumBytes: Limits.scope) { found.append(other) }
            }
            return found
        }
        let replaced = others.flatMap { policies(scope: $0).filter { $0.replacedAt == nil } }.map { policy in
            var policy = policy
            policy.replacedAt = time
            return policy
        }
        if others.isEmpty { return [] }
        // Under the scope that takes their place they go on protecting after a restart.
        let _: Void? = write { database in
            for policy in replaced {
                let copying = try RawStatement(
                    database,
                    """
                    INSERT OR REPLACE INTO policy_seen (scope, digest, document, applied_at, replaced_at)
                    VALUES (?1, ?2, ?3, ?4, max(?5, ?4))
                    """)
                defer { copying.finish() }
                try copying.bind(scope, at: 1)
                try copying.bind(policy.digest, at: 2)
                try copying.bind(policy.document, at: 3)
                try copying.bind(policy.appliedAt.nanoseconds, at: 4)
                try copying.bind(time.nanoseconds, at: 5)
                try copying.run()
            }
            let statement = try RawStatement(
                database,
                "UPDATE policy_seen SET replaced_at = max(?2, applied_at) WHERE scope <> ?1 AND replaced_at IS NULL")
            defer { statement.finish() }
            try statement.bind(scope, at: 1)
            try statement.bind(time.nanoseconds, at: 2)
            try statement.run()
        }
        return replaced
    }

    /// The policies of a scope, the last one first; at most 1,000 are remembered.
    ///
    /// One that came into force again has the time of the last time.
    public func policies(scope: String) -> [RememberedPolicy] {
        guard Self.isText(scope, atMost: Limits.scope) else { return [] }
        let latest = latestBelievable
        return read([]) { database in
            let statement = try RawStatement(
                database,
                """
                SELECT digest, document, applied_at, replaced_at FROM policy_seen WHERE scope = ?1
                ORDER BY replaced_at IS NOT NULL, applied_at DESC LIMIT \(Limits.versions + 1)
                """)
            defer { statement.finish() }
            try statement.bind(scope, at: 1)
            var found: [RememberedPolicy] = []
            while try statement.step() {
                guard let digest = statement.key(at: 0, maximumBytes: Limits.digest),
                    let document = statement.text(at: 1, maximumBytes: Limits.document),
                    let appliedAt = statement.time(at: 2, latest: latest)
                else { continue }
                let replacedAt = statement.time(at: 3, latest: latest)
                guard replacedAt != nil || statement.isNull(at: 3) else { continue }
                found.append(
                    RememberedPolicy(
                        digest: digest, document: document, appliedAt: appliedAt, replacedAt: replacedAt))
            }
            return found
        }
    }

    // MARK: clock

    /// The clocks as the last run saw them: a clock that shows less was set back, or was never right.
    public var lastClock: ClockReading? {
        read(nil) { database in
            let statement = try RawStatement(database, "SELECT seen_at, since_boot, boot FROM clock WHERE id = 1")
            defer { statement.finish() }
            guard try statement.step(), let time = statement.time(at: 0, latest: .max),
                let sinceBoot = statement.time(at: 1, latest: .max),
                let boot = statement.text(at: 2, maximumBytes: Limits.digest)
            else { return nil }
            return ClockReading(time: time, sinceBoot: sinceBoot.nanoseconds, bootID: boot)
        }
    }

    /// Says what time it is. Written once a minute at most.
    ///
    /// To be called only with a reading that was judged by `lastClock` and found right, or while the system follows a
    /// reference: a wrong time that is written here makes the next run take it for right, and the right one for wrong. What
    /// shows by itself is held back: without a reference nothing that is behind the last reading is written, and within one
    /// start of the machine nothing that has moved by more than ten minutes against the time since then.
    ///
    /// - Parameter isTrusted: whether the clock follows a reference (synchronised): then it also corrects a time that a wrong
    ///   clock left behind.
    public func note(clock reading: ClockReading, isTrusted: Bool) {
        guard reading.time.nanoseconds > 0, reading.sinceBoot >= 0, Self.isText(reading.bootID, atMost: Limits.digest)
        else { return }
        if let last = lastClock {
            // Both are positive: no difference overflows.
            let age = reading.time.nanoseconds - last.time.nanoseconds
            if !isTrusted {
                if age < 0 { return }
                let (jump, overflow) = age.subtractingReportingOverflow(reading.sinceBoot - last.sinceBoot)
                if last.bootID == reading.bootID, overflow || jump.magnitude > Limits.jump { return }
            }
            if age >= 0, age < 60_000_000_000, last.bootID == reading.bootID { return }
        }
        let _: Void? = write { database in
            let statement = try RawStatement(
                database, "INSERT OR REPLACE INTO clock (id, seen_at, since_boot, boot) VALUES (1, ?1, ?2, ?3)")
            defer { statement.finish() }
            try statement.bind(reading.time.nanoseconds, at: 1)
            try statement.bind(reading.sinceBoot, at: 2)
            try statement.bind(reading.bootID, at: 3)
            try statement.run()
        }
    }
}
