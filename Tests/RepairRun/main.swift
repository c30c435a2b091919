internal import CacheScan
internal import Glibc
internal import HubCache
internal import HubClient
internal import Ledger
internal import LinuxIO
internal import Repair
internal import Synchronization
internal import Verification

// Fetches or repairs and kills itself at a step, for the tests of what a crash leaves.
//
//     RepairRun CACHE STEP HUB fetch|repair REPO
//
// STEP counts from 1; with 0 nothing kills. HUB is the Hub's URL. Prints a line for each step and outcome. It is no part of the
// program: no product has it.

let arguments = CommandLine.arguments
guard arguments.count == 6, let killAt = Int(arguments[2]), let repo = RepoID(type: .model, name: arguments[5]) else {
    say("usage: RepairRun CACHE STEP HUB fetch|repair REPO")
    exit(64)
}

@Sendable func say(_ text: String) {
    let bytes = Array((text + "\n").utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(STDOUT_FILENO, $0.baseAddress, $0.count) }
}

let count = Mutex(0)

@Sendable func reached(_ step: RepairStep) {
    say("step \(step.rawValue)")
    let number = count.withLock {
        $0 += 1
        return $0
    }
    if number == killAt { kill(getpid(), SIGKILL) }
}

do {
    let root = try CacheRoot(opening: BytePath(arguments[1]))
    let hub = HubClient(
        environment: HubEnvironment(environment: ["HF_ENDPOINT": arguments[3]]), health: HubHealth())
    let settings = RepairSettings(criticalFree: 0)
    if arguments[4] == "fetch" {
        let outcome = try Fetcher(root: root, settings: settings, threads: 1, step: reached)
            .fetch(FetchRequest(repo: repo), from: hub)
        for file in outcome.files { say("outcome \(file.path.display) \(file.means.rawValue)") }
    } else {
        let report = try Verifier(root: root, options: VerificationOptions(depth: .digests)).verify(.repo(repo, nil))
        let repairer = Repairer(root: root, settings: settings, ledger: .disabled, step: reached)
        for result in repairer.repair(report.map { repairer.plan($0) } ?? [], from: hub) {
            say("outcome \(result.item.file.path.display) \(result.outcome)")
        }
    }
} catch {
    say("error \(error)")
    exit(74)
}
