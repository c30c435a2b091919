import Glibc
import HubCache
import SystemdSupport
import TestSupport
import Testing

@Suite struct NotifierTests {
    private func notifier(_ variable: String) -> Notifier {
        Notifier(ServiceEnvironment(environment: ["NOTIFY_SOCKET": variable], processID: getpid()))
    }

    @Test func everyNoticeArrives() throws {
        try withTestFolder { folder in
            let receiver = try Receiver("\(folder.path)/notify")
            let notifier = notifier(receiver.variable)
            #expect(notifier.isConnected)
            #expect(notifier.send(.ready, .status("serving 3 caches")))
            #expect(receiver.next() == "READY=1\nSTATUS=serving 3 caches")
            #expect(notifier.send(.watchdog))
            #expect(receiver.next() == "WATCHDOG=1")
            notifier.send(.extendTimeout(.milliseconds(1500)), .mainProcess(42))
            #expect(receiver.next() == "EXTEND_TIMEOUT_USEC=1500000\nMAINPID=42")
            notifier.send(.extendTimeout(.seconds(-1)), .stopping)
            #expect(receiver.next() == "EXTEND_TIMEOUT_USEC=0\nSTOPPING=1")
        }
    }

    /// The manager takes a reload for one that began after its own question only by the monotonic clock.
    @Test func aReloadCarriesTheTimeItBegan() throws {
        try withTestFolder { folder in
            let receiver = try Receiver("\(folder.path)/notify")
            var before = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &before)
            notifier(receiver.variable).send(.reloading)
            var after = timespec()
            unsafe clock_gettime(CLOCK_MONOTONIC, &after)
            let lines = (receiver.next() ?? "").split(separator: "\n")
            #expect(lines.first == "RELOADING=1")
            let time = lines.last?.split(separator: "=").last.flatMap { Int($0) } ?? 0
            #expect(time >= before.tv_sec * 1_000_000 + before.tv_nsec / 1000)
            #expect(time <= after.tv_sec * 1_000_000 + after.tv_nsec / 1000)
        }
    }

    @Test func anAbstractSocketIsReached() throws {
        let receiver = try Receiver("@hfjanitor-test-\(UInt64.random(in: 0 ... .max))")
        #expect(notifier(receiver.variable).send(.ready))
        #expect(receiver.next() == "READY=1")
    }

    /// A model's name may have any bytes; none of them may say something of its own to the manager.
    @Test func aStatusStaysOneLineOfBoundedLength() throws {
        try withTestFolder { folder in
            let receiver = try Receiver("\(folder.path)/notify")
            let notifier = notifier(receiver.variable)
            notifier.send(.status("verifying a\nMAINPID=1\u{202E}b"))
            #expect(receiver.next() == "STATUS=verifying a\\x0AMAINPID=1\\xE2\\x80\\xAEb")
            notifier.send(.ready, .status(String(repeating: "é", count: 100_000)))
            let message = receiver.next() ?? ""
            #expect(message.utf8.count < 4096)
            #expect(message.hasPrefix("READY=1\nSTATUS=éé"))
            #expect(message.hasSuffix("é…"))
        }
    }

    @Test(arguments: ["", "relative", "vsock:2:1", "@", "/" + String(repeating: "x", count: 200), "/nowhere/at/all"])
    func withoutAManagerNothingHappens(_ variable: String) {
        #expect(!notifier(variable).send(.ready))
    }

    @Test func withoutTheVariableNothingHappens() {
        let notifier = Notifier(ServiceEnvironment(environment: [:], processID: 1))
        #expect(!notifier.isConnected)
        #expect(!notifier.send(.ready, .watchdog))
    }

    /// A manager that no longer reads its queue must not stop the caller for good.
    @Test func aFullQueueIsGivenUpOn() throws {
        try withTestFolder { folder in
            let receiver = try Receiver("\(folder.path)/notify")
            let notifier = notifier(receiver.variable)
            var delivered = 0
            while delivered < 100_000, notifier.send(.watchdog) { delivered += 1 }
            #expect(delivered < 100_000)
            #expect(receiver.next() == "WATCHDOG=1")
            #expect(notifier.send(.stopping))
        }
    }

    /// The manager may be replaced (daemon-reexec); its socket is looked up each time.
    @Test func aNewReceiverUnderTheSameNameIsFound() throws {
        try withTestFolder { folder in
            let notifier = notifier("\(folder.path)/notify")
            #expect(!notifier.send(.ready))
            let receiver = try Receiver("\(folder.path)/notify")
            #expect(notifier.send(.ready))
            #expect(receiver.next() == "READY=1")
        }
    }
}
