internal import CacheScan
package import HubCache
internal import LinuxIO
package import WeightFormats

/// The paths that a commit's offline manifest names.
///
/// - Returns: nil when there is no manifest, or none that can be used.
func manifestNames(of commit: CommitHash, in folders: RepoFolders) -> Set<BytePath>? {
    treeManifest(of: commit, in: folders).map { Set($0.files.map { BytePath(bytes: $0.path) }) }
}

/// A commit's offline manifest.
///
/// - Returns: nil when there is none, or none that can be used.
package func treeManifest(of commit: CommitHash, in folders: RepoFolders) -> TreeManifest? {
    let name = BytePath(commit.hex + ".json")
    guard let trees = try? folders.open("trees"), let stat = try? trees.stat(of: name), stat.kind == .regular,
        let file = try? trees.open(name, options: .keepAccessTime)
    else { return nil }
    var parser = TreeManifestParser(fileSize: stat.size)
    while let demand = parser.demand {
        guard let bytes = try? file.read(at: demand.offset, count: demand.count), bytes.count == demand.count else {
            return nil
        }
        do throws(FormatError) { try parser.consume(bytes.span) } catch { return nil }
    }
    return try? parser.finish()
}
