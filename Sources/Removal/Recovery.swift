internal import CacheScan
internal import HubCache
internal import LinuxIO

/// Finishes or undoes what a run before has left in a repo.
///
/// An intent is believed only when it is a plain file of the repo's owner, who is us, in a real folder of ours that nobody else
/// may write to, and when it is whole; and then every name in it is looked at, and touched only if it is what the intent says.
struct Recovery {
    let context: RemovalContext
    let touched: TouchedFiles

    private static let stranded = "not all of it could go back: its place is taken by something else"

    /// Deals with every operation that is found in a repo.
    func recover(_ folder: BytePath) -> [RecoveryOutcome] {
        let outcomes: [RecoveryOutcome]
        do throws(SystemCallFailure) {
            outcomes = try recoverAll(folder)
        } catch {
            if error.isAbsent { return [] }
            outcomes = [outcome(folder, .empty, .failed(RemovalFailure(error, in: folder)))]
        }
        for outcome in outcomes { context.event(.recovered(outcome)) }
        return outcomes
    }

    private func recoverAll(_ folder: BytePath) throws(SystemCallFailure) -> [RecoveryOutcome] {
        guard let repo = try context.scan(folder) else { return [] }
        // A linked repo is written to only where a policy allows it, which a recovery does not know.
        if repo.stat.kind == .symlink && repo.linkedFolders.isEmpty { return [] }
        let folders = try RepoFolders(root: context.root, inventory: repo)
        guard let stat = try folders.repo.statIfPresent(Intent.parkingFolder) else { return [] }
        let reason: String? =
            if stat.kind != .directory {
                "'\(Intent.parkingFolder.display)' is a \(stat.kind.word)"
            } else if stat.uid != folders.stat.uid || stat.uid != effectiveUser() {
                "'\(Intent.parkingFolder.display)' belongs to uid \(stat.uid)"
            } else if stat.permissions & 0o022 != 0 {
                "'\(Intent.parkingFolder.display)' may be written to by others"
            } else {
                nil
            }
        if let reason { return [outcome(folder, .empty, .left(reason: reason))] }
        let parking = try folders.open(Intent.parkingFolder)
        var outcomes: [RecoveryOutcome] = []
        var known: Set<BytePath> = []
        let entries = try parking.listDirectory().entries.sorted { $0.name < $1.name }
        for entry in entries where entry.name.hasSuffix(".intent") {
            let operation = BytePath(bytes: entry.name.bytes.dropLast(7))
            known.insert(operation)
            let result = recover(operation, entry.stat, folders, &outcomes)
            if let result { outcomes.append(outcome(folder, operation, result)) }
        }
        for entry in entries {
            if let reason = cleanUp(entry, parking, folders, known) {
                outcomes.append(outcome(folder, entry.name, .left(reason: reason)))
            }
        }
        _ = try? folders.repo.removeFolderIfEmpty(Intent.parkingFolder)
        return outcomes
    }

    private func outcome(_ folder: BytePath, _ operation: BytePath, _ result: RecoveryOutcome.Result)
        -> RecoveryOutcome
    {
        RecoveryOutcome(folder: folder, operation: operation, commits: [], result: result)
    }

    /// - Returns: what to say of it; nil when it was said, or when it is gone.
    private func recover(
        _ name: BytePath, _ stat: FileStat, _ folders: RepoFolders, _ outcomes: inout [RecoveryOutcome]
    ) -> RecoveryOutcome.Result? {
        guard Intent.isOperationName(name) else { return .left(reason: "its name is none of an operation") }
        guard stat.kind == .regular, stat.linkCount <= 2, stat.uid == effectiveUser(),
            stat.key.device == folders.stat.key.device, stat.size < UInt64(Intent.sizeLimit)
        else { return .left(reason: "its intent is not a plain file of ours") }
        do throws(SystemCallFailure) {
            let fileName = BytePath(bytes: name.bytes + Array(".intent".utf8))
            let parking = try folders.open(Intent.parkingFolder)
            let file = try parking.openForChange(fileName)
            guard try file.stat().key == stat.key else { return nil }
            guard try file.tryLock() == .locked else { return .live }
            // Somebody has just finished it.
            guard parking.isStill(fileName, file) else { return nil }
            // Published without RENAME_NOREPLACE, and killed between the two names.
            let draft = BytePath(bytes: name.bytes + Array(".draft".utf8))
            if stat.linkCount == 2, try parking.statIfPresent(draft)?.key == stat.key {
                try parking.unlinkIfPresent(draft)
            }
            guard try file.stat().linkCount == 1 else { return .left(reason: "its intent has another name") }
            guard let bytes = try file.readAll(limit: Intent.sizeLimit),
                let record = IntentRecord(decoding: bytes, operation: name)
            else { return .left(reason: "its intent is torn or says what no operation says") }
            guard record.intent.folder == folders.folder else {
                return .left(reason: "its intent is about '\(record.intent.folder.display)'")
            }
            let operation = Operation(
                context: context, folders: folders, touched: touched, intent: record.intent, parking: parking,
                file: file)
            let result = end(operation, record.decision)
            outcomes.append(
                RecoveryOutcome(
                    folder: folders.folder, operation: name, commits: record.intent.revisions.map(\.commit),
                    result: result))
            return nil
        } catch {
            if error.isAbsent { return nil }
            return .failed(RemovalFailure(error, in: folders.folder))
        }
    }

    private func end(_ operation: Operation, _ decision: Decision?) -> RecoveryOutcome.Result {
        do throws(Abandoned) {
            switch decision {
            case .finish(let revisions):
                var finished = try operation.finish(revisions)
                do throws(SystemCallFailure) {
                    try Ending(context: context).conclude(operation, isQuiet: isQuiet(operation), &finished)
                } catch {
                    throw .failed(error)
                }
                return finished.hasLeft ? .left(reason: Self.stranded) : .finished(bytes: finished.total)
            case .undo, nil:
                do throws(SystemCallFailure) {
                    guard try operation.undo() else { return .left(reason: Self.stranded) }
                    try operation.close()
                } catch {
                    throw .failed(error)
                }
                return .undone
            }
        } catch {
            if case .failed(let failure) = error {
                return .failed(RemovalFailure(failure, in: operation.folders.folder))
            }
            return .left(reason: "it changed meanwhile")
        }
    }

    private func isQuiet(_ operation: Operation) -> Bool {
        do throws(Obstacle) {
            return try operation.locks.othersAtWork(besides: .none, oldLocks: []) == nil
        } catch {
            return false
        }
    }

    /// Takes away what no operation knows and nobody needs: drafts of intents that nobody writes, and what operations have
    /// left whose intents are gone.
    ///
    /// - Returns: why something stays that an operation has left.
    private func cleanUp(
        _ entry: DirectoryEntry, _ parking: borrowing OwnedDescriptor, _ folders: RepoFolders, _ known: Set<BytePath>
    ) -> String? {
        let operation = BytePath(bytes: entry.name.bytes.prefix(16))
        if known.contains(operation) || entry.name.hasSuffix(".intent") { return nil }
        if entry.name.hasSuffix(".draft"), entry.name.bytes.count == 22, Intent.isOperationName(operation),
            entry.stat.kind == .regular, entry.stat.uid == effectiveUser()
        {
            guard let file = try? parking.openForChange(entry.name), (try? file.tryLock()) == .locked else {
                return nil
            }
            if parking.isStill(entry.name, file) { _ = try? parking.unlinkIfPresent(entry.name) }
            return nil
        }
        let stray = StrayEntry(context: context, folders: folders, entry: entry)
        // Begun since the folder was listed.
        if stray.isUnderWay(in: parking) || stray.collect(from: parking) { return nil }
        let reason = "no operation knows it"
        context.event(
            .left(path: folders.folder.appending(Intent.parkingFolder).appending(entry.name), reason: reason))
        return stray.isOurs ? reason : nil
    }
}
