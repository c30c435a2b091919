import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

@testable import SystemdSupport

@Suite struct JournalDestinationTests {
    private func environment(_ stream: Int32?) -> ServiceEnvironment {
        var status = stat()
        guard let stream, unsafe fstat(stream, &status) == 0 else {
            return ServiceEnvironment(environment: [:], processID: 1)
        }
        return ServiceEnvironment(
            environment: ["JOURNAL_STREAM": "\(status.st_dev):\(status.st_ino)"], processID: 1)
    }

    private func withFile(_ body: (TestFolder, Int32) throws -> Void) throws {
        try withTestFolder { folder in
            try folder.write("errors", "")
            let stream = unsafe open("\(folder.path)/errors", O_WRONLY | O_APPEND)
            defer { close(stream) }
            try body(folder, stream)
        }
    }

    private func text(_ folder: TestFolder) throws -> String {
        try String(contentsOfFile: "\(folder.path)/errors", encoding: .utf8)
    }

    @Test func aFileOrPipeGetsJSON() throws {
        try withFile { folder, stream in
            let journal = Journal(environment(nil), stream: stream)
            #expect(journal.destination == .jsonLines)
            journal.send(fullEvent)
            journal.send(JournalEvent(.pass, "done"))
            let lines = try text(folder).split(separator: "\n")
            #expect(lines.count == 2)
            let object = try #require(try JSONSerialization.jsonObject(with: Data(lines[1].utf8)) as? [String: Any])
            let time = try #require(object["time"] as? String)
            let parser = ISO8601DateFormatter()
            parser.formatOptions.insert(.withFractionalSeconds)
            #expect(abs(try #require(parser.date(from: time)).timeIntervalSinceNow) < 3600)
        }
    }

    /// A stream that was redirected after the service manager connected it is not the journal any more.
    @Test func anotherStreamThanTheJournalsIsNotTheJournal() throws {
        try withFile { folder, stream in
            try folder.write("other", "")
            let other = unsafe open("\(folder.path)/other", O_WRONLY)
            defer { close(other) }
            #expect(!Journal.isJournal(stream, environment(other)))
            #expect(Journal.isJournal(stream, environment(stream)))
            #expect(!Journal.isJournal(-1, environment(stream)))
            #expect(Journal(environment(other), stream: stream).destination == .jsonLines)
        }
    }

    @Test func aJournalWithoutItsSocketGetsPriorities() throws {
        try withFile { folder, stream in
            let journal = Journal(environment(stream), stream: stream, socket: "/nowhere/socket")
            #expect(journal.destination == .journalStream)
            journal.send(fullEvent)
            let line = try text(folder)
            #expect(line == "<4>shard 'a\\x0AMESSAGE=b' is \\x1B[31mmissing\n")
        }
    }

    @Test func aJournalWithItsSocketGetsFields() throws {
        try withFile { folder, stream in
            let receiver = try Receiver("\(folder.path)/socket")
            let journal = Journal(
                environment(stream), identifier: "me\nyou", stream: stream, socket: BytePath(receiver.variable))
            #expect(journal.destination == .journal)
            journal.send(JournalEvent(.pass, "done"))
            let message = try #require(receiver.next())
            #expect(message.hasPrefix("MESSAGE=done\n"))
            #expect(message.contains("\nSYSLOG_IDENTIFIER=me\\x0Ayou\n"))
            let text = try text(folder)
            #expect(text.isEmpty)
        }
    }

    @Test func aTerminalGetsText() throws {
        var leader: Int32 = 0
        var follower: Int32 = 0
        #expect(unsafe openpty(&leader, &follower, nil, nil, nil) == 0)
        defer {
            close(leader)
            close(follower)
        }
        let journal = Journal(environment(nil), stream: follower, wantsColour: false)
        #expect(journal.destination == .terminal)
        journal.send(JournalEvent(.finding, "a shard is missing"))
        var buffer = [UInt8](repeating: 0, count: 200)
        let count = unsafe read(leader, &buffer, buffer.count)
        let line = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
        #expect(line.dropFirst(8) == " error: a shard is missing\r\n")
    }

    /// A journald that hangs or is gone must not take the daemon with it.
    @Test func whatCannotBeDeliveredIsCounted() throws {
        try withTestFolder { folder in
            let name = try #require(SocketName(path: folder.absolute("socket")))
            let receiver = try Receiver("\(folder.path)/socket")
            let journal = Journal(identifier: "x", socket: try DatagramSocket(to: name, milliseconds: 20))
            for _ in 0..<100_000 where journal.lostEvents == 0 { journal.send(JournalEvent(.pass, "done")) }
            #expect(journal.lostEvents == 1)
            #expect(receiver.next() != nil)
            journal.send(JournalEvent(.pass, "done"))
            #expect(journal.lostEvents == 1)
            folder.delete("socket")
            journal.send(JournalEvent(.pass, "done"))
            #expect(journal.lostEvents == 2)
        }
    }

    @Test func aClosedStreamIsCounted() throws {
        var ends: [Int32] = [0, 0]
        #expect(unsafe pipe(&ends) == 0)
        close(ends[0])
        signal(SIGPIPE, SIG_IGN)
        let journal = Journal(environment(nil), stream: ends[1])
        journal.send(JournalEvent(.pass, "done"))
        #expect(journal.lostEvents == 1)
        close(ends[1])
    }

    @Test func linesOfManyThreadsDoNotMix() throws {
        try withFile { folder, stream in
            let journal = Journal(environment(nil), stream: stream)
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                for _ in 0..<50 { journal.send(fullEvent) }
            }
            let lines = try text(folder).split(separator: "\n")
            #expect(lines.count == 400)
            #expect(lines.allSatisfy { $0.hasPrefix("{\"time\":") && $0.hasSuffix("\"errors\":5}") })
        }
    }
}

/// journald itself, in namespaces of its own. Its socket is reached from outside through `/proc`.
private final class RealJournal {
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()
    let socket: BytePath

    private static let script = """
        set -e
        mount -t proc proc /proc
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/journal /run/log/journal
        printf '[Journal]\\nStorage=volatile\\nAudit=no\\nReadKMsg=no\\nRateLimitBurst=0\\n' >/run/journald.conf
        mount --bind /run/journald.conf /etc/systemd/journald.conf
        "$1" >&2 &
        while [ ! -S /run/systemd/journal/socket ]; do kill -0 $!; sleep 0.05; done
        echo ready
        read -r line
        journalctl --sync
        journalctl -D /run/log/journal -o json --all SYSLOG_IDENTIFIER=hfjanitor
        kill $!
        wait
        """

    init() throws {
        try needRoot()
        try needNamespaces()
        try need(find("systemd-journald") != nil && find("journalctl") != nil, "systemd-journald")
        try need(FileManager.default.fileExists(atPath: "/etc/systemd/journald.conf"), "/etc/systemd/journald.conf")
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        process.arguments =
            ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", Self.script, "sh"]
            + [find("systemd-journald") ?? ""]
        process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"]
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        guard Self.line(output.fileHandleForReading) == "ready" else {
            throw CannotTest(description: "journald did not start")
        }
        // The process that unshare made: its view of /run is the private one.
        let parent = process.processIdentifier
        let children = try String(contentsOfFile: "/proc/\(parent)/task/\(parent)/children", encoding: .utf8)
        let child = children.split(separator: " ").first ?? ""
        socket = BytePath("/proc/\(child)/root/run/systemd/journal/socket")
    }

    /// Ends it and returns what it has.
    func entries() throws -> [[String: Any]] {
        try input.fileHandleForWriting.write(contentsOf: Data("\n".utf8))
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return try text.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    private static func line(_ handle: FileHandle) -> String {
        var bytes: [UInt8] = []
        while let byte = try? handle.read(upToCount: 1)?.first, byte != 0x0a { bytes.append(byte) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

@Suite struct RealJournalTests {
    @Test func journaldHasEveryFieldAndLongMessagesToo() throws {
        let real = try RealJournal()
        let name = try #require(SocketName(path: real.socket))
        let journal = Journal(
            identifier: "hfjanitor", socket: try DatagramSocket(to: name, milliseconds: 10_000))
        journal.send(fullEvent)
        // Too long for a datagram: it goes through a memory file.
        let long = String(repeating: "0123456789abcdef", count: 1 << 20)
        journal.send(JournalEvent(.removed, "long", EventFields(reason: long)))
        for kind in EventKind.allCases { journal.send(JournalEvent(kind, kind.rawValue)) }
        #expect(journal.lostEvents == 0)

        let entries = try real.entries()
        #expect(entries.count == 2 + EventKind.allCases.count)
        let full = try #require(entries.first)
        for (field, value) in [
            "MESSAGE": "shard 'a\\x0AMESSAGE=b' is \\x1B[31mmissing", "PRIORITY": "4",
            "MESSAGE_ID": EventKind.finding.messageID, "SYSLOG_IDENTIFIER": "hfjanitor", "HFJ_EVENT": "finding",
            "HFJ_CACHE": "/srv/hf", "HFJ_REPO": "model/org/name",
            "HFJ_REVISION": "0123456789012345678901234567890123456789", "HFJ_PATH": "snapshots/x\\x0A\\xFF",
            "HFJ_BLOB": "e\"t\\ag", "HFJ_CODE": "missing-shard", "HFJ_RULE": "rule\\xE2\\x80\\xAE",
            "HFJ_REASON": "ünïcode", "HFJ_BYTES": "18446744073709551615", "HFJ_FREE_BYTES": "0",
            "HFJ_DURATION_USEC": "1", "HFJ_CHECKED": "2", "HFJ_INCOMPLETE": "3", "HFJ_REMOVED": "4", "HFJ_ERRORS": "5",
            "_TRANSPORT": "journal",
        ] {
            #expect(full[field] as? String == value, "\(field)")
        }
        #expect(entries[1]["HFJ_REASON"] as? String == long)
        #expect(entries[1]["MESSAGE_ID"] as? String == EventKind.removed.messageID)
        for (entry, kind) in zip(entries.dropFirst(2), EventKind.allCases) {
            #expect(entry["HFJ_EVENT"] as? String == kind.rawValue)
            #expect(entry["MESSAGE_ID"] as? String == kind.messageID)
            #expect(entry["PRIORITY"] as? String == "\(kind.usualPriority.rawValue)")
        }
    }
}
