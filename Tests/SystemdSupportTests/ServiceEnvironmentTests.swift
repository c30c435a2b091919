import Foundation
import Glibc
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import SystemdSupport

@Suite struct ServiceEnvironmentTests {
    private func read(_ environment: [String: String], processID: Int32 = 100) -> ServiceEnvironment {
        ServiceEnvironment(environment: environment, processID: processID)
    }

    @Test func theWatchdogIsForTheProcessItNames() {
        #expect(read(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "100"]).watchdogInterval == .seconds(3))
        #expect(read(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "100"]).watchdogPeriod == .milliseconds(1500))
        #expect(read(["WATCHDOG_USEC": "3000000"]).watchdogInterval == .seconds(3))
        #expect(read(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "99"]).watchdogInterval == nil)
    }

    @Test(arguments: ["", "0", "-5", "soon", "99999999999999999999"])
    func aWatchdogThatMakesNoSenseIsNone(_ value: String) {
        #expect(read(["WATCHDOG_USEC": value]).watchdogInterval == nil)
    }

    @Test func socketsAreForTheProcessTheyName() {
        let all = ["LISTEN_FDS": "2", "LISTEN_PID": "100", "LISTEN_FDNAMES": "control:web"]
        #expect(read(all).listenNames == ["control", "web"])
        #expect(read(all, processID: 101).listenNames.isEmpty)
        #expect(read(["LISTEN_FDS": "2"]).listenNames.isEmpty)
        #expect(read(["LISTEN_FDS": "1", "LISTEN_PID": "100"]).listenNames == ["unknown"])
        // Names that do not match their number name nothing.
        #expect(read(all.merging(["LISTEN_FDNAMES": "control"]) { $1 }).listenNames == ["unknown", "unknown"])
    }

    @Test(arguments: ["0", "-1", "x", "1000000000"])
    func aNumberOfSocketsThatMakesNoSenseIsNone(_ value: String) {
        #expect(read(["LISTEN_FDS": value, "LISTEN_PID": "100"]).listenNames.isEmpty)
    }

    @Test func theJournalsStreamIsTwoNumbers() {
        #expect(read(["JOURNAL_STREAM": "8:12345"]).journalStream == FileKey(device: 8, inode: 12345))
        for value in ["", "8", "8:", ":1", "8:1:2", "a:b", "-1:2"] {
            #expect(read(["JOURNAL_STREAM": value]).journalStream == nil)
        }
    }

    /// In a process of its own: the environment belongs to all tests.
    @Test func noChildInheritsWhatWasTaken() async {
        await #expect(processExitsWith: .success) {
            for name in ServiceEnvironment.variables { unsafe setenv(name, "1", 1) }
            unsafe setenv("WATCHDOG_PID", "\(getpid())", 1)
            unsafe setenv("WATCHDOG_USEC", "1000000", 1)
            unsafe setenv("STATE_DIRECTORY", "/var/lib/x", 1)
            let taken = ServiceEnvironment.take(environment: ["WATCHDOG_USEC": "1000000"])
            #expect(taken.watchdogInterval == .seconds(1))
            let left = try run("env", [], environment: ProcessInfo.processInfo.environment).output
            for name in ServiceEnvironment.variables {
                #expect(!left.contains("\(name)="))
                #expect(unsafe getenv(name) == nil)
            }
            #expect(left.contains("STATE_DIRECTORY=/var/lib/x"))
        }
    }
}

@Suite struct SocketActivationTests {
    /// Copies descriptors to numbers in a row that nobody uses, as the service manager leaves them.
    private func handOver(_ descriptors: [Int32]) -> Int32 {
        let first = Int32.random(in: 600...900)
        for (offset, descriptor) in descriptors.enumerated() {
            precondition(fcntl(first + Int32(offset), F_GETFD) == -1, "the number is in use")
            dup2(descriptor, first + Int32(offset))
            close(descriptor)
        }
        return first
    }

    private func listener(_ path: String) throws -> Int32 {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        try bindSocket(descriptor, path)
        listen(descriptor, 5)
        return descriptor
    }

    @Test func sockets() throws {
        try withTestFolder { folder in
            let unixDatagram = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
            let internet = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            let idle = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            let file = unsafe open("/dev/null", O_RDONLY)
            let first = handOver([
                try listener("\(folder.path)/control"), unixDatagram, internet, idle, file,
                try listener("\(folder.path)/left"),
            ])
            let names = ["control", "datagram", "internet", "idle", "file", "left", "absent"]
            do {
                var activation = SocketActivation(adopting: names, from: first)
                #expect(activation.names == names)
                #expect(fcntl(first, F_GETFD) & FD_CLOEXEC != 0)
                let isOtherThere = try activation.takeListener(named: "other") != nil
                #expect(!isOtherThere)
                for (name, found) in [
                    ("datagram", "not a stream socket"), ("internet", "not a Unix socket"), ("idle", "not listening"),
                    ("file", "not a socket"), ("absent", "not open"),
                ] {
                    do throws(ActivationFailure) {
                        _ = try activation.takeListener(named: name)
                        Issue.record("\(name) was taken")
                    } catch {
                        #expect(error == ActivationFailure(name: name, found: found))
                    }
                }
                // What was wrong is closed, not kept.
                #expect(fcntl(first + 1, F_GETFD) == -1)
                let control = try activation.takeListener(named: "control")
                let isControlThere = try activation.takeListener(named: "control") != nil
                #expect(!isControlThere)
                #expect(activation.names == ["left"])
                #expect(fcntl(first, F_GETFD) >= 0)
                let number = control?.raw
                #expect(number == first)
            }
            // The value is gone, and what nobody took with it; the taken one with its owner.
            #expect(fcntl(first + 5, F_GETFD) == -1)
            #expect(fcntl(first, F_GETFD) == -1)
        }
    }
}

@Suite struct CredentialTests {
    private func credentials(_ path: BytePath) -> Credentials {
        Credentials(ServiceEnvironment(environment: ["CREDENTIALS_DIRECTORY": path.text], processID: 1))
    }

    @Test func secretsAreRead() throws {
        try withTestFolder { folder in
            try folder.write("hf-token", "hf_secret", mode: 0o400)
            try folder.write("empty", "")
            let credentials = credentials(folder.path)
            #expect(try credentials.read("hf-token") == Array("hf_secret".utf8))
            #expect(try credentials.read("hf-token", limit: 9) == Array("hf_secret".utf8))
            #expect(try credentials.read("empty") == [])
            #expect(try credentials.read("other") == nil)
        }
    }

    @Test func whatIsNoPlainSmallFileIsRefused() throws {
        try withTestFolder { folder in
            try folder.write("long", "0123456789")
            try folder.fifo("fifo")
            try folder.makeFolder("folder")
            try folder.write("target", "x")
            try folder.link("link", to: "target")
            let credentials = credentials(folder.path)
            #expect(throws: CredentialFailure(name: "long", reason: "longer than 9 bytes")) {
                try credentials.read("long", limit: 9)
            }
            #expect(throws: CredentialFailure.self) { try credentials.read("fifo") }
            #expect(throws: CredentialFailure.self) { try credentials.read("folder") }
            #expect(throws: CredentialFailure.self) { try credentials.read("link") }
        }
    }

    @Test(arguments: ["", ".", "..", "../secret", "/etc/passwd", "a/b", "a/"])
    func aNameCannotLeaveTheFolder(_ name: String) throws {
        try withTestFolder { folder in
            try folder.write("secret", "x")
            try folder.write("in/a/b", "x")
            #expect(try credentials(folder.path.appending("in")).read(name) == nil)
        }
    }

    @Test func withoutAFolderThereAreNone() throws {
        #expect(try Credentials(ServiceEnvironment(environment: [:], processID: 1)).read("hf-token") == nil)
        #expect(try credentials("/nowhere").read("hf-token") == nil)
        #expect(try credentials("relative").read("hf-token") == nil)
    }
}
