internal import HubCache
internal import LinuxIO
internal import PolicyFile
internal import Synchronization

/// Reads the policy when its files changed, on a thread of its own.
///
/// inotify only says when to look; whether something changed is told by the files. What it cannot tell of, such as a link
/// above the folder that leads elsewhere now, is found by a look every half minute.
final class PolicyWatch: Sendable {
    /// Why the policy was read.
    enum Occasion: Sendable, Hashable {
        case edit
        /// All requests up to that number.
        case request(Int)
    }
    typealias Reading = Result<LoadedPolicy, PolicyFailure>

    private struct State {
        var isStopped = false
        var isRequested = false
        var requests = 0
    }

    private static let quiet: UInt64 = 2_000_000_000
    private static let shortestRest: UInt64 = 100_000_000
    private static let pollInterval: UInt64 = 30_000_000_000
    /// What changes all the time is read at some point nevertheless.
    private static let longestQuiet = 10

    private let location: PolicyLocation
    private let state = Mutex(State())
    private let bell: WakeUp
    private let report: @Sendable (Occasion, Reading) -> Void

    /// - Throws: `SystemCallFailure` when the process may open no more descriptors.
    init(_ location: PolicyLocation, report: @escaping @Sendable (Occasion, Reading) -> Void)
        throws(SystemCallFailure)
    {
        self.location = location
        self.report = report
        bell = try WakeUp()
    }

    /// Reads the policy as it is now.
    static func read(_ location: PolicyLocation) -> Reading {
        do throws(PolicyFailure) { return .success(try PolicyLoader(location, looksAtCaches: false).load()) } catch {
            return .failure(error)
        }
    }

    /// What the files look like now: taken before they are read, so that no later change is missed.
    var mark: Fingerprint { fingerprint() }

    /// Watches from a state of the files on.
    func start(since mark: Fingerprint) { _ = BackgroundThread(name: "policy") { self.run(since: mark) } }

    /// Has it read now, changed or not.
    ///
    /// - Returns: the request's number: what is reported for it or a later one was read after this call.
    @discardableResult
    func request() -> Int {
        let number = state.withLock { state in
            state.isRequested = true
            state.requests += 1
            return state.requests
        }
        bell.ring()
        return number
    }

    func stop() {
        state.withLock { $0.isStopped = true }
        bell.ring()
    }

    private func run(since mark: Fingerprint) {
        var known = mark
        var rest = Self.shortestRest
        while true {
            let watch = try? Inotify()
            if let watch { arm(watch) }
            // Between the last look and arming something may have changed.
            let begun = monotonicNanoseconds()
            if fingerprint() == known, !isCalled { wait(watch, atMost: Self.pollInterval) }
            if monotonicNanoseconds() &- begun > Self.quiet { rest = Self.shortestRest }
            if state.withLock({ $0.isStopped }) { return }
            let request = state.withLock { state -> Int? in
                defer { state.isRequested = false }
                return state.isRequested ? state.requests : nil
            }
            if let request {
                known = fingerprint()
                report(.request(request), Self.read(location))
                continue
            }
            var found = fingerprint()
            guard found != known else {
                // In the folders around, others may be busy all the time.
                bell.wait(atMost: rest)
                rest = min(rest * 2, Self.quiet)
                continue
            }
            for _ in 0..<Self.longestQuiet where !isCalled {
                bell.wait(atMost: Self.quiet)
                let next = fingerprint()
                if next == found { break }
                found = next
            }
            if isCalled { continue }
            known = found
            report(.edit, Self.read(location))
        }
    }

    private var isCalled: Bool { state.withLock { $0.isStopped || $0.isRequested } }

    private func wait(_ watch: Inotify?, atMost nanoseconds: UInt64) {
        let inputs = [PolledInput(bell.raw)] + (watch.map { [PolledInput($0.raw)] } ?? [])
        let ready = waitForInput(inputs, atMost: nanoseconds)
        if ready[0] { bell.clear() }
    }

    // MARK: the files

    private var files: [BytePath] {
        var files = location.candidates
        if !files.contains(location.machineFile) { files.append(location.machineFile) }
        return files
    }

    private func arm(_ watch: Inotify) {
        for file in files {
            // The nearest folder that is there, so that the others are seen to be made.
            var folder = Self.parent(of: file)
            while true {
                if let opened = try? OwnedDescriptor.open(trustedPath: folder, options: .directory) {
                    Self.watch(opened, by: watch)
                    break
                }
                if folder == "/" || folder == "." { break }
                folder = Self.parent(of: folder)
            }
            if let above = try? OwnedDescriptor.open(
                trustedPath: Self.parent(of: Self.parent(of: file)), options: .directory)
            {
                // A link to the folder is replaced here.
                _ = try? watch.watch(above, for: .changes)
            }
            let dropIns = Self.parent(of: file).appending(PolicyLocation.dropInFolderName)
            if let opened = try? OwnedDescriptor.open(trustedPath: dropIns, options: .directory) {
                Self.watch(opened, by: watch)
            }
        }
    }

    /// Watches a folder, and in a Kubernetes volume also the one that its files are in.
    private static func watch(_ folder: borrowing OwnedDescriptor, by watch: Inotify) {
        _ = try? watch.watch(folder, for: .changes)
        if let current = PolicyVolume.currentFolder(of: folder),
            let version = try? folder.open(current, options: .directory)
        {
            _ = try? watch.watch(version, for: .changes)
        }
    }

    private static func parent(of path: BytePath) -> BytePath {
        path.parent.isEmpty ? (path.hasPrefix("/") ? "/" : ".") : path.parent
    }

    private func fingerprint() -> Fingerprint {
        var print = Fingerprint()
        for file in files {
            guard let folder = try? OwnedDescriptor.open(trustedPath: Self.parent(of: file), options: .directory)
            else { continue }
            print.add(file)
            Self.add(try? folder.stat(), to: &print)
            Self.add(try? folder.stat(of: file.lastComponent), to: &print)
            Self.addVolume([file.lastComponent], in: folder, to: &print)
            let name = PolicyLocation.dropInFolderName
            guard let dropIns = try? folder.open(name, options: .directory), let listing = try? dropIns.listDirectory()
            else { continue }
            Self.add(try? dropIns.stat(), to: &print)
            let entries = listing.entries.sorted { $0.name < $1.name }.filter { $0.name.hasSuffix(".yaml") }
            for entry in entries {
                print.add(entry.name)
                Self.add(entry.stat, to: &print)
            }
            Self.addVolume(entries.map(\.name), in: dropIns, to: &print)
        }
        return print
    }

    /// What the links of a Kubernetes volume lead to: they stay as they are when `..data` is replaced.
    private static func addVolume(
        _ names: [BytePath], in folder: borrowing OwnedDescriptor, to print: inout Fingerprint
    ) {
        guard let current = PolicyVolume.currentFolder(of: folder) else { return }
        print.add(current)
        guard let version = try? folder.open(current, options: .directory) else { return }
        add(try? version.stat(), to: &print)
        for name in names { add(try? version.stat(of: name), to: &print) }
    }

    /// Folders by who they are and who may write there; what else is in them does not matter.
    private static func add(_ stat: FileStat?, to print: inout Fingerprint) {
        guard var stat else { return print.add(UInt64(0)) }
        // Being read is no change.
        stat.accessed = Timestamp(nanoseconds: 0)
        if stat.kind == .directory {
            print.add(stat.key.device)
            print.add(stat.key.inode)
            print.add(UInt64(stat.permissions))
            print.add(UInt64(stat.uid))
        } else {
            print.add(stat)
        }
    }
}
