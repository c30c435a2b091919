internal import HubCache
internal import LinuxIO

extension RepoFolders {
    /// The commit's manifest and markers, and the empty folders in the snapshot's place.
    func unlinkWhatBelongs(to commit: CommitHash, manifest: ParkedIdentity?, steps: Steps) throws(SystemCallFailure)
        -> UInt64
    {
        var bytes: UInt64 = 0
        let name = BytePath(commit.hex)
        if let snapshots = try openIfPresent("snapshots"), let there = try snapshots.statIfPresent(name) {
            guard there.kind == .directory else { return 0 }
            let walk = try SnapshotWalk(of: try snapshots.open(name, options: [.directory, .keepAccessTime]))
            // Somebody has put something there: the revision is in use again, and so is what belongs to it.
            guard walk.files.isEmpty else { return 0 }
            for folder in walk.folders.reversed() {
                let place = name.appending(folder.path)
                guard let parent = try openIfPresent(BytePath("snapshots").appending(place.parent)) else {
                    continue
                }
                if try parent.removeFolderIfEmpty(place.lastComponent) { steps.reached(.folderRemoved) }
            }
        }
        if let identity = manifest, let trees = try openIfPresent("trees") {
            let file = BytePath(commit.hex + ".json")
            if let stat = try trees.statIfPresent(file), ParkedIdentity(stat) == identity {
                try trees.unlinkIfPresent(file)
                bytes &+= stat.freed
                steps.reached(.manifestUnlinked)
            }
        }
        try unlinkMarkers(name, &bytes, steps)
        return bytes
    }

    private func unlinkMarkers(_ commit: BytePath, _ bytes: inout UInt64, _ steps: Steps) throws(SystemCallFailure) {
        let place = BytePath(".no_exist").appending(commit)
        guard let top = try openIfPresent(".no_exist"),
            try top.statIfPresent(commit)?.kind == .directory, let folder = try openIfPresent(place)
        else { return }
        let walk: SnapshotWalk
        do throws(SystemCallFailure) { walk = try SnapshotWalk(of: folder) } catch { return }
        for file in walk.files where file.stat.kind == .regular && file.stat.size == 0 {
            guard let parent = try openIfPresent(place.appending(file.path.parent)) else { continue }
            if try parent.unlinkIfPresent(file.path.lastComponent) { steps.reached(.markerUnlinked) }
        }
        for folder in walk.folders.reversed() {
            let here = place.appending(folder.path)
            guard let parent = try openIfPresent(here.parent) else { continue }
            if try parent.removeFolderIfEmpty(here.lastComponent) {
                bytes &+= folder.stat.allocated
                steps.reached(.folderRemoved)
            }
        }
    }
}
