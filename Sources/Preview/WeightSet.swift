public import HubCache
public import HubClient
internal import WeightFormats

/// Weight files of a repo that are loaded together: an index's shards, a numbered set, or one file alone.
public struct WeightSet: Sendable, Hashable {
    /// Where it is and what it is called: the index, the first file of a numbered set, or the file.
    public var name: BytePath
    /// What its files are.
    var format: WeightFormat
    /// Its files.
    public var files: [HubTreeFile]
    /// Files that its index names and the repo does not have.
    public var missing: [BytePath] = []

    /// What its files are, such as `safetensors`.
    public var formatName: String { format.rawValue }
    /// The bytes of its files.
    public var bytes: UInt64 { files.reduce(0) { $0.addingUpTo($1.size) } }
    /// The folder it is in; empty for the repo's own.
    var folder: BytePath { name.parent }
}

extension WeightSet {
    /// Finds the weight sets among files.
    ///
    /// - Parameters:
    ///   - files: what is looked at; nothing else is in the sets.
    ///   - known: every path of the repo.
    ///   - shards: of every index of the repo, the paths of the shards it names.
    /// - Returns: in order of their names, each file in one set at most.
    static func find(
        in files: [HubTreeFile], known: Set<BytePath>, shards: [BytePath: [BytePath]]
    ) -> [WeightSet] {
        var rest: [BytePath: HubTreeFile] = [:]
        for file in files where WeightFormat(fileName: file.path.lastComponent.bytes) != nil { rest[file.path] = file }
        var sets: [WeightSet] = []
        for (index, names) in shards.sorted(by: { $0.key < $1.key }) {
            guard let format = IndexFileName(index.lastComponent.bytes)?.format else { continue }
            let found = names.compactMap { rest.removeValue(forKey: $0) }
            guard !found.isEmpty else { continue }
            var set = WeightSet(name: index, format: format, files: found)
            set.missing = names.filter { !known.contains($0) }
            sets.append(set)
        }
        var numbered: [[BytePath]: [HubTreeFile]] = [:]
        for file in rest.values.sorted(by: { $0.path < $1.path }) {
            let name = file.path.lastComponent
            guard let shard = ShardFileName(name.bytes) else {
                sets += [WeightSet(file)].compactMap(\.self)
                continue
            }
            let key = [shard.prefix, [shard.key.separator], shard.key.totalText, shard.suffix]
            numbered[[file.path.parent] + key.map { BytePath(bytes: $0) }, default: []].append(file)
        }
        for files in numbered.values {
            guard var set = files.first.flatMap({ WeightSet($0) }) else { continue }
            set.files = files
            sets.append(set)
        }
        return sets.sorted { $0.name < $1.name }
    }

    private init?(_ file: HubTreeFile) {
        guard let format = WeightFormat(fileName: file.path.lastComponent.bytes) else { return nil }
        self.init(name: file.path, format: format, files: [file])
    }

    /// The sets that a program loads which is given the whole repo: one for each component of a diffusers pipeline,
    /// else one.
    ///
    /// A repo has the same weights in several formats or precisions. Those in safetensors under the usual name come
    /// first; of what is alike otherwise (the quantisations of a GGUF repo) the largest.
    ///
    /// - Parameter components: the folders that a pipeline's `model_index.json` names.
    static func main(of sets: [WeightSet], components: Set<BytePath>) -> [WeightSet] {
        let parts = Dictionary(grouping: sets.filter { components.contains($0.folder) }, by: \.folder)
        if !parts.isEmpty {
            return parts.values.compactMap { $0.min(by: isPreferred) }.sorted { $0.name < $1.name }
        }
        let own = sets.filter(\.folder.isEmpty)
        return [(own.isEmpty ? sets : own).min(by: isPreferred)].compactMap(\.self)
    }

    private static func isPreferred(_ one: WeightSet, _ other: WeightSet) -> Bool {
        let ranks = (one.rank, other.rank)
        if ranks.0 != ranks.1 { return ranks.0 < ranks.1 }
        if one.bytes != other.bytes { return one.bytes > other.bytes }
        return one.name < other.name
    }

    /// What is loaded first has the lowest.
    private var rank: Int {
        let formats: [WeightFormat] = [.safetensors, .torch, .gguf]
        let formatRank = formats.firstIndex(of: format) ?? formats.count
        return formatRank * 4 + (hasUsualName ? isVariant ? 1 : 0 : 2)
    }

    private static let usualNames = ["model", "pytorch_model", "diffusion_pytorch_model", "adapter_model"]

    private var stem: String {
        let name = self.name.lastComponent.bytes
        if let shard = ShardFileName(name) { return String(decoding: shard.prefix, as: UTF8.self) }
        return String(decoding: name.prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)
    }

    private var hasUsualName: Bool { Self.usualNames.contains(stem) }

    /// Whether there is something between name and extension, such as `fp16`.
    private var isVariant: Bool {
        let name = self.name.lastComponent.bytes
        if let index = IndexFileName(name) { return index.variant != nil }
        if let shard = ShardFileName(name) { return shard.suffix.count { $0 == UInt8(ascii: ".") } > 1 }
        return name.count { $0 == UInt8(ascii: ".") } > 1
    }
}
