import CacheScan
import HubCache
import Ledger

/// Opens the ledger: after the targets are known, since root may only then know as whom it works.
func openLedger(besides roots: [CacheRoot]) -> Ledger {
    let directory = LedgerLocation.directory(environment: Terminal.environment)
    if roots.contains(where: { root in directory.map { $0.relative(to: root.path) != nil } ?? false }) {
        // Nothing of ours is ever kept in a cache.
        Terminal.complain("the state folder lies in the cache: nothing is remembered; see XDG_STATE_HOME")
        return Ledger.disabled
    }
    return Ledger.open(directory: directory, programVersion: Version.text)
}
