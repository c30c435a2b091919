import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

/// What a user writes about a daemon must not have root take somebody else's process for it: `reload` would signal that.
@Suite(.enabled(if: geteuid() == 0, "SKIPPED: only root believes other users' files"))
struct ForgedStatusTests {
    @Test(arguments: [UInt32(0), 4321]) func aFileNamesOnlyProcessesOfItsOwner(writer: UInt32) throws {
        try withTestFolder { folder in
            // A process of root's that SIGHUP would end.
            let victim = try Program.start([], wrapper: ["/bin/sh", "-c", "exec sleep 60"])
            defer { victim.process.terminate() }
            let id = victim.process.processIdentifier
            let start = try #require(ProcessTable.process(id)?.startTicks)
            try folder.write(
                "daemon.json",
                """
                {"pid":\(id),"start_ticks":\(start),"uid":\(writer),"state":"/nowhere","version":"0","since":\
                "2026-01-01T00:00:00Z","ready":true,"mode":"observe","policy":{"ok":true,"error":null,"readings":1},\
                "status":"","caches":[],"conditions":[],"next":[],"last_pass":null,\
                "work":{"queued":0,"downloads":[],"scrub":[]}}
                """)
            try folder.chmod("daemon.json", 0o644)
            try FileManager.default.setAttributes(
                [.ownerAccountID: writer], ofItemAtPath: folder.path.appending("daemon.json").text)
            let document = try Program.run(
                ["status", "--json"],
                environment: ["RUNTIME_DIRECTORY": folder.path.text, "HFJANITOR_SOCKET": folder.path.text + "/none"])
            #expect(document.output.contains("\"pid\":\(id),") == (writer == 0), "\(document)")
        }
    }
}
