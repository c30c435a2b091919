/// The points of an operation between which a process may be killed: each is reached right after something changed on the
/// disk. Only tests look at them.
package enum RemovalStep: String, Sendable, CaseIterable {
    case locked, folderMade, folderOpened, intentWritten, intentPublished, skeletonFolderMade, refParked, snapshotParked
    case snapshotFileParked, payloadLinked, blobParked, parked, settled
    case blobRestored, snapshotFileRestored, snapshotRestored, refRestored
    case decided, snapshotFileUnlinked, snapshotFolderRemoved, refUnlinked, blobUnlinked, payloadLinkUnlinked
    case payloadUnlinked, storeManifestUnlinked, storeManifestWritten, manifestUnlinked, markerUnlinked
    case folderRemoved, intentRemoved, partialUnlinked
}

/// Tells an observer which steps were reached.
struct Steps: Sendable {
    let observer: @Sendable (RemovalStep) -> Void

    func reached(_ step: RemovalStep) { observer(step) }
}
