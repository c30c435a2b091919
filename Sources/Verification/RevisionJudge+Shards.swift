internal import HubCache
internal import LinuxIO
internal import WeightFormats

/// What indexes and shard sets say that a revision has, against what is here.
extension RevisionJudge {
    // MARK: indexes

    /// The names that some index of a folder covers, so that the folder's shard sets are not judged by name as well.
    private func coveredNames() -> Set<BytePath> {
        var covered: Set<BytePath> = []
        for (position, index) in readIndexes() {
            let home = view.snapshot.files[position].path.parent
            for shard in index.shards { covered.insert(home.appending(BytePath(bytes: shard.nameBytes))) }
        }
        return covered
    }

    private func readIndexes() -> [(position: Int, index: ShardIndex)] {
        view.snapshot.files.indices.compactMap { position in
            guard IndexFileName(view.snapshot.files[position].path.lastComponent.bytes) != nil,
                case .file(let stat, _, _) = contents[position], case .read(let index) = evidence.indexes[stat.key]
            else { return nil }
            return (position, index)
        }
    }

    func judgeIndexes() -> [Finding] {
        var findings: [Finding] = []
        var room = Self.namedIndexShardLimit
        for position in view.snapshot.files.indices {
            let file = view.snapshot.files[position]
            guard IndexFileName(file.path.lastComponent.bytes) != nil,
                case .file(let stat, let location, let blob) = contents[position],
                let found = evidence.indexes[stat.key]
            else { continue }
            switch found {
            case .read(let index):
                findings += judge(index, of: file, stat: stat, location: location, blob: blob, room: &room)
            case .bad(let error):
                // A web page or a pointer in its place is called what it is at the headers depth.
                findings.append(
                    Finding(
                        .indexInvalid, path: location, file: file.path, blob: blob, offset: error.offset,
                        detail: HeaderCheck.sentence(error), content: stat.key))
            case .failed(let failure):
                findings.append(
                    Finding(
                        failure.isPermission ? .unreadable : .readError, path: location, file: file.path, blob: blob,
                        detail: failure.reason, content: stat.key))
            }
        }
        return findings
    }

    private func judge(
        _ index: ShardIndex, of file: SnapshotFile, stat: FileStat, location: BytePath, blob: BytePath?,
        room: inout Int
    ) -> [Finding] {
        var findings: [Finding] = []
        var absent: [BytePath] = []
        var hasAny = false
        for shard in index.shards {
            guard ShardIndex.isSafeShardName(shard.nameBytes) else {
                findings.append(
                    Finding(
                        .indexUnsafePath, path: location, file: file.path, blob: blob,
                        actual: displayText(of: shard.nameBytes.prefix(200)),
                        detail: "a shard name that leaves the folder of its index", content: stat.key))
                continue
            }
            let path = file.path.parent.appending(BytePath(bytes: shard.nameBytes))
            if let position = positions[path] {
                hasAny = true
                findings += misplaced(in: stat.key, shard: position, name: shard.nameBytes)
            } else {
                absent.append(path)
            }
        }
        let manifest = self.manifest
        hasAny = hasAny || absent.contains { hasOrHadPartial($0) }
        guard hasAny || (manifest == nil && !absent.isEmpty && isAnythingArriving) else {
            if !absent.isEmpty {
                findings.append(
                    Finding(
                        .subset, path: location, file: file.path,
                        detail: "none of the \(index.shards.count) shards that it names were fetched"))
            }
            return findings
        }
        var named = absent.prefix(max(1, room)).compactMap { judgeAbsentShard($0, index: file.path) }
        if absent.count > max(1, room), !named.isEmpty {
            named[named.count - 1].detail = "and \(absent.count - max(1, room)) more that '\(file.path.display)' names"
        }
        room -= named.count
        return findings + named
    }

    private func judgeAbsentShard(_ path: BytePath, index: BytePath) -> Finding? {
        let place = folder.appending(path)
        guard let manifest else {
            if isAnythingArriving {
                return Finding(.inFlight, path: place, file: path, detail: "it may be among what is being fetched")
            }
            return Finding(.missingShard, path: place, file: path, detail: "'\(index.display)' names it")
        }
        guard let expected = manifest[path] else {
            return Finding(
                .missingUpstream, path: place, file: path,
                detail: "'\(index.display)' names it and the repo does not have it")
        }
        // A partial of it is reported with the manifest.
        if judgeAbsent(path, expected)?.code == .inFlight { return nil }
        return Finding(
            .missingShard, path: place, file: path, blob: BytePath(expected.expectedDigest),
            expected: String(expected.size), detail: "'\(index.display)' names it")
    }

    private func hasOrHadPartial(_ path: BytePath) -> Bool {
        guard let expected = manifest?[path] else { return false }
        return judgeAbsent(path, expected) != nil
    }

    private func misplaced(in index: FileKey, shard position: Int, name: [UInt8]) -> [Finding] {
        guard case .file(let stat, let location, let blob) = contents[position],
            let detail = evidence.placements[PlacementKey(index: index, shard: stat.key, name: name)] ?? nil
        else { return [] }
        return [
            Finding(
                .tensorMissing, path: location, file: view.snapshot.files[position].path, blob: blob, detail: detail,
                content: stat.key)
        ]
    }

    // MARK: shard sets without an index

    struct ShardSet: Hashable {
        var folder: BytePath
        var key: ShardFileName.SetKey
    }

    /// The families of shard sets of which some are here and no index that is here names any.
    func setsWithoutIndex() -> Set<ShardSet> {
        if view.repo.isSingleFile { return [] }
        var found: Set<ShardSet> = []
        for file in view.snapshot.files {
            guard let name = ShardFileName(file.path.lastComponent.bytes) else { continue }
            found.insert(ShardSet(folder: file.path.parent, key: name.key.family))
        }
        guard !found.isEmpty else { return [] }
        for path in coveredNames() where positions[path] != nil {
            guard let name = ShardFileName(path.lastComponent.bytes) else { continue }
            found.remove(ShardSet(folder: path.parent, key: name.key.family))
        }
        return found
    }

    /// An index that the manifest has and that is not here, though shards of its set are: those who read the model's configuration
    /// find its weights by nothing else. Where the configuration was not fetched either, somebody wanted the weights alone.
    func judgeAbsentIndex(_ path: BytePath, _ expected: ManifestFile, of sets: Set<ShardSet>) -> Finding? {
        guard !sets.isEmpty, let index = IndexFileName(path.lastComponent.bytes) else { return nil }
        let configuration = path.parent.appending("config.json")
        guard positions[configuration] != nil || manifest?[configuration] == nil,
            sets.contains(where: { $0.folder == path.parent && index.isOfSet($0.key, name: path.lastComponent.bytes) })
        else { return nil }
        let place = folder.appending(path)
        if isAnythingArriving {
            return Finding(.inFlight, path: place, file: path, detail: "it may be among what is being fetched")
        }
        return Finding(
            .missingFile, path: place, file: path, blob: BytePath(expected.expectedDigest),
            expected: String(expected.size), detail: "shards are here that only this index places")
    }

    /// Absent shards that name sets claim are named one by one up to this many a revision; what hostile totals claim beyond
    /// is summed up, once a set.
    private static let namedShardLimit = 1000
    /// The same for indexes, the largest of which has so many shards.
    private static let namedIndexShardLimit = 10_000

    func judgeShardSets() -> [Finding] {
        // Of one file that was named alone, nobody asked for the others.
        if view.repo.isSingleFile { return [] }
        var sets: [ShardSet: [Int: Int]] = [:]
        var samples: [ShardSet: ShardFileName] = [:]
        for position in view.snapshot.files.indices {
            let path = view.snapshot.files[position].path
            guard let name = ShardFileName(path.lastComponent.bytes) else { continue }
            let set = ShardSet(folder: path.parent, key: name.key)
            sets[set, default: [:]][name.number] = position
            if samples[set] == nil { samples[set] = name }
        }
        guard !sets.isEmpty else { return [] }
        let covered = coveredNames()
        var findings: [Finding] = []
        var room = Self.namedShardLimit
        var families: [ShardSet: [ShardSet]] = [:]
        for set in sets.keys {
            // Sets that differ in nothing but their total belong to one family.
            families[ShardSet(folder: set.folder, key: set.key.family), default: []].append(set)
        }
        for members in families.values {
            let isSettled = members.contains { set in
                let numbers = sets[set] ?? [:]
                return numbers.count == samples[set]?.total
                    || numbers.values.contains { covered.contains(view.snapshot.files[$0].path) }
            }
            if members.count > 1,
                let first = members.min(by: { $0.key.totalText.lexicographicallyPrecedes($1.key.totalText) })
            {
                let totals = members.compactMap { samples[$0]?.total }.sorted().map(String.init).joined(
                    separator: " and ")
                findings.append(
                    Finding(
                        .shardSetMixed, path: folder.appending(first.folder),
                        detail: "'\(displayText(of: first.key.prefix))' is declared to have \(totals) parts"))
            }
            for set in members {
                guard let numbers = sets[set], let sample = samples[set] else { continue }
                if members.count > 1 && isSettled { continue }
                if numbers.values.contains(where: { covered.contains(view.snapshot.files[$0].path) }) { continue }
                findings += judge(numbers, of: set, sample: sample, room: &room)
            }
        }
        return findings
    }

    /// - Parameter room: how many more absent shards may be named one by one.
    private func judge(
        _ numbers: [Int: Int], of set: ShardSet, sample: ShardFileName, room: inout Int
    ) -> [Finding] {
        var findings: [Finding] = []
        // Datasets and some models number from 0.
        let all = numbers[0] == nil ? 1...sample.total : 0...(sample.total - 1)
        let missing = sample.total - numbers.keys.count { all.contains($0) }
        guard missing > 0 else { return [] }
        let limit = max(1, room)
        defer { room -= findings.count }
        for number in all where numbers[number] == nil {
            guard let name = sample.sibling(number) else { continue }
            let path = set.folder.appending(BytePath(bytes: name))
            let expected = manifest?[path]
            if let expected, judgeAbsent(path, expected)?.code == .inFlight { continue }
            if manifest == nil && isAnythingArriving {
                findings.append(
                    Finding(
                        .inFlight, path: folder.appending(path), file: path,
                        detail: "it may be among what is being fetched"))
            } else if manifest != nil && expected == nil {
                // A name is a guess, the manifest is not: the repo never had that part.
                continue
            } else {
                findings.append(
                    Finding(
                        .missingShard, path: folder.appending(path), file: path,
                        blob: expected.map { BytePath($0.expectedDigest) },
                        detail: "\(numbers.count) of \(sample.total) parts of its set are here"))
            }
            if findings.count == limit, missing > limit {
                findings[findings.count - 1].detail =
                    "and \(missing - limit) more of the \(sample.total) parts of its set"
                break
            }
        }
        return findings
    }
}
