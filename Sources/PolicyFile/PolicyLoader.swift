import HubCache
import LinuxIO
import Retention

/// Reads the policy from the files that it is in.
public struct PolicyLoader: Sendable {
    private let location: PolicyLocation
    private let trusted: TrustedFile
    private let looksAtCaches: Bool
    /// More drop-ins are a mistake.
    private static let maximumDropIns = 100

    /// Makes a loader.
    ///
    /// - Parameter looksAtCaches: whether to warn of paths that are no folders. It opens them, so that a filesystem that
    ///   hangs holds it up.
    public init(_ location: PolicyLocation, looksAtCaches: Bool = true) {
        self.location = location
        self.looksAtCaches = looksAtCaches
        trusted = TrustedFile(reader: location.reader)
    }

    /// Reads the policy: the file, its drop-ins, and the machine's pins. Without any file, the default, which only observes.
    ///
    /// - Throws: `PolicyFailure` with everything that is wrong.
    public func load() throws(PolicyFailure) -> LoadedPolicy {
        var found = Found()
        var chosen: BytePath?
        for file in location.candidates where chosen == nil {
            if read(file, into: &found, givesPinsOnly: false) { chosen = file }
        }
        if chosen == nil, let named = location.named {
            found.refuse(named, "there is no such file")
        }
        if chosen != location.machineFile {
            _ = read(location.machineFile, into: &found, givesPinsOnly: true)
        }
        let parser = PolicyParser(
            home: location.home, isOffline: location.isOffline, folderExists: looksAtCaches ? Self.folderExists : nil)
        return try parser.policy(found.sources, problems: found.problems)
    }

    @Sendable private static func folderExists(_ path: BytePath) -> Bool {
        do throws(SystemCallFailure) {
            _ = try OwnedDescriptor.open(trustedPath: path, options: .directory)
            return true
        } catch {
            return !error.isAbsent
        }
    }

    private struct Found {
        var sources: [PolicySource] = []
        var problems: [Diagnostic] = []

        mutating func refuse(_ file: BytePath, _ message: String) {
            problems.append(Diagnostic(file: file, message: message))
        }
    }

    /// Reads a file and its drop-ins.
    ///
    /// - Returns: whether there is anything, however bad.
    private func read(_ file: BytePath, into found: inout Found, givesPinsOnly: Bool) -> Bool {
        let parent = file.parent.isEmpty ? (file.hasPrefix("/") ? "/" : BytePath(".")) : file.parent
        do throws(SystemCallFailure) {
            let folder = try OwnedDescriptor.open(trustedPath: parent, options: .directory)
            var isThere = false
            var sources: [PolicySource] = []
            switch trusted.read(file.lastComponent, in: folder, path: file) {
            case .absent: break
            case .bytes(let bytes):
                isThere = true
                sources.append(PolicySource(file: file, bytes: bytes, givesPinsOnly: givesPinsOnly))
            case .refused(let message):
                isThere = true
                found.refuse(file, message)
            }
            // A name that was given stands for a file, not for what lies beside where it would be.
            if !isThere, location.named == file { return false }
            let dropIns = try dropIns(in: folder, of: parent, into: &found, givesPinsOnly: givesPinsOnly)
            isThere = isThere || dropIns.isThere
            guard isThere else { return false }
            if let message = trusted.complaint(of: try folder.stat(), at: parent, on: try? folder.filesystem()) {
                found.refuse(file, message)
            }
            found.sources += sources + dropIns.sources
            return true
        } catch {
            if error.isAbsent { return false }
            found.refuse(file, TrustedFile.unreadable(error, parent))
            return true
        }
    }

    private func dropIns(
        in folder: borrowing OwnedDescriptor, of parent: BytePath, into found: inout Found, givesPinsOnly: Bool
    ) throws(SystemCallFailure) -> (isThere: Bool, sources: [PolicySource]) {
        let name = PolicyLocation.dropInFolderName
        let path = parent == "." ? name : parent.appending(name)
        do throws(SystemCallFailure) {
            let stat = try folder.stat(of: name)
            guard stat.kind == .directory else {
                found.refuse(path, "this is not a folder: drop-ins are read from a real folder only")
                return (true, [])
            }
        } catch {
            if error.isAbsent { return (false, []) }
            throw error
        }
        do throws(SystemCallFailure) {
            let inner = try folder.open(name, options: .directory)
            return try dropIns(in: inner, at: path, into: &found, givesPinsOnly: givesPinsOnly)
        } catch {
            found.refuse(path, TrustedFile.unreadable(error, path))
            return (true, [])
        }
    }

    private func dropIns(
        in folder: borrowing OwnedDescriptor, at path: BytePath, into found: inout Found, givesPinsOnly: Bool
    ) throws(SystemCallFailure) -> (isThere: Bool, sources: [PolicySource]) {
        let listing = try folder.listDirectory()
        for failure in listing.failures {
            found.refuse(path.appending(failure.subject), TrustedFile.unreadable(failure, path))
        }
        let visible = listing.entries.map(\.name).filter { !$0.hasPrefix(".") }
        for name in visible where name.hasSuffix(".yml") {
            found.problems.append(
                Diagnostic(
                    file: path.appending(name), severity: .warning,
                    message: "this is not read: the name of a drop-in ends in .yaml"))
        }
        let names = visible.filter { $0.hasSuffix(".yaml") }.sorted()
        guard !names.isEmpty else { return (false, []) }
        if let message = trusted.complaint(of: try folder.stat(), at: path, on: try? folder.filesystem()) {
            found.refuse(path, message)
        }
        guard names.count <= Self.maximumDropIns else {
            found.refuse(path, "more than \(Self.maximumDropIns) drop-ins")
            return (true, [])
        }
        var sources: [PolicySource] = []
        for name in names {
            let file = path.appending(name)
            switch trusted.read(name, in: folder, path: file) {
            case .absent: continue
            case .bytes(let bytes):
                sources.append(PolicySource(file: file, bytes: bytes, givesPinsOnly: givesPinsOnly))
            case .refused(let message): found.refuse(file, message)
            }
        }
        return (true, sources)
    }
}
