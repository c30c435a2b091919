import CacheScan
import HubCache
import Ledger

/// Opens the ledger: after the targets are known, since root may only then know as whom it works.
func openLedger(besides roots: [CacheRoot]) -> Ledger {
    let directory = ledgerFolder(for: roots)
    if roots.contains(where: { root in directory.map { $0.relative(to: root.path) != nil } ?? false }) {
        // Nothing of ours is ever kept in a cache.
        Terminal.complain("the state folder lies in the cache: nothing is remembered; see XDG_STATE_HOME")
        return Ledger.disabled
    }
    let ledger = Ledger.open(directory: directory, programVersion: Version.text)
    if case .unavailable = ledger.availability {
        // Who relies on a wrong digest being known must not take silence for a proof.
        Terminal.complainOnce(
            "nothing is remembered here, and no digest error that an earlier run proved is known: 'hfjanitor verify --depth "
                + "digests' finds them anew")
    }
    return ledger
}

/// The folder of the ledger: that of this user's daemon which watches one of the caches, so that both know the same, whatever
/// the service manager gave the daemon for a state folder; else this user's own.
private func ledgerFolder(for roots: [CacheRoot]) -> BytePath? {
    let environment = Terminal.environment
    let own = LedgerLocation.directory(environment: environment)
    // A service has a folder of its own.
    guard environment["STATE_DIRECTORY"] == nil else { return own }
    let watching = RunningDaemon.all().first { daemon in
        daemon.isOwn && daemon.caches.contains { cache in roots.contains { $0.path == BytePath(cache.path) } }
    }
    return watching?.state.map { BytePath($0) } ?? own
}
