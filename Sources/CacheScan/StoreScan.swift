internal import HubCache
internal import LinuxIO

/// Reads the shared blob store, if the cache has one.
///
/// A `blobs` folder in the root is the store only when it is a real directory and its marker is a regular file with the
/// exact content; anything else there is foreign and never touched (`_shared_blobs.py` of huggingface_hub).
func scanStore(root: CacheRoot, entry: DirectoryEntry) -> StoreInventory {
    var store = StoreInventory()
    store.scannedAt = currentTime()
    store.tally.add(entry.stat)
    guard entry.stat.kind == .directory else {
        store.strays.append(
            Stray(
                path: entry.name, code: .foreignEntry, detail: "a \(entry.stat.kind.word), not a shared blob store",
                allocated: entry.stat.allocated))
        return store
    }
    do throws(SystemCallFailure) {
        let folder = try root.descriptor.open(entry.name, options: [.directory, .keepAccessTime])
        root.noteFilesystem(of: folder, device: entry.stat.key.device)
        store.isPresent = hasMarker(folder)
        let listing = try folder.listDirectory()
        store.note(listing.failures, at: entry.name)
        for child in listing.entries {
            store.tally.add(child.stat)
            let location = entry.name.appending(child.name)
            let isShelf =
                child.name.bytes.count == 2 && child.name.bytes.allSatisfy(isLowerHexadecimal)
                && child.stat.kind == .directory
            if store.isPresent, isShelf {
                do throws(SystemCallFailure) {
                    let shelf = try folder.open(child.name, options: [.directory, .keepAccessTime])
                    scanShelf(shelf, at: location, into: &store)
                } catch {
                    store.note(error, at: location)
                }
                continue
            }
            var allocated = child.stat.allocated
            if child.stat.kind == .directory {
                let tally = tallyTree(child.name, in: folder, depth: 0)
                store.tally.add(tally)
                allocated &+= tally.total
            }
            let isOwn = child.name == StoreEntryName.marker || child.name.isTemporaryWriteName
            if store.isPresent && !isOwn {
                store.strays.append(
                    Stray(
                        path: location, code: .foreignEntry,
                        detail: "a \(child.stat.kind.word) that no client puts here",
                        allocated: allocated))
            }
        }
        if !store.isPresent && !listing.entries.isEmpty {
            store.strays.append(
                Stray(
                    path: entry.name, code: .foreignEntry, detail: "a folder without the marker of a shared blob store",
                    allocated: store.tally.total))
        }
    } catch {
        store.note(error, at: entry.name)
    }
    store.strays.sort { $0.path < $1.path }
    return store
}

func hasMarker(_ folder: borrowing OwnedDescriptor) -> Bool {
    guard let stat = try? folder.stat(of: StoreEntryName.marker), stat.kind == .regular,
        let file = try? folder.open(StoreEntryName.marker, options: .keepAccessTime)
    else { return false }
    return (try? file.readAll(limit: 16)) == StoreEntryName.markerContent
}

private func scanShelf(_ shelf: borrowing OwnedDescriptor, at location: BytePath, into store: inout StoreInventory) {
    do throws(SystemCallFailure) {
        let listing = try shelf.listDirectory()
        store.note(listing.failures, at: location)
        var manifests: Set<BytePath> = []
        var payloads: [BytePath: FileStat] = [:]
        for entry in listing.entries {
            store.tally.add(entry.stat)
            let here = location.appending(entry.name)
            if entry.stat.kind == .directory { store.tally.add(tallyTree(entry.name, in: shelf, depth: 0)) }
            switch StoreEntryName(entry.name) {
            case .payload where entry.name.bytes.starts(with: location.bytes.suffix(2)):
                payloads[entry.name] = entry.stat
            case .manifest(let payload):
                if entry.stat.kind == .regular, (try? shelf.open(entry.name, options: .keepAccessTime)) != nil {
                    manifests.insert(payload)
                }
            case .lock, .temporary: break
            case .payload, .foreign:
                store.strays.append(
                    Stray(
                        path: here, code: .foreignEntry, detail: "a \(entry.stat.kind.word) that no client puts here",
                        allocated: entry.stat.allocated))
            }
        }
        for (name, stat) in payloads {
            store.payloads[name] = StorePayload(stat: stat, hasManifest: manifests.contains(name))
        }
    } catch {
        store.note(error, at: location)
    }
}

extension StoreInventory {
    fileprivate mutating func note(_ failures: [SystemCallFailure], at location: BytePath) {
        for failure in failures { note(failure, at: location.appending(failure.subject)) }
    }

    fileprivate mutating func note(_ failure: SystemCallFailure, at location: BytePath) {
        if failure.isAbsent { return }
        unseen[location] = failure.errno
        strays.append(Stray(path: location, code: failure.findingCode, detail: failure.reason))
    }
}
