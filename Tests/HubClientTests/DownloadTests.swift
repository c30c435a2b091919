import HubCache
import HubClient
import LinuxIO
import Synchronization
import TestSupport
import Testing

/// What came of a download.
private final class Received: Sendable {
    private let state = Mutex<(bytes: [UInt8], progress: [UInt64])>(([], []))

    var bytes: [UInt8] { state.withLock(\.bytes) }
    var progress: [UInt64] { state.withLock(\.progress) }

    func add(_ bytes: Span<UInt8>) {
        var copy: [UInt8] = []
        for index in bytes.indices { copy.append(bytes[index]) }
        state.withLock { $0.bytes += copy }
    }

    func advance(_ count: UInt64) { state.withLock { $0.progress.append(count) } }
}

private struct FullDisk: Error {}

@Suite struct DownloadTests {
    private let size = UInt64(HubStandIn.largeBytes.count)

    private func download(_ hub: HubStandIn, offset: UInt64 = 0) -> HubDownload {
        HubDownload(
            repo: HubStandIn.repo, commit: hub.commit, file: HubStandIn.large, etag: HubStandIn.largeEtag, size: size,
            offset: offset)
    }

    /// The content that came, and the failure there was.
    private func fetch(_ client: HubClient, _ download: HubDownload) -> (received: Received, failure: HubFailure?) {
        let received = Received()
        do {
            try client.download(download, progress: { received.advance($0) }, into: { received.add($0) })
            return (received, nil)
        } catch {
            return (received, error as? HubFailure)
        }
    }

    /// Checks that all came, from an offset on.
    private func expectWhole(
        _ hub: HubStandIn, _ client: HubClient? = nil, offset: UInt64 = 0, location: SourceLocation = #_sourceLocation
    ) {
        let (received, failure) = fetch(client ?? hub.client(), download(hub, offset: offset))
        #expect(failure == nil, sourceLocation: location)
        #expect(received.bytes == Array(HubStandIn.largeBytes.dropFirst(Int(offset))), sourceLocation: location)
        #expect(received.progress.last == size, sourceLocation: location)
        #expect(received.progress == received.progress.sorted(), sourceLocation: location)
    }

    @Test func wholeAndResumed() throws {
        try withHub { (hub, _) throws in
            expectWhole(hub)
            #expect(try hub.originsWithToken() == ["hub"])
            let log = try hub.log()
            #expect(log.map { $0["method"] as? String } == ["HEAD", "GET"])
            #expect(log.last?["origin"] as? String == "cdn")
            try hub.clear()
            expectWhole(hub, offset: 123_457)
            #expect(try hub.log().last?["range"] as? String == "bytes=123457-")
        }
    }

    @Test(arguments: [false, true]) func aSmallFileComesFromTheHub(resolveCache: Bool) throws {
        try withHub(resolveCache: resolveCache) { (hub, _) throws in
            for (file, bytes) in [(HubStandIn.small, HubStandIn.smallBytes), ("empty.txt", [])] {
                let etag = ReferenceDigest.sha1(Array("blob \(bytes.count)\0".utf8) + bytes)
                let wanted = HubDownload(
                    repo: HubStandIn.repo, commit: hub.commit, file: file, etag: BytePath(etag),
                    size: UInt64(bytes.count))
                let (received, failure) = fetch(hub.client(), wanted)
                #expect(failure == nil && received.bytes == bytes)
            }
            let log = try hub.log()
            #expect(log.allSatisfy { $0["authorized"] as? Bool == true && $0["origin"] as? String == "hub" })
        }
    }

    @Test func nothingIsAskedForWhereAllIsHere() throws {
        try withHub { (hub, _) throws in
            let (received, failure) = fetch(hub.client(), download(hub, offset: size))
            #expect(failure == nil && received.bytes.isEmpty)
            #expect(try hub.log().map { $0["method"] as? String } == ["HEAD"])
            #expect(fetch(hub.client(), download(hub, offset: size + 1)).failure?.code == .digestMismatch)
        }
    }

    @Test func brokenConnections() throws {
        try withHub { (hub, _) throws in
            for kind in ["drop", "cut"] {
                try hub.fault(kind, ["origin": "cdn", "after": 100_000, "times": 2])
                let clock = TestClock()
                expectWhole(hub, hub.client(clock: clock))
                #expect(clock.slept == [.seconds(1), .seconds(2)])
                let ranges = try hub.log().filter { $0["origin"] as? String == "cdn" }.map { $0["range"] as? String }
                #expect(ranges.count == 3 && ranges.first == .some(nil))
                // What came before the break is not asked for again.
                let starts = ranges.compactMap { $0.flatMap { UInt64($0.dropFirst(6).dropLast()) } }
                #expect(starts == starts.sorted() && (kind == "drop" || starts == [100_000, 200_000]))
                try hub.clear()
            }
        }
    }

    @Test func attemptsAreBoundedUnlessThereIsProgress() throws {
        try withHub { (hub, _) throws in
            try hub.fault("cut", ["origin": "cdn", "after": 20_000])
            let (received, failure) = fetch(hub.client(), download(hub))
            #expect(failure?.code == .network && failure?.attempt == 5)
            #expect(received.bytes == Array(HubStandIn.largeBytes.prefix(100_000)))
            var settings = usualSettings
            settings.progressBytes = 20_000
            expectWhole(hub, hub.client(settings))
        }
    }

    @Test func shortAndLongContent() throws {
        try withHub { (hub, _) throws in
            try hub.fault("truncate", ["origin": "cdn", "after": 1000])
            let short = fetch(hub.client(), download(hub))
            #expect(short.failure?.detail.contains("a content of 1000 bytes in place of 300000") == true)
            #expect(short.received.bytes.isEmpty)
            try hub.clear()
            try hub.fault("extend", ["origin": "cdn"], body: "more")
            let long = fetch(hub.client(), download(hub))
            #expect(long.failure?.code == .network && long.received.bytes.isEmpty)
            try hub.clear()
            // Without a length only what comes can tell. Not one byte too many is passed on.
            try hub.fault("endless", ["origin": "cdn"])
            let endless = fetch(hub.client(), download(hub))
            #expect(endless.failure?.code == .digestMismatch && endless.received.bytes.count == Int(size))
            try hub.clear()
            try hub.fault("raw", ["origin": "cdn"], body: "HTTP/1.1 200 OK\r\n\r\nshort")
            let ended = fetch(hub.client(), download(hub))
            #expect(ended.failure?.code == .network || ended.failure?.code == .incompleteDownload)
        }
    }

    @Test func contentThatEndsEarlyInGoodOrder() throws {
        try withHub { (hub, _) throws in
            var settings = usualSettings
            settings.attempts = 1
            try hub.fault("raw", ["origin": "cdn"], body: "HTTP/1.1 200 OK\r\n\r\nshort")
            let (received, failure) = fetch(hub.client(settings), download(hub))
            #expect(failure?.code == .incompleteDownload && received.bytes.count == 5)
            #expect(failure?.description == "the content ended after 5 of 300000 bytes")
        }
    }

    @Test func rangesThatAreNotServed() throws {
        try withHub { (hub, _) throws in
            // 200 for a range: what is here is passed over.
            try hub.fault("ignore-range", ["origin": "cdn"])
            expectWhole(hub, offset: 200_001)
            #expect(try hub.log().count == 2)
            try hub.clear()
            // 206 with another range than was asked for, and 416: the whole is asked for.
            try hub.fault("shift-range", ["origin": "cdn", "after": 5])
            expectWhole(hub, offset: 200_001)
            try hub.clear()
            try hub.fault("headers", ["origin": "cdn", "headers": ["Content-Range": "bytes 200001-299999/*"]])
            expectWhole(hub, offset: 200_001)
            #expect(try hub.log().count == 2)
            try hub.clear()
            try hub.fault("status", ["origin": "cdn", "status": 416, "times": 1])
            expectWhole(hub, offset: 200_001)
            let ranges = try hub.log().filter { $0["origin"] as? String == "cdn" }.map { $0["range"] as? String }
            #expect(ranges == ["bytes=200001-", nil])
            try hub.clear()
            for range in ["bytes 0-299999/300000", "bytes 200001-299999/300001", "bytes 200001-300/300000", "x"] {
                let headers = ["Content-Range": range]
                try hub.fault("headers", ["origin": "cdn", "headers": headers, "times": 1])
                expectWhole(hub, offset: 200_001)
                try hub.clear()
            }
        }
    }

    @Test func bodiesThatAreSomethingElse() throws {
        try withHub { (hub, _) throws in
            func detail() -> String? {
                let (received, failure) = fetch(hub.client(), download(hub))
                #expect(received.bytes.isEmpty && failure?.code == .network)
                return failure?.detail
            }
            try hub.fault("gzip", ["origin": "cdn"])
            #expect(detail()?.hasSuffix("a compressed body that nobody asked for") == true)
            try hub.clear()
            let page = String(repeating: "<html>", count: 50_000)
            try hub.fault(
                "status", ["origin": "cdn", "status": 200, "headers": ["Content-Type": "text/html; charset=utf-8"]],
                body: page)
            #expect(detail()?.hasSuffix("a web page in place of the content") == true)
        }
    }

    @Test func anAddressThatHasEnded() throws {
        try withHub { (hub, _) throws in
            try hub.fault("status", ["origin": "cdn", "status": 403, "times": 2])
            expectWhole(hub)
            // A new address was asked for each time.
            let methods = try hub.log().map { $0["method"] as? String }
            #expect(methods == ["HEAD", "GET", "HEAD", "GET", "HEAD", "GET"])
        }
    }

    @Test func theTokenIsNotTakenAlong() throws {
        try withHub { (hub, _) throws in
            // The content's host sends us on: to a third one, and back to the Hub.
            let digest = HubStandIn.largeEtag.text
            for (target, asked) in [(hub.other, "other"), (hub.hub, "hub")] {
                let location = "\(target)/acme/x/resolve/\(hub.commit)/\(HubStandIn.large)"
                try hub.fault(
                    "status", ["origin": "cdn", "status": 302, "headers": ["Location": location], "times": 1])
                expectWhole(hub)
                let gets = try hub.log().filter { $0["method"] as? String == "GET" }
                #expect(gets.map { $0["origin"] as? String } == ["cdn", asked, "cdn"])
                #expect(gets.allSatisfy { $0["authorized"] as? Bool == false })
                #expect(gets.last?["path"] as? String == "/acme/x/\(digest)")
                try hub.clear()
            }
            try hub.fault("status", ["origin": "cdn", "status": 302, "headers": ["Location": "file:///etc/passwd"]])
            let (received, failure) = fetch(hub.client(), download(hub))
            #expect(received.bytes.isEmpty && failure?.code == .network)
        }
    }

    @Test func anotherFileIsNotFetched() throws {
        try withHub { (hub, _) throws in
            var wanted = download(hub)
            wanted.etag = "other"
            #expect(fetch(hub.client(), wanted).failure?.code == .digestMismatch)
            wanted = download(hub)
            wanted.size = 5
            #expect(fetch(hub.client(), wanted).failure?.detail == "the Hub has content of another length")
            wanted = download(hub)
            wanted.file = "none"
            #expect(fetch(hub.client(), wanted).failure?.code == .entryNotFound)
            #expect(try hub.log().allSatisfy { $0["method"] as? String == "HEAD" })
        }
    }

    /// A mirror need not know the Hub's own headers: the file of a known commit is what is not there, not the repo.
    @Test func aMissingFileNeedsNoCode() throws {
        try withHub { (hub, _) throws in
            try hub.fault("status", ["origin": "hub", "status": 404, "path": "/acme/*"])
            let failure = fetch(hub.client(), download(hub)).failure
            #expect(failure?.code == .entryNotFound)
            #expect(
                failure?.detail.contains("has no '\(HubStandIn.large)' at \(hub.commit)") == true, "\(failure as Any)")
        }
    }

    @Test func stalls() throws {
        try withHub { (hub, _) throws in
            var settings = usualSettings
            settings.stallTime = .milliseconds(500)
            settings.attempts = 1
            try hub.fault("hold", ["origin": "cdn", "after": 100_000])
            let (_, failure) = fetch(hub.client(settings), download(hub))
            #expect(failure?.detail == "the transfer stalled" && failure?.code == .network)
            try hub.clear()
            // What stalled goes on where it stood.
            settings.stallTime = .seconds(1)
            settings.attempts = 5
            try hub.fault("hold", ["origin": "cdn", "after": 100_000, "times": 1])
            let clock = TestClock()
            expectWhole(hub, hub.client(settings, clock: clock))
            #expect(clock.slept.first == .seconds(1))
        }
    }

    @Test func theTimeForAllIsBounded() throws {
        try withHub { (hub, _) throws in
            var settings = usualSettings
            settings.downloadTimeout = .seconds(1)
            settings.stallTime = .seconds(600)
            try hub.fault("hold", ["origin": "cdn", "after": 100_000])
            let (received, failure) = fetch(hub.client(settings), download(hub))
            #expect(failure?.code == .network && failure?.attempt == 1)
            #expect(received.bytes.count <= 100_000)
        }
    }

    @Test func cancelled() throws {
        try withHub { (hub, _) throws in
            let cancellation = Cancellation()
            var settings = usualSettings
            settings.stallTime = .seconds(600)
            try hub.fault("hold", ["origin": "cdn", "after": 100_000])
            let failure = #expect(throws: HubFailure.self) {
                try hub.client(settings).download(
                    download(hub), cancellation: cancellation,
                    progress: { if $0 == 100_000 { cancellation.cancel() } }, into: { _ in })
            }
            #expect(failure?.code == .downloadCancelled)
            // Before the first byte, too.
            try hub.clear()
            #expect(throws: HubFailure.self) {
                try hub.client().download(download(hub), cancellation: cancellation, into: { _ in })
            }
            #expect(try hub.log().isEmpty)
        }
    }

    @Test func theSinksErrorComesThrough() throws {
        try withHub { (hub, _) throws in
            #expect(throws: FullDisk.self) {
                try hub.client().download(download(hub), into: { _ in throw FullDisk() })
            }
            #expect(try hub.log().count == 2)
        }
    }

    @Test func aFlippedBitIsPassedOnAsItCame() throws {
        // Proof is the caller's: it hashes.
        try withHub { (hub, _) throws in
            try hub.fault("flip", ["origin": "cdn", "after": 7])
            let (received, failure) = fetch(hub.client(), download(hub))
            #expect(failure == nil && received.bytes.count == Int(size) && received.bytes != HubStandIn.largeBytes)
        }
    }

    @Test func speedIsLimited() throws {
        try withHub { (hub, _) throws in
            let clock = TestClock()
            let limit = HubSpeedLimit(bytesPerSecond: 3000)
            let received = Received()
            try hub.client(clock: clock).download(download(hub), speedLimit: limit, into: { received.add($0) })
            #expect(received.bytes == HubStandIn.largeBytes)
            // 300,000 bytes; what the machine itself took is not slept.
            let slept = clock.slept.reduce(.zero, +)
            #expect(slept <= .seconds(100) && slept > .seconds(50))
        }
    }

    @Test func theNextEndpointHasIt() throws {
        try withHub { (hub, _) throws in
            let main = try HubEndpoint(url: hub.hub, sendsToken: true)
            let mirror = try HubEndpoint(url: hub.other, sendsToken: false)
            try hub.fault("status", ["origin": "hub", "status": 404, "path": "/acme/*"])
            expectWhole(hub, hub.client(endpoints: [main, mirror]))
            #expect(try hub.originsWithToken() == ["hub"])
        }
    }
}
