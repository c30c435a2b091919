import Foundation
import HubCache
import TestSupport
import Testing

/// What a service manager is told.
@Suite(.serialized) struct ServiceTests {
    @Test func theManagerIsToldOfEveryStep() throws {
        try withTestCache { cache in
            try cache.repo().model()
            let manager = try TestManager(cache.outer.path.appending("notify"))
            let policy = cache.outer.path.appending("policy.yaml")
            try cache.outer.write("policy.yaml", "mode: observe\n")
            let daemon = try RunningTestDaemon(
                cache: cache.path, policy: policy, state: cache.outer.path.appending("state"),
                environment: ["NOTIFY_SOCKET": manager.path.text, "WATCHDOG_USEC": "400000"])
            try manager.wait(for: "READY=1")
            // The inventory was over by then.
            #expect(daemon.wait { daemon.events.contains { $0.event == "daemon-ready" } })
            #expect(manager.text.contains("EXTEND_TIMEOUT_USEC="))
            try manager.wait(for: "STATUS=observe; watching 1 repos")
            for _ in 0..<3 {
                manager.clear()
                try manager.wait(for: "WATCHDOG=1")
            }
            manager.clear()
            daemon.signal(SIGHUP)
            try manager.wait(for: "RELOADING=1\nMONOTONIC_USEC=")
            try manager.wait(for: "READY=1")
            try cache.outer.write("policy.yaml", "nonsense: 1\n")
            manager.clear()
            daemon.signal(SIGHUP)
            try manager.wait(for: "READY=1")
            #expect(manager.text.contains("policy wrong"))
            #expect(manager.text.contains("policy.yaml:1:1"))
            #expect(daemon.stop() == 0)
            try manager.wait(for: "STOPPING=1")
        }
    }

    /// A cache that a client writes to all the time must not keep the watchdog waiting.
    @Test func theWatchdogIsFedDuringAStorm() throws {
        try withTestCache { cache in
            let repo = cache.repo()
            try repo.model()
            let manager = try TestManager(cache.outer.path.appending("notify"))
            let daemon = try RunningTestDaemon(
                cache: cache.path, state: cache.outer.path.appending("state"),
                environment: ["NOTIFY_SOCKET": manager.path.text, "WATCHDOG_USEC": "200000"])
            try manager.wait(for: "READY=1")
            for round in 0..<5 {
                manager.clear()
                for number in 0..<2000 { try repo.ref(BytePath("r\(number % 50)"), commit(round + 1)) }
                try manager.wait(for: "WATCHDOG=1")
            }
            #expect(daemon.stop() == 0)
        }
    }
}

/// A socket that takes what a service says.
final class TestManager {
    let path: BytePath
    private let descriptor: Int32
    private(set) var text = ""

    init(_ path: BytePath) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
            for (index, byte) in path.bytes.enumerated() { unsafe room[index] = byte }
        }
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard descriptor >= 0, bound == 0 else { throw SetupFailure("cannot bind \(path): errno \(errno)") }
    }

    deinit { close(descriptor) }

    func clear() {
        drain(milliseconds: 0)
        text = ""
    }

    /// Waits as long as any machine may take.
    func wait(for words: String, location: SourceLocation = #_sourceLocation) throws {
        let end = Date().addingTimeInterval(90)
        while !text.contains(words), Date() < end { drain(milliseconds: 200) }
        try #require(text.contains(words), "no \(words) in \(text)", sourceLocation: location)
    }

    private func drain(milliseconds: Int32) {
        var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while unsafe poll(&input, 1, milliseconds) > 0 {
            var buffer = [UInt8](repeating: 0, count: 8192)
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return }
            text += String(decoding: buffer[..<count], as: UTF8.self) + "\n"
            if milliseconds > 0 { return }
        }
    }
}
