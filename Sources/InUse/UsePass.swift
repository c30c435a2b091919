internal import HubCache
internal import LinuxIO
internal import Synchronization

/// One look at the processes of this machine, shared by all questions of a pass.
///
/// Looking takes some hundred milliseconds on a busy machine, and is out of date when it ends: take a new one before
/// something is removed. It is made when a question first needs it.
public final class UsePass: Sendable {
    private struct Seen {
        var table: ProcessTable?
        var named: NamedRepos?
        var exported: ExportedTrees?
    }

    private let seen = Mutex(Seen())
    let openFiles = OpenFileScan()

    /// Makes a pass that has looked at nothing yet.
    public init() {}

    var table: ProcessTable {
        seen.withLock { seen in
            if let table = seen.table { return table }
            let table = ProcessTable.read()
            seen.table = table
            return table
        }
    }

    var named: NamedRepos {
        let table = table
        return seen.withLock { seen in
            if let named = seen.named { return named }
            let named = NamedRepos(table)
            seen.named = named
            return named
        }
    }

    var exported: ExportedTrees {
        seen.withLock { seen in
            if let exported = seen.exported { return exported }
            let exported = ExportedTrees.current()
            seen.exported = exported
            return exported
        }
    }
}
