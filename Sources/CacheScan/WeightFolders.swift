public import HubCache
public import LinuxIO

/// Finds the folders of weights below one that a policy lists: the folder itself, or, where it only sorts others, those.
public enum WeightFolders {
    /// As in `/srv/models/org/name/variant`.
    static let mostLevels = 4
    static let mostFolders = 10_000
    /// Folders of other folders included.
    static let mostVisited = 100_000
    /// Files of a model; a note beside the models' folders is none.
    static let weightEndings = [
        ".safetensors", ".bin", ".gguf", ".pt", ".pth", ".ckpt", ".onnx", ".index.json", "config.json",
    ]

    /// What there is below a folder.
    public struct Listing: Sendable {
        /// The absolute paths, links resolved, in the order of their names.
        public var folders: [BytePath] = []
        /// Whether there is more than is looked at: 10,000 folders of weights, 100,000 of any kind.
        public var isCut = false
    }

    /// The folders that are or hold a plain folder of weights: those with a model's file in them, or with what the clients record of
    /// a `local_dir`. Links are not followed below the folder that is named.
    ///
    /// - Throws: `SystemCallFailure` when the folder itself is not there, no folder, or may not be read.
    public static func list(below path: BytePath) throws(SystemCallFailure) -> Listing {
        try list(below: path, mostFolders: mostFolders, mostVisited: mostVisited)
    }

    static func list(
        below path: BytePath, mostFolders: Int, mostVisited: Int
    ) throws(SystemCallFailure) -> Listing {
        let root = try CacheRoot(opening: path)
        var found: [BytePath] = []
        var folders: [(location: BytePath, depth: Int)] = [(.empty, 0)]
        var visited = 0
        while let next = folders.popLast() {
            visited += 1
            if found.count == mostFolders || visited > mostVisited { return Listing(folders: found, isCut: true) }
            do throws(SystemCallFailure) {
                let entries = try entries(of: next.location, in: root)
                let isWeights =
                    next.depth == mostLevels
                    || entries.contains { entry in
                        entry.stat.kind == .directory
                            ? entry.name == ".cache" || entry.name == ".git"
                            : weightEndings.contains { entry.name.hasSuffix($0) }
                    }
                if isWeights {
                    found.append(next.location.isEmpty ? root.path : root.path.appending(next.location))
                } else {
                    // What a filesystem keeps for itself is nobody's model.
                    let names = entries.filter { $0.stat.kind == .directory && $0.name != "lost+found" }.map(\.name)
                        .sorted()
                    folders += names.reversed().map { (next.location.appending($0), next.depth + 1) }
                }
            } catch {
                if next.depth == 0 { throw error }
                // Judged as what it is: a folder that cannot be read is told by the verification.
                if !error.isAbsent { found.append(root.path.appending(next.location)) }
            }
        }
        return Listing(folders: found)
    }

    private static func entries(of location: BytePath, in root: CacheRoot) throws(SystemCallFailure) -> [DirectoryEntry]
    {
        if location.isEmpty { return try root.openForListing().listDirectory().entries }
        return try root.open(location, options: [.directory, .keepAccessTime]).listDirectory().entries
    }
}
