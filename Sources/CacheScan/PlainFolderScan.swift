public import HubCache
public import LinuxIO

/// Reads a plain folder of weights: a `local_dir` tree, a git clone, what `save_pretrained` wrote, or one weight file.
///
/// The result is an inventory with one revision whose files are the folder's. `.git` and `.cache/huggingface` are left out of
/// it, as `hf cache verify --local-dir` does.
public struct PlainFolderScan: Sendable {
    /// The folder.
    public let root: CacheRoot
    private let onlyFile: OnlyFile?

    /// Whether one file is meant and not the whole folder.
    public var isSingleFile: Bool { onlyFile != nil }

    /// Whether another one is of the same folder, or of the same file of it.
    public func isSame(as other: PlainFolderScan) -> Bool {
        root.stat.key == other.root.stat.key && onlyFile == other.onlyFile
    }

    private struct OnlyFile: Sendable, Equatable {
        let name: BytePath
        let entry: BytePath
    }

    /// Opens a folder, or the folder of a file.
    ///
    /// - Throws: `SystemCallFailure` when it is not there or may not be read.
    public init(opening path: BytePath) throws(SystemCallFailure) {
        let named = try OwnedDescriptor.open(trustedPath: path, options: .keepAccessTime)
        if try named.stat().kind == .directory {
            root = try CacheRoot(opening: path)
            onlyFile = nil
        } else {
            // Links to a file that a person names are followed; its format is told by the name that was given.
            let physical = try named.currentPath()
            root = try CacheRoot(opening: physical.parent.isEmpty ? "/" : physical.parent)
            onlyFile = OnlyFile(name: path.lastComponent, entry: physical.lastComponent)
        }
    }

    /// Reads the folder.
    public func scan() -> RepoInventory {
        var walk = Walk(root: root, repo: RepoInventory(folder: ".", id: nil, stat: root.stat))
        if let onlyFile {
            walk.repo.isSingleFile = true
            walk.addOnly(onlyFile)
        } else {
            walk.repo.tally.add(root.stat)
            do throws(SystemCallFailure) {
                walk.enter(try root.openForListing(), at: .empty, depth: 0)
            } catch {
                walk.repo.strays.append(Stray(path: .empty, code: error.findingCode, detail: error.reason))
            }
            walk.readClientMetadata()
        }
        return walk.finish()
    }

    private struct Walk {
        let root: CacheRoot
        var repo: RepoInventory
        var files: [SnapshotFile] = []
        var commits: Set<String> = []

        static let metadataFolder: BytePath = ".cache/huggingface"

        mutating func addOnly(_ only: OnlyFile) {
            do throws(SystemCallFailure) {
                let stat = try root.stat(of: only.entry)
                repo.tally.add(stat)
                let link: LinkEnd? = only.name == only.entry ? nil : .elsewhere(path: only.entry, stat: stat)
                // Reached through a snapshot's link, its name in `blobs` is its digest; a payload of the shared store is
                // named by another hash.
                let isBlob =
                    link != nil && root.path.lastComponent == "blobs" && ContentDigest(hex: only.entry.text) != nil
                files.append(
                    SnapshotFile(path: only.name, stat: stat, link: link, recordedEtag: isBlob ? only.entry : nil))
            } catch {
                repo.strays.append(Stray(path: only.entry, code: error.findingCode, detail: error.reason))
            }
        }

        mutating func enter(_ directory: borrowing OwnedDescriptor, at location: BytePath, depth: Int) {
            let listing: DirectoryListing
            do throws(SystemCallFailure) {
                listing = try directory.listDirectory()
            } catch {
                note(error, at: location)
                return
            }
            for failure in listing.failures { note(failure, at: location.appending(failure.subject)) }
            for entry in listing.entries {
                repo.tally.add(entry.stat)
                let here = location.appending(entry.name)
                switch entry.stat.kind {
                case .directory:
                    if here == Self.metadataFolder || entry.name == ".git" {
                        repo.tally.add(tallyTree(entry.name, in: directory, depth: 0))
                        continue
                    }
                    guard depth < RepoScan.depthLimit else {
                        repo.strays.append(
                            Stray(path: here, code: .readError, detail: "nested too deep: not entered"))
                        repo.unseen[here] = .tooDeep
                        continue
                    }
                    do throws(SystemCallFailure) {
                        let child = try directory.open(entry.name, options: [.directory, .keepAccessTime])
                        root.noteFilesystem(of: child, device: entry.stat.key.device)
                        enter(child, at: here, depth: depth + 1)
                    } catch {
                        note(error, at: here)
                    }
                case .symlink:
                    let link = linkEnd(entry.name, in: directory, at: location)
                    if case .elsewhere(let target, let stat) = link, stat.kind == .directory {
                        // What it leads to is in this folder and is looked at there.
                        repo.strays.append(
                            Stray(
                                path: here, code: .foreignEntry,
                                detail: "a link to the folder '\(target.display)', looked at there only"))
                        continue
                    }
                    files.append(SnapshotFile(path: here, stat: entry.stat, link: link))
                default: files.append(SnapshotFile(path: here, stat: entry.stat, link: nil))
                }
            }
        }

        func linkEnd(_ name: BytePath, in directory: borrowing OwnedDescriptor, at location: BytePath) -> LinkEnd {
            do throws(SystemCallFailure) {
                let text = try directory.readLink(name)
                // In a plain folder `blobs` means nothing special: a repo name that no path starts with keeps it so.
                let resolution = LinkResolution(root: root, repo: BytePath(bytes: [0]), linked: nil, hasStore: false)
                return resolution.end(of: text, in: location)
            } catch {
                return error.isAbsent ? .nothing(target: name) : .unreadable(errno: error.errno)
            }
        }

        private mutating func note(_ failure: SystemCallFailure, at location: BytePath) {
            // What vanished since it was listed is simply not there any more.
            if failure.isAbsent { return }
            repo.strays.append(Stray(path: location, code: failure.findingCode, detail: failure.reason))
            repo.unseen[location] = .failed(errno: failure.errno)
        }

        /// Reads what `snapshot_download(local_dir=…)` recorded: manifests, etags, partial downloads.
        mutating func readClientMetadata() {
            guard let folder = try? root.open(Self.metadataFolder, options: [.directory, .keepAccessTime]) else {
                return
            }
            if let trees = try? folder.open("trees", options: [.directory, .keepAccessTime]),
                let listing = try? trees.listDirectory()
            {
                for entry in listing.entries where entry.stat.kind == .regular && entry.name.hasSuffix(".json") {
                    guard let commit = CommitHash(BytePath(bytes: entry.name.bytes.dropLast(5))) else { continue }
                    repo.manifests[commit] = entry.stat
                }
            }
            let positions = Dictionary(files.indices.map { (files[$0].path, $0) }) { first, _ in first }
            if let downloads = try? folder.open("download", options: [.directory, .keepAccessTime]) {
                readDownloads(downloads, at: .empty, depth: 0, positions: positions)
            }
        }

        private mutating func readDownloads(
            _ directory: borrowing OwnedDescriptor, at location: BytePath, depth: Int, positions: [BytePath: Int]
        ) {
            guard depth < RepoScan.depthLimit, let listing = try? directory.listDirectory() else { return }
            for entry in listing.entries {
                let here = location.appending(entry.name)
                if entry.stat.kind == .directory {
                    guard let child = try? directory.open(entry.name, options: [.directory, .keepAccessTime]) else {
                        continue
                    }
                    readDownloads(child, at: here, depth: depth + 1, positions: positions)
                } else if entry.stat.kind == .regular, entry.name.hasSuffix(".metadata") {
                    let file = BytePath(bytes: here.bytes.dropLast(9))
                    guard let position = positions[file], let record = readRecord(entry.name, in: directory) else {
                        continue
                    }
                    // A file changed after it was recorded is no longer what was downloaded.
                    let grace: Int64 = 1_000_000_000
                    guard files[position].stat.modified.nanoseconds <= record.time &+ grace else { continue }
                    files[position].recordedEtag = BytePath(record.etag)
                    commits.insert(record.commit)
                } else if entry.stat.kind == .regular, case .partial(let etag, let writer) = BlobEntryName(entry.name) {
                    // `<hash of the path>.<etag>[.<8 hex>].incomplete`
                    let parts = etag.bytes.split(separator: UInt8(ascii: "."), maxSplits: 1)
                    guard parts.count == 2 else { continue }
                    repo.partials.append(
                        PartialDownload(
                            name: Self.metadataFolder.appending("download").appending(here),
                            etag: BytePath(bytes: parts[1]), writer: writer, stat: entry.stat))
                }
            }
        }

        private func readRecord(
            _ name: BytePath, in directory: borrowing OwnedDescriptor
        ) -> (commit: String, etag: String, time: Int64)? {
            guard let file = try? directory.open(name, options: .keepAccessTime),
                let bytes = try? file.readAll(limit: 4096), let text = String(validating: bytes, as: UTF8.self)
            else { return nil }
            let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
            guard lines.count >= 3, let commit = CommitHash(lines[0]), !lines[1].isEmpty,
                let seconds = Double(lines[2]),
                seconds > 0, seconds < 9e9
            else { return nil }
            return (commit.hex, String(lines[1]), Int64(seconds * 1e9))
        }

        mutating func finish() -> RepoInventory {
            files.sort { $0.path < $1.path }
            var commit: CommitHash?
            if commits.count == 1, let only = commits.first { commit = CommitHash(only) }
            repo.partials.sort { $0.name < $1.name }
            repo.snapshots = [Snapshot(commit: commit, folder: root.stat, files: files)]
            return repo
        }
    }
}
