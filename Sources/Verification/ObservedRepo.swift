public import HubCache
internal import WeightFormats

/// A repo as it was found and judged: for those who need more of it than its report.
public struct ObservedRepo: Sendable {
    /// What is there.
    public let inventory: RepoInventory
    /// What was found out about it, before what only the whole cache can tell.
    public let report: RepoReport
    /// The shared store it was judged with.
    public let store: StoreInventory
    private let views: [RevisionView]
    private let livePartials: [BytePath: String]
    private let expectedSizes: [BytePath: UInt64]

    init(_ examined: ExaminedRepo, report: RepoReport, store: StoreInventory) {
        inventory = examined.repo
        self.report = report
        self.store = store
        views = examined.views
        livePartials = examined.evidence.livePartials
        expectedSizes = examined.evidence.expectedSizes
    }

    /// Whether somebody is writing a partial download.
    public func isLive(_ partial: PartialDownload) -> Bool { livePartials[partial.name] != nil }

    /// How many bytes a download under way has when it is whole, as any manifest of the repo says; nil where none names it.
    public func expectedSize(ofEtag etag: BytePath) -> UInt64? { expectedSizes[etag] }

    /// The files of a revision that no client put there: regular files in a snapshot that has links, which its manifest does
    /// not name.
    public func foreignFiles(of commit: CommitHash) -> [BytePath] {
        guard let view = views.first(where: { $0.snapshot.commit == commit }),
            view.snapshot.files.contains(where: { $0.link != nil })
        else { return [] }
        return view.snapshot.files.filter { $0.stat.kind != .symlink && view.manifest?[$0.path] == nil }.map(\.path)
    }

    /// The largest file of a revision whose etag is known, weights before others: what the Hub is asked for.
    public func largestFile(of commit: CommitHash) -> (path: BytePath, etag: BytePath)? {
        guard let view = views.first(where: { $0.snapshot.commit == commit }) else { return nil }
        var largest: (path: BytePath, etag: BytePath, isWeights: Bool, size: UInt64)?
        for (position, file) in view.snapshot.files.enumerated() {
            guard case .file(let stat, _, let blob) = view.contents[position] else { continue }
            let name = view.manifest?[file.path].map { BytePath($0.expectedDigest) } ?? blob ?? file.recordedEtag
            guard let etag = name, !etag.isEmpty else { continue }
            let isWeights = WeightFormat(fileName: file.path.lastComponent.bytes) != nil
            if let largest, (largest.isWeights ? 1 : 0, largest.size) >= (isWeights ? 1 : 0, stat.size) { continue }
            largest = (file.path, etag, isWeights, stat.size)
        }
        return largest.map { ($0.path, $0.etag) }
    }
}
