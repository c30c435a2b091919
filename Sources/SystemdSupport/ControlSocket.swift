internal import CSystemd
internal import Glibc
public import HubCache
public import LinuxIO

/// A Unix stream socket of this process's own that listens under a path, as long as the value is there.
///
/// Only this user and root may connect: the socket has mode 0600. One that a process left behind is replaced, one that
/// somebody listens at is not: a lock file beside it tells of another daemon, a connection of anybody else.
public final class ControlSocket: Sendable {
    /// What a socket of our own has besides.
    private final class Place: Sendable {
        let folder: OwnedDescriptor
        let name: BytePath
        /// Held as long as this is there.
        let lock: OwnedDescriptor
        let key: FileKey?

        init(folder: consuming OwnedDescriptor, name: BytePath, lock: consuming OwnedDescriptor) {
            key = (try? folder.stat(of: name))?.key
            self.folder = folder
            self.name = name
            self.lock = lock
        }
    }

    private let descriptor: OwnedDescriptor
    private let place: Place?

    /// The listening socket.
    package var raw: Int32 { descriptor.raw }

    /// Whether it was made here, and not by the service manager, which then decides who may connect.
    public var isOwn: Bool { place != nil }

    /// Takes one over from the service manager.
    public init(adopting descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
        place = nil
    }

    /// Listens under an absolute path, in a folder that is made with mode 0700 where it is not there.
    ///
    /// - Throws: `SystemCallFailure`; `EADDRINUSE` when somebody listens there already or something else has that name.
    public init(listeningAt path: BytePath) throws(SystemCallFailure) {
        let (parent, name) = (path.parent, path.lastComponent)
        if let above = try? OwnedDescriptor.open(trustedPath: parent.parent, options: .directory) {
            // What matters is whether it can be opened then.
            try? above.makeFolder(parent.lastComponent, permissions: 0o700)
        }
        let folder = try OwnedDescriptor.open(trustedPath: parent, options: .directory)
        let lock = try Self.openLock(BytePath(bytes: name.bytes + Array(".lock".utf8)), in: folder)
        guard try lock.tryLock() == .locked else { throw Self.taken(path) }
        if let found = try? folder.stat(of: name) {
            guard found.kind == .socket else { throw Self.taken(path) }
            let listens = unsafe Self.call(path, hfj_is_listened_to)
            if listens < 0 { throw SystemCallFailure(call: "connect", errno: listens, subject: path) }
            if listens == 1 { throw Self.taken(path) }
            try folder.unlink(name)
        }
        let number = unsafe Self.call(path, hfj_listen)
        guard number >= 0 else { throw SystemCallFailure(call: "bind", errno: number, subject: path) }
        descriptor = OwnedDescriptor(adopting: number)
        place = Place(folder: folder, name: name, lock: lock)
    }

    /// Takes the name away, if it is still this socket's.
    public func removeName() {
        guard let place, let key = place.key, (try? place.folder.stat(of: place.name))?.key == key else { return }
        try? place.folder.unlink(place.name)
    }

    private static func call(_ path: BytePath, _ body: (UnsafeRawPointer, Int) -> Int32) -> Int32 {
        // The pointer is used during the call only.
        unsafe path.bytes.withUnsafeBytes { bytes in
            guard let address = bytes.baseAddress else { return -EINVAL }
            return unsafe body(address, bytes.count)
        }
    }

    private static func openLock(_ name: BytePath, in folder: borrowing OwnedDescriptor) throws(SystemCallFailure)
        -> OwnedDescriptor
    {
        do throws(SystemCallFailure) { return try folder.createFile(name, permissions: 0o600) } catch {
            return try folder.openForChange(name)
        }
    }

    private static func taken(_ path: BytePath) -> SystemCallFailure {
        SystemCallFailure(call: "bind", errno: SystemCallFailure.addressInUseNumber, subject: path)
    }
}

extension BytePath {
    /// Where a daemon's control socket may be, the first that applies: what was named, `$HFJANITOR_SOCKET`,
    /// `$XDG_RUNTIME_DIR/hfjanitor/control.sock`, `/run/hfjanitor@<user>/control.sock`,
    /// `/run/hfjanitor/control.sock`.
    ///
    /// - Parameters:
    ///   - named: what the command line says.
    ///   - user: looks for the unit `hfjanitor@` of this user, too.
    /// - Returns: absolute paths; more than one only where nothing was named.
    public static func controlSockets(
        named: String?, environment: [String: String], unitOf user: String? = nil
    ) -> [BytePath] {
        if let named = named ?? environment["HFJANITOR_SOCKET"], !named.isEmpty { return [BytePath(named)] }
        var paths: [BytePath] = []
        if let runtime = environment["XDG_RUNTIME_DIR"], runtime.hasPrefix("/") {
            paths.append(BytePath(runtime).appending("hfjanitor/control.sock"))
        }
        if let user, !user.isEmpty, !user.contains("/") {
            paths.append(BytePath("/run/hfjanitor@\(user)/control.sock"))
        }
        return paths + ["/run/hfjanitor/control.sock"]
    }
}
