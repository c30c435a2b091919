import HubCache
import LinuxIO

/// The user that a policy is read for.
public struct PolicyReaderIdentity: Sendable, Hashable {
    /// Whose files are believed, besides root's: the effective user.
    public var uid: UInt32
    /// The group that may write to them: the user's primary one.
    public var gid: UInt32

    /// Makes an identity.
    public init(uid: UInt32, gid: UInt32) {
        self.uid = uid
        self.gid = gid
    }
}

/// Reads files that decide what is removed: only such as nobody else could have written.
struct TrustedFile {
    let reader: PolicyReaderIdentity

    enum Outcome {
        case absent
        case bytes([UInt8])
        case refused(message: String)
    }

    /// Reads an entry of a folder. It is opened once; what is checked and what is read is the same file.
    ///
    /// - Parameters:
    ///   - path: the whole path, for messages.
    ///   - folder: the opened folder, already checked.
    func read(_ name: BytePath, in folder: borrowing OwnedDescriptor, path: BytePath) -> Outcome {
        do throws(SystemCallFailure) {
            // Before it is opened: opening a device may already do something.
            let found = try folder.stat(of: name)
            guard found.kind == .symlink, PolicyVolume.isProjected(name, in: folder) else {
                return try readRegular(name, in: folder, path: path)
            }
            return try readProjected(name, in: folder, path: path)
        } catch {
            if error.isAbsent { return .absent }
            if error.isLink { return .refused(message: Self.unusable(.symlink)) }
            return .refused(message: Self.unreadable(error, path))
        }
    }

    private func readRegular(_ name: BytePath, in folder: borrowing OwnedDescriptor, path: BytePath)
        throws(SystemCallFailure) -> Outcome
    {
        let found = try folder.stat(of: name)
        if found.kind != .regular { return .refused(message: Self.unusable(found.kind)) }
        let file = try folder.open(name)
        let stat = try file.stat()
        if stat.kind != .regular { return .refused(message: Self.unusable(stat.kind)) }
        if let message = complaint(of: stat, at: path, on: try? file.filesystem()) {
            return .refused(message: message)
        }
        // One more than is taken, so that the check of the source finds it too long.
        let bytes = try file.read(at: 0, count: SourceCheck.maximumBytes + 1)
        return .bytes(bytes)
    }

    /// Reads a file of a Kubernetes volume, by the folder that `..data` leads to.
    private func readProjected(_ name: BytePath, in folder: borrowing OwnedDescriptor, path: BytePath)
        throws(SystemCallFailure) -> Outcome
    {
        let parent = path.parent
        // In a sticky folder they may be somebody else's, who chooses what they lead to.
        for link in [name, "..data"] {
            guard let uid = (try? folder.stat(of: link))?.uid, uid != 0, uid != reader.uid else { continue }
            return .refused(
                message: "the link '\(link.display)' belongs to uid \(uid), who may lead it elsewhere: "
                    + "chown -h \(reader.uid) \(shellQuoted(parent.appending(link)))")
        }
        for _ in 0..<Self.volumeAttempts {
            guard let current = PolicyVolume.currentFolder(of: folder) else {
                return .refused(message: Self.unusable(.symlink))
            }
            do throws(SystemCallFailure) {
                let version = try folder.open(current, options: .directory)
                if let message = complaint(
                    of: try version.stat(), at: parent.appending(current), on: try? version.filesystem())
                {
                    return .refused(message: message)
                }
                return try readRegular(name, in: version, path: path)
            } catch {
                // Replaced meanwhile: the kubelet removes the former folder.
                if !error.isAbsent { throw error }
            }
        }
        // Not "no policy": somebody put one here, and what it says is not known.
        return .refused(message: "this link of a Kubernetes volume leads to nothing: the ConfigMap lacks the key")
    }

    private static let volumeAttempts = 3

    static func unreadable(_ error: SystemCallFailure, _ path: BytePath) -> String {
        "cannot be read: \(error.reason)"
            + (error.isPermission ? "; let this user read it: chmod a+rX \(shellQuoted(path))" : "")
    }

    static func unusable(_ kind: FileKind) -> String {
        let what: String =
            switch kind {
            case .regular, .unknown: "not a regular file"
            case .directory: "a folder"
            case .symlink: "a symbolic link"
            case .fifo: "a fifo"
            case .socket: "a socket"
            case .characterDevice, .blockDevice: "a device"
            }
        return "this is \(what): a policy is read from a regular file only"
    }

    /// Why a file or folder is not believed, and the command that changes it; nil: it is.
    func complaint(of stat: FileStat, at path: BytePath, on filesystem: Filesystem?) -> String? {
        // Nobody writes there; but with FUSE any user can mount what he likes.
        if let filesystem, filesystem.isReadOnly, filesystem.kind != .fuse { return nil }
        return Self.complaint(of: stat, at: path, reader: reader)
    }

    static func complaint(of stat: FileStat, at path: BytePath, reader: PolicyReaderIdentity) -> String? {
        let isFolder = stat.kind == .directory
        let what = isFolder ? "its folder '\(path.display)'" : "the file"
        guard stat.uid == 0 || stat.uid == reader.uid else {
            return "\(what) belongs to user \(stat.uid), neither to root nor to the user this runs as (\(reader.uid)): "
                + "chown \(reader.uid) \(shellQuoted(path))"
        }
        // In a sticky folder only the owner of an entry can replace it, and entries are looked at too.
        if isFolder, stat.permissions & 0o1000 != 0 { return nil }
        var writers = stat.permissions & 0o022
        if stat.gid == reader.gid { writers &= ~0o020 }
        guard writers != 0 else { return nil }
        let who: String =
            switch writers {
            case 0o020: "group \(stat.gid)"
            case 0o002: "every user"
            default: "group \(stat.gid) and every user"
            }
        let bits = writers == 0o020 ? "g" : writers == 0o002 ? "o" : "go"
        return "\(what) may be written to by \(who): chmod \(bits)-w \(shellQuoted(path))"
    }
}

/// A path as one word for a shell, safe to show.
func shellQuoted(_ path: BytePath) -> String {
    let shown = path.display
    let isPlain = shown.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "/._-+@%".utf8.contains($0)
        }
    }
    return isPlain && !shown.isEmpty ? shown : "'" + shown.replacing("'", with: "'\\''") + "'"
}
