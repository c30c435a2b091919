import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

@testable import SystemdSupport

/// An event with every field, and with text that wants to do harm.
let fullEvent = JournalEvent(
    .finding, priority: .warning, "shard 'a\nMESSAGE=b' is \u{1B}[31mmissing",
    EventFields(
        cache: "/srv/hf", repo: "model/org/name", revision: CommitHash("0123456789012345678901234567890123456789"),
        path: BytePath(bytes: Array("snapshots/x\n".utf8) + [0xff]), blob: "e\"t\\ag", code: "missing-shard",
        rule: "rule\u{202E}", reason: "ünïcode", bytes: .max, freeBytes: 0, durationMicroseconds: 1, checked: 2,
        incomplete: 3, removed: 4, errors: 5))

@Suite struct EventTests {
    @Test func everyKindOfTheContractIsThere() {
        let names = """
            daemon-ready arrived finding finding-cleared download-started download-joined download-finished
            download-failed repaired removed kept floor-breached floor-held floor-unreachable policy-applied
            policy-rejected watch-degraded scrub-finished pass daemon-stopping eviction-ineffective
            """
        #expect(
            Set(EventKind.allCases.map(\.rawValue)) == Set(names.split(whereSeparator: \.isWhitespace).map(String.init))
        )
    }

    @Test func everyKindHasAMessageIDOfItsOwn() {
        let ids = EventKind.allCases.map(\.messageID)
        #expect(Set(ids).count == ids.count)
        for id in ids {
            #expect(id.count == 32 && id.allSatisfy { "0123456789abcdef".contains($0) })
            // A random UUID, as sd-id128(3) asks.
            #expect(Array(id)[12] == "4" && "89ab".contains(Array(id)[16]))
        }
    }

    @Test func theNativeMessageHasALineAField() {
        let message = String(decoding: fullEvent.nativeMessage(identifier: "hfjanitor"), as: UTF8.self)
        #expect(
            message == """
                MESSAGE=shard 'a\\x0AMESSAGE=b' is \\x1B[31mmissing
                PRIORITY=4
                MESSAGE_ID=\(EventKind.finding.messageID)
                SYSLOG_IDENTIFIER=hfjanitor
                HFJ_EVENT=finding
                HFJ_CACHE=/srv/hf
                HFJ_REPO=model/org/name
                HFJ_REVISION=0123456789012345678901234567890123456789
                HFJ_PATH=snapshots/x\\x0A\\xFF
                HFJ_BLOB=e"t\\ag
                HFJ_CODE=missing-shard
                HFJ_RULE=rule\\xE2\\x80\\xAE
                HFJ_REASON=ünïcode
                HFJ_BYTES=18446744073709551615
                HFJ_FREE_BYTES=0
                HFJ_DURATION_USEC=1
                HFJ_CHECKED=2
                HFJ_INCOMPLETE=3
                HFJ_REMOVED=4
                HFJ_ERRORS=5

                """)
    }

    @Test func whatIsNotSetIsNotSent() {
        let message = String(decoding: JournalEvent(.pass, "done").nativeMessage(identifier: "x"), as: UTF8.self)
        #expect(message.components(separatedBy: "HFJ_").count == 2)
        #expect(message.contains("PRIORITY=6\n"))
    }

    @Test func theJSONLineIsOneObject() throws {
        let line = fullEvent.jsonLine(time: "2026-01-01T00:00:00.000Z")
        #expect(line.hasSuffix("}\n") && line.dropLast().allSatisfy { $0 != "\n" })
        // As text: a decoder would hide how a number is written.
        #expect(line.contains("\"bytes\":18446744073709551615,\"free_bytes\":0,"))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        #expect(object["time"] as? String == "2026-01-01T00:00:00.000Z")
        #expect(object["level"] as? String == "warning")
        #expect(object["event"] as? String == "finding")
        #expect(object["message_id"] as? String == EventKind.finding.messageID)
        #expect(object["message"] as? String == "shard 'a\\x0AMESSAGE=b' is \\x1B[31mmissing")
        #expect(object["path"] as? String == "snapshots/x\\x0A\\xFF")
        #expect(object["blob"] as? String == "e\"t\\ag")
        #expect(object["duration_usec"] as? Int == 1)
        #expect(object.count == 20)
    }

    @Test func aTerminalGetsOneLine() {
        #expect(
            fullEvent.terminalLine(time: "12:00:00", hasColour: false)
                == "12:00:00 warning: shard 'a\\x0AMESSAGE=b' is \\x1B[31mmissing\n")
        #expect(JournalEvent(.pass, "done").terminalLine(time: "12:00:00", hasColour: true) == "12:00:00 done\n")
        #expect(
            JournalEvent(.finding, "bad").terminalLine(time: "12:00:00", hasColour: true)
                == "\u{1B}[31m12:00:00 error: bad\u{1B}[0m\n")
    }
}
