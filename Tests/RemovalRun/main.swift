internal import CacheScan
internal import Glibc
internal import HubCache
internal import LinuxIO
internal import Removal
internal import Synchronization

// Runs one removal or recovery and kills itself at a step, for the tests of what a crash leaves.
//
//     RemovalRun CACHE STEP SETTLE recover
//     RemovalRun CACHE STEP SETTLE remove (FOLDER@COMMIT | FOLDER! | FOLDER)…
//
// STEP counts from 1; with 0 nothing kills. SETTLE is in milliseconds. `FOLDER!` is all of a whole repo, `FOLDER` its orphans and
// partial downloads. Consecutive commits of one folder are one request. Prints a line for each step, outcome and event.
// It is no part of the program: no product has it.

let arguments = CommandLine.arguments
guard arguments.count >= 5, let killAt = Int(arguments[2]), let settle = Int(arguments[3]) else {
    say("usage: RemovalRun CACHE STEP SETTLE remove|recover ITEM…")
    exit(64)
}

@Sendable func say(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
}

func inventory(of folder: BytePath, in root: CacheRoot) -> RepoInventory? {
    let scan = CacheScan(root: root)
    guard let listing = try? scan.list(), let repo = listing.repos.first(where: { $0.folder == folder }) else {
        return nil
    }
    return scan.scanRepo(repo, store: listing.store)
}

func leftovers(of repo: RepoInventory) -> [RemovalItem] {
    var linked: Set<BytePath> = []
    for snapshot in repo.snapshots {
        for file in snapshot.files { if case .blob(let name) = file.link { linked.insert(repo.end(ofBlob: name)) } }
    }
    let orphans = repo.blobs.filter { !linked.contains($0.key) }.sorted { $0.key < $1.key }
    return orphans.map { .orphanBlob(name: $0.key, stat: $0.value.stat) }
        + repo.partials.map { .partial(name: $0.name, stat: $0.stat) }
}

final class Counter: Sendable {
    private let value = Mutex(0)

    func next() -> Int {
        value.withLock {
            $0 += 1
            return $0
        }
    }
}

do {
    let root = try CacheRoot(opening: BytePath(arguments[1]))
    let counter = Counter()
    let remover = Remover(
        root: root, settle: .milliseconds(settle), reproof: { _, _, _ in [] },
        inUse: { key, _ in OpenFileScan.shared.answer(for: key) }, assumesUnused: { _, _ in false },
        cancellation: Cancellation(),
        event: { event in
            if case .left(let path, let reason) = event { say("left \(path.display): \(reason)") }
        },
        step: { step in
            say("step \(step.rawValue)")
            if counter.next() == killAt { kill(getpid(), SIGKILL) }
        })
    if arguments[4] == "recover" {
        for outcome in try remover.recover() {
            say("recovered \(outcome.folder.display) \(outcome.operation.display): \(outcome.result)")
        }
        exit(0)
    }
    var requests: [RemovalRequest] = []
    for argument in arguments[5...] {
        let parts = argument.split(separator: "@")
        if parts.count == 2, let commit = CommitHash(parts[1]) {
            let item = RemovalItem.revision(commit, identity: nil)
            if let last = requests.indices.last, requests[last].folder == BytePath(parts[0]) {
                requests[last].items.append(item)
            } else {
                requests.append(RemovalRequest(folder: BytePath(parts[0]), items: [item]))
            }
        } else if argument.hasSuffix("!") {
            let folder = BytePath(argument.dropLast())
            var items: [RemovalItem] = []
            if let repo = inventory(of: folder, in: root) {
                items = repo.snapshots.compactMap(\.commit).map { .revision($0, identity: nil) } + leftovers(of: repo)
            }
            requests.append(RemovalRequest(folder: folder, items: items, isWholeRepo: true))
        } else if let repo = inventory(of: BytePath(argument), in: root) {
            requests.append(RemovalRequest(folder: repo.folder, items: leftovers(of: repo)))
        }
    }
    for outcome in remover.remove(requests) { say("outcome \(outcome.result)") }
} catch {
    say("error \(error)")
    exit(74)
}
