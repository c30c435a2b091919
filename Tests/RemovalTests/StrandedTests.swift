import Foundation
import Glibc
import HubCache
import Testing

@testable import Removal
@testable import TestSupport

/// What cannot simply go back to its place: nothing of it is left for ever.
@Suite struct StrandedTests {
    private func remove(
        _ cache: TestCache, _ repo: TestRepo, at step: RemovalStep, _ body: @escaping @Sendable () throws -> Void
    ) throws -> [RemovalResult] {
        let once = Once(at: step, body)
        return try cache.remover(settle: .milliseconds(300), step: { once.reached($0) })
            .remove([repo.request([commit(1)])]).map(\.result)
    }

    private func hasLeftovers(_ cache: TestCache, _ repo: TestRepo) -> Bool {
        cache.outer.exists(repo.place(".hfjanitor"))
    }

    /// A client of the shared store links to the same content while the blob is out of the way.
    @Test func aBlobThatComesBackAsALinkIntoTheStore() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let repo = cache.repo("o/a")
            let etag = try repo.file("a.bin", [1, 1], at: commit(1))
            let payload = try cache.payload([1, 1], references: ["models--o--a/blobs/\(etag)"])
            let results = try remove(cache, repo, at: .parked) {
                try repo.linkBlob(etag, toPayload: payload)
                try repo.link("a.bin", to: etag, at: commit(1))
            }
            #expect(results[0].isUndone || results[0].keepers == [.open], "\(results)")
            #expect(!hasLeftovers(cache, repo))
            let path = cache.outer.absolute(repo.snapshot(commit(1), "a.bin")).text
            #expect(FileManager.default.contents(atPath: path) == Data([1, 1]))
        }
    }

    /// The other way: the blob was a link, and comes back as a file.
    @Test func aLinkThatComesBackAsAFile() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let repo = cache.repo("o/a")
            let payload = try cache.payload([1, 1], references: ["models--o--a/blobs/s"])
            try repo.linkBlob("s", toPayload: payload)
            try repo.link("a.bin", to: "s", at: commit(1))
            _ = try remove(cache, repo, at: .parked) {
                try repo.blob(named: "s", [1, 1])
                try repo.link("a.bin", to: "s", at: commit(1))
            }
            #expect(!hasLeftovers(cache, repo))
        }
    }

    /// Something else has the place: what is parked stays known, and a later run brings it back.
    @Test func somethingElseInItsPlaceKeepsTheIntent() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            let etag = try repo.file("a.bin", [1, 2, 3], at: commit(1))
            try repo.ref("main", commit(1))
            let before = Content(cache.path)
            let blob = repo.place("blobs").appending(etag)
            let results = try remove(cache, repo, at: .parked) {
                try cache.outer.write(blob, [9])
                try repo.ref("main", commit(1))
            }
            #expect(results[0].isUndone && "\(results)".contains(".hfjanitor"), "\(results)")
            #expect(hasLeftovers(cache, repo))
            let outcomes = try cache.remover().recover()
            #expect(outcomes.count == 1 && outcomes[0].reasonLeft != nil, "\(outcomes)")
            let again = try cache.remover().remove([repo.request([commit(1)])]).map(\.result)
            #expect(again.map(\.keepers) == [[.lock]], "\(again)")
            cache.outer.delete(blob)
            #expect(try cache.remover().recover().map(\.result) == [.undone])
            #expect(Content(cache.path).differences(from: before) == [])
        }
    }

    /// What versions before left without an intent: gone when nothing is lost with it, else shown.
    @Test func whatNoOperationKnows() throws {
        try withTestCache { cache in
            try cache.makeStore()
            let repo = cache.repo("o/a")
            let etag = try repo.file("a.bin", [1, 2, 3], at: commit(1))
            let payload = try cache.payload([7], references: [])
            let parked = repo.place(".hfjanitor")
            let operation = "0123456789abcdef"
            try cache.outer.write(parked.appending("\(operation).\(etag)"), [1, 2, 3])
            try cache.outer.hardLink(
                parked.appending("\(operation)+\(payload)"),
                to: cache.place("blobs").appending(String(payload.prefix(2))).appending(payload))
            let last = String(repeating: "a", count: 64)
            try cache.outer.write(parked.appending("\(operation)+\(last)"), [1])
            try cache.outer.write(parked.appending("\(operation).absent"), [1])
            try cache.outer.write(parked.appending("\(operation).\(ReferenceDigest.sha256([5]))"), [4, 4])
            try cache.outer.chmod(parked, 0o700)
            try repo.blob([5])
            let outcomes = try retriedRecovery(cache, count: 3)
            #expect(outcomes.allSatisfy { $0.reasonLeft != nil })
            #expect(
                outcomes.map(\.operation.text) == [
                    "\(operation)+\(last)", "\(operation).absent", "\(operation).\(ReferenceDigest.sha256([5]))",
                ])
            #expect(!cache.outer.exists(parked.appending("\(operation).\(etag)")))
            #expect(!cache.outer.exists(parked.appending("\(operation)+\(payload)")))
            #expect(cache.outer.exists(parked.appending("\(operation).absent")))
        }
    }

    /// A process that another test is about to start has everything open for a moment.
    private func retriedRecovery(_ cache: TestCache, count: Int) throws -> [RecoveryOutcome] {
        for _ in 0..<20 {
            let outcomes = try cache.remover().recover()
            if outcomes.count == count { return outcomes }
        }
        return try cache.remover().recover()
    }

    /// Another of us takes the empty private folder away between making it and writing to it.
    @Test func thePrivateFolderVanishesAtOnce() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1], at: commit(1))
            let results = try retried {
                try remove(cache, repo, at: .folderOpened) { cache.outer.delete(repo.place(".hfjanitor")) }
            }
            #expect(results[0].isRemoved, "\(results)")
            #expect(!hasLeftovers(cache, repo))
        }
    }

    /// Whoever renames the repo has it whole where it is now; another one under its name is left.
    @Test(arguments: [false, true]) func theReposNameChangesMeanwhile(_ isReplaced: Bool) throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.file("a.bin", [1, 2], at: commit(1))
            try repo.ref("main", commit(1))
            let before = Content(cache.outer.absolute(cache.place(repo.folder)))
            let results = try remove(cache, repo, at: .parked) {
                try cache.outer.move(cache.place(repo.folder), to: "elsewhere")
                if isReplaced { try repo.file("b.bin", [3], at: commit(2)) }
            }
            #expect(results[0].isUndone || results[0].keepers == [.open], "\(results)")
            #expect(Content(cache.outer.absolute("elsewhere")).differences(from: before) == [])
            #expect(cache.outer.exists(repo.snapshot(commit(2), "b.bin")) == isReplaced)
        }
    }
}
