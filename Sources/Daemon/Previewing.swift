internal import CacheScan
internal import HubCache
internal import HubClient
internal import LinuxIO
public import Preview
internal import Retention

/// What a repo on the Hub is, and what this machine has for it.
public struct AskedPreview: Sendable {
    /// The revision that was asked for.
    public var revision: String
    /// What the Hub says.
    public var preview: RepoPreview
    /// Where it would go.
    public var room: PreviewRoom
}

// Previews that somebody asks for, on a few threads.
extension DaemonLoop {
    private static let mostPreviewers = 2
    private static let mostWaiting = 4

    /// Asks the Hub, with the owner's token only where the owner allows that.
    func preview(_ request: DownloadRequest, _ reply: Reply<Result<AskedPreview, TransferRefusal>>) {
        do throws(TransferRefusal) {
            guard isRepoPath(Array(request.revision.utf8)) else {
                throw TransferRefusal(
                    HubErrorCode.revisionNotFound.rawValue,
                    "no revision can be named '\(displayText(of: request.revision))'")
            }
            let cache = try placeForPreview(of: request.model)
            guard let looker = looker(cache), let worker = previewer() else {
                throw TransferRefusal("busy", "too many previews are asked for at once", retryAfter: 10)
            }
            var account = account(request.token)
            if request.token == nil, !inForce.policy.allowsFetch {
                account.environment = account.environment.anonymous
                account.token = nil
            }
            let order = PreviewOrder(
                request: request, looker: looker, policy: inForce.policy, cachePolicy: cache.policy, account: account,
                cancellation: cancellation)
            hand(worker, { order.run() }) { _, result in reply.give(result) }
        } catch {
            reply.give(.failure(error))
        }
    }

    private func placeForPreview(of name: ModelName) throws(TransferRefusal) -> WatchedCache {
        let all: [WatchedCache]
        do throws(NamingFailure) { all = try caches(named: name.cache) } catch { throw TransferRefusal(error) }
        let present = all.filter { $0.presence == .present && !$0.isUnresponsive }
        guard let cache = present.first(where: { $0.repos[name.repo.folder] != nil }) ?? present.first else {
            throw TransferRefusal("unavailable", "no cache is there", retryAfter: 10)
        }
        return cache
    }

    private func previewer() -> Worker? {
        if previewers.count < Self.mostPreviewers, previewers.allSatisfy({ !$0.isIdle }),
            let worker = try? Worker(name: "preview")
        {
            previewers.append(worker)
        }
        return previewers.min { $0.count < $1.count }.flatMap { $0.count < Self.mostWaiting ? $0 : nil }
    }
}

/// What a preview needs, as plain values for its thread.
private struct PreviewOrder: Sendable {
    var request: DownloadRequest
    var looker: Looker
    var policy: Policy
    var cachePolicy: CachePolicy
    var account: HubAccount
    var cancellation: Cancellation

    func run() -> Result<AskedPreview, TransferRefusal> {
        do {
            let access = try account.client(policy.repair, attempts: 2).access
            let previewer = Previewer(
                repo: request.model.repo, filter: NameFilter(include: request.include, exclude: request.exclude),
                cancellation: cancellation, makeClient: { access.makeClient() })
            let preview = try previewer.preview(revision: request.revision)
            let root = try looker.openRoot()
            let filesystem = try root.currentFilesystem()
            let room = PreviewRoom(
                cache: root.path, share: try LocalShare(of: preview.files, repo: preview.repo, in: root),
                freeBytes: filesystem.availableBytes, floor: cachePolicy.floor(of: filesystem.totalBytes))
            return .success(AskedPreview(revision: request.revision, preview: preview, room: room))
        } catch let failure as HubFailure {
            return .failure(TransferRefusal(failure))
        } catch let failure as SystemCallFailure {
            return .failure(
                TransferRefusal("unavailable", "\(looker.path.display) cannot be read: \(failure.reason)"))
        } catch {
            return .failure(TransferRefusal("unavailable", "\(error)"))
        }
    }
}
