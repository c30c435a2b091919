internal import HubCache
internal import LinuxIO
internal import Repair

// How far transfers are, for who asks and for who listens.
extension DaemonLoop {
    /// Those that run, and those that ended not long ago, the newest first.
    var transferReports: [TransferReport] {
        (transfers.ended + transfers.running).sorted { $0.startedAt > $1.startedAt }.map(\.report)
    }

    /// Tells those who listen, twice a second.
    func tellProgressIfDue(_ now: UInt64) {
        guard now >= transfers.nextTelling else { return }
        transfers.nextTelling = transfers.running.isEmpty ? .max : now &+ TransferBook.pause
        for transfer in transfers.running where transfer.state == .running {
            let progress = transfer.progress
            let (done, own) = (progress.bytesDone, progress.bytesNotTransferred)
            transfer.rate.take(done > own ? done - own : 0, at: now)
            if progress.bytesTotal > 0 { bulletin.publish(.progress(transfer.report)) }
        }
    }

    /// The transfer that a model's state tells of: one that brings something in.
    func activeTransfer(of name: ModelName) -> Transfer? {
        transfers.running.first { $0.state == .running && $0.progress.bytesTotal > 0 && $0.isMeant(by: name) }
    }

    /// What is known of a model by its transfers.
    func adding(_ model: KnownModel?, of name: ModelName) -> KnownModel? {
        var model = model
        if let active = activeTransfer(of: name) {
            var known = model ?? KnownModel(cache: active.cacheID, repo: name.repo.description)
            known.state = .downloading
            known.progress = active.currentProgress()
            return known
        }
        if model?.state != .complete, let last = transfers.lastEnded(name), last.state == .failed,
            let error = last.error
        {
            model = model ?? KnownModel(cache: last.cacheID, repo: name.repo.description)
            model?.failure = error
        }
        return model
    }
}
