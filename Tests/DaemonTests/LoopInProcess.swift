import Foundation
import HubCache
import HubClient
import LinuxIO
import PolicyFile
import Synchronization
import SystemdSupport
import TestSupport
import Testing

@testable import Daemon

/// A daemon's loop in this process, for what is asked of it from within.
final class LoopInProcess: Sendable {
    private final class Place: Sendable {
        let mailbox = Mutex<Mailbox?>(nil)
        let made = DispatchSemaphore(value: 0)
        let isOver = Mutex(false)
    }

    private let place = Place()
    private let thread: BackgroundThread
    private let state: BytePath

    /// - Parameters:
    ///   - text: the policy.
    ///   - caches: those to watch; nil: the test's own.
    init(cache: TestCache, policy text: String, caches: [BytePath]? = nil) throws {
        try cache.outer.write("policy.yaml", text)
        let environment = ["HF_HUB_OFFLINE": "1", "HOME": cache.outer.path.text]
        let location = PolicyLocation(
            named: cache.outer.path.appending("policy.yaml"), environment: environment, home: nil,
            reader: PolicyReaderIdentity(uid: geteuid(), gid: getegid()))
        try cache.outer.makeFolder("state")
        try cache.outer.chmod("state", 0o700)
        let state = cache.outer.path.appending("state")
        self.state = state
        let setup = DaemonSetup(
            policy: location, caches: caches ?? [cache.path], defaultCache: cache.path, stateFolder: state,
            statusFolder: state,
            version: "test", service: ServiceEnvironment(environment: [:], processID: getpid()),
            hub: HubEnvironment(environment: environment, tokenFile: "/nowhere"), wantsColour: false)
        thread = BackgroundThread(name: "loop") { [place] in
            let loop = DaemonLoop(setup)
            place.mailbox.withLock { $0 = loop.mailbox }
            place.made.signal()
            _ = loop.run()
            place.isOver.withLock { $0 = true }
        }
        place.made.wait()
    }

    /// Has something done on the loop's thread, and waits for it.
    func ask<Answer: Sendable>(_ question: @escaping @Sendable (DaemonLoop) -> Answer) throws -> Answer {
        let mailbox = try #require(place.mailbox.withLock { $0 })
        let asked = Slot<Answer>()
        let isDone = DispatchSemaphore(value: 0)
        mailbox.post { loop in
            let found = question(loop)
            asked.answer.withLock { $0 = found }
            isDone.signal()
        }
        try #require(isDone.wait(timeout: .now() + 90) == .success, "the loop does not turn")
        return try #require(asked.answer.withLock { $0 })
    }

    /// Waits until something is so, as long as any machine may take.
    func wait(until isSo: () throws -> Bool) throws {
        let end = Date().addingTimeInterval(90)
        while Date() < end {
            if try isSo() { return }
            usleep(20_000)
        }
        Issue.record("it did not come to be")
    }

    /// What the loop says of the first cache's scrub.
    func scrub() throws -> [String: Any] {
        let text = try ask { $0.scrubDescription.rendered }
        let list = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]]
        return try #require(list?.first)
    }

    /// The status file.
    func status() throws -> [String: Any] {
        let data = try Data(contentsOf: URL(fileURLWithPath: state.appending("daemon.json").text))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    func stop() throws {
        _ = try ask { $0.isStopping = true }
        thread.join()
    }
}

/// Where an answer is left.
private final class Slot<Answer: Sendable>: Sendable {
    let answer = Mutex<Answer?>(nil)
}
