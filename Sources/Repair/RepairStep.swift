/// The points of bringing in a file between which a process may be killed: each is reached right after something changed on the
/// disk, or before the Hub is asked. Only tests look at them.
package enum RepairStep: String, Sendable, CaseIterable {
    case folderMade, locked, slotTaken, partialMade, partialAdopted, partialGrown, partialWhole, partialSynced, modeSet
    case blobPublished, blobsSynced, payloadReplaced, linkPrepared, linked, linkFolderSynced
    case manifestWritten, refWritten, tagWritten
}
