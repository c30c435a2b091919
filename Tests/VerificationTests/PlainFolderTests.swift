import HubCache
import TestSupport
import Testing
import Verification

/// Plain folders: `local_dir` trees, git clones, what `save_pretrained` wrote.
@Suite struct PlainFolderTests {
    /// Writes a file and what `snapshot_download(local_dir=…)` records of it.
    private func download(
        _ name: String, _ content: [UInt8], etag: String? = nil, commit hash: String = commit(1), in folder: TestFolder
    ) throws {
        try folder.write(BytePath(name), content)
        try folder.setTimes(BytePath(name), accessed: 1_700_000_000, modified: 1_700_000_000)
        try folder.write(
            BytePath(".cache/huggingface/download/\(name).metadata"),
            "\(hash)\n\(etag ?? ReferenceDigest.sha256(content))\n1700000000.5\n")
    }

    @Test func localFolderOfOneCommit() throws {
        try withTestFolder { folder in
            try download("model.safetensors", safetensors([("a", [1])]), in: folder)
            try download("sub/config.json", Array("{}".utf8), in: folder)
            try folder.write(".cache/huggingface/.gitignore", "*")
            try folder.write(".cache/huggingface/download/model.safetensors.lock", "")
            let repo = try verify(plain: folder.path)
            #expect(repo.id == "local:" + folder.path.text && repo.folder == ".")
            #expect(try repo.revision.commit?.hex == commit(1))
            #expect(try repo.revision.state == .complete && repo.revision.findings.isEmpty && repo.findings.isEmpty)
            #expect(try repo.revision.fileCount == 2)
        }
    }

    @Test func metadataThatDisagree() throws {
        try withTestFolder { folder in
            try download("model.safetensors", safetensors([("a", [1])]), in: folder)
            try download("config.json", Array("{}".utf8), commit: commit(2), in: folder)
            #expect(try verify(plain: folder.path).revision.commit == nil)
        }
    }

    @Test func fileThatIsEmptyAgainstItsRecord() throws {
        try withTestFolder { folder in
            try download("model.bin", [], etag: ReferenceDigest.sha256([1]), in: folder)
            let revision = try verify(plain: folder.path, depth: .structure).revision
            #expect(try revision.findings.only(.digestMismatch).expected == ReferenceDigest.sha256([1]))
            // Changed by its owner since: the record says nothing any more.
            try folder.setTimes("model.bin", accessed: 1_800_000_000, modified: 1_800_000_000)
            #expect(try verify(plain: folder.path, depth: .structure).revision.state == .complete)
        }
    }

    @Test func manifestOfALocalFolder() throws {
        try withTestFolder { folder in
            let weights = safetensors([("a", [1])])
            try download("model.safetensors", weights, in: folder)
            let text = """
                {"format_version": 1, "files": {"model.safetensors": {"size": \(weights.count + 1), "blob_id": "\(commit(3))",
                "lfs_sha256": "\(ReferenceDigest.sha256(weights))", "lfs_size": \(weights.count + 1)}}}
                """
            try folder.write(BytePath(".cache/huggingface/trees/\(commit(1)).json"), text)
            let revision = try verify(plain: folder.path).revision
            #expect(revision.findings.codes(.error) == [.sizeMismatch])
        }
    }

    @Test func interruptedDownload() throws {
        try withTestFolder { folder in
            let weights = safetensors([("a", [1])])
            let etag = ReferenceDigest.sha256(weights)
            try download("config.json", Array("{}".utf8), in: folder)
            let text = """
                {"format_version": 1, "files": {"model.safetensors": {"size": \(weights.count), "blob_id": "\(commit(3))",
                "lfs_sha256": "\(etag)", "lfs_size": \(weights.count)}}}
                """
            try folder.write(BytePath(".cache/huggingface/trees/\(commit(1)).json"), text)
            let partial = BytePath(".cache/huggingface/download/c2FsdGVk.\(etag).0a1b2c3d.incomplete")
            try folder.write(partial, [1])
            let dead = try verify(plain: folder.path)
            #expect(try dead.revision.findings.only(.missingFile).file == "model.safetensors")
            #expect(try dead.findings.only(.stalePartial).path == partial)
            let file = try HeldFile(folder, partial)
            defer { file.release() }
            let live = try verify(plain: folder.path)
            #expect(try live.revision.state == .downloading)
            #expect(live.findings.codes == [.inFlight])
        }
    }

    @Test func shardsAndIndexes() throws {
        try withTestFolder { folder in
            try folder.write("model-00001-of-00002.safetensors", safetensors([("a", [1])]))
            try folder.write(
                "model.safetensors.index.json",
                shardIndex([("a", "model-00001-of-00002.safetensors"), ("b", "model-00002-of-00002.safetensors")]))
            #expect(try verify(plain: folder.path).revision.findings.codes(.error) == [.missingShard])
            try folder.write("model-00002-of-00002.safetensors", safetensors([("c", [1])]))
            #expect(try verify(plain: folder.path).revision.findings.codes(.error) == [.tensorMissing])
            try folder.write("model-00002-of-00002.safetensors", safetensors([("b", [1])]))
            #expect(try verify(plain: folder.path).revision.state == .complete)
        }
    }

    @Test func cloneWithoutItsLargeFiles() throws {
        try withTestFolder { folder in
            try folder.write(".git/config", "x")
            try folder.write(".git/odd.safetensors", [1])
            try folder.write("model.safetensors", lfsPointer(of: [1, 2, 3]))
            let revision = try verify(plain: folder.path).revision
            #expect(revision.findings.codes(.error) == [.lfsPointer])
            #expect(revision.fileCount == 1)
        }
    }

    @Test func linksOfAPlainFolder() throws {
        try withTestFolder { folder in
            try folder.write("w/real.safetensors", safetensors([("a", [1])]))
            try folder.write("outside.safetensors", safetensors([("a", [1])]))
            try folder.link("w/inside.safetensors", to: "real.safetensors")
            try folder.link("w/out.safetensors", to: "../outside.safetensors")
            try folder.link("w/loop", to: ".")
            try folder.link("w/blobs", to: "real.safetensors")
            try folder.link("w/nothing", to: "nowhere")
            try folder.fifo("w/pipe.bin")
            let watch = try OpenWatch([folder.absolute("outside.safetensors")])
            defer { watch.close() }
            let revision = try verify(plain: folder.absolute("w")).revision
            #expect(
                revision.findings.filter { $0.severity == .error }.map { [$0.file?.text, $0.code.rawValue] }.sorted {
                    ($0[0] ?? "") < ($1[0] ?? "")
                }
                    == [
                        ["nothing", "dangling-link"], ["out.safetensors", "link-escapes-cache"],
                        ["pipe.bin", "not-a-file"],
                    ])
            #expect(!watch.sawOpen)
        }
    }

    @Test func hostileMetadata() throws {
        try withTestFolder { folder in
            try folder.write("model.safetensors", safetensors([("a", [1])]))
            let records = [
                "", "x", "\n\n\n", "\(commit(1))\n\n1\n", "\(commit(1))\ne\nnan\n", "\(commit(1))\ne\n1e300\n",
                "\(commit(1))\ne\n-5\n", String(repeating: "9", count: 10_000),
            ]
            for record in records {
                try folder.write(".cache/huggingface/download/model.safetensors.metadata", record)
                let revision = try verify(plain: folder.path).revision
                #expect(revision.commit == nil && revision.state == .complete, "\(record.prefix(60))")
            }
            folder.delete(".cache/huggingface/download/model.safetensors.metadata")
            try folder.fifo(".cache/huggingface/download/model.safetensors.metadata")
            try folder.fifo(BytePath(".cache/huggingface/trees/\(commit(1)).json"))
            try folder.link(".cache/huggingface/download/loop", to: "..")
            #expect(try verify(plain: folder.path).revision.state == .complete)
        }
    }

    @Test func emptyFolder() throws {
        try withTestFolder { folder in
            let revision = try verify(plain: folder.path).revision
            #expect(revision.findings.codes(.error) == [.emptySnapshot])
        }
    }
}
