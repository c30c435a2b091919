internal import CacheScan
internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// The paths that a commit's offline manifest names.
///
/// - Returns: nil when there is no manifest, or none that can be used.
func manifestNames(of commit: CommitHash, in folders: RepoFolders) -> Set<BytePath>? {
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
    guard let manifest = try? parser.finish() else { return nil }
    return Set(manifest.files.map { BytePath(bytes: $0.path) })
}
