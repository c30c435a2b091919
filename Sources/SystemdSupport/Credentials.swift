internal import HubCache
internal import LinuxIO

/// The secrets that the service manager put into `$CREDENTIALS_DIRECTORY`: systemd.exec(5), "Credentials".
public struct Credentials: Sendable {
    private let directory: BytePath?

    /// Those of this service; without a directory there are none.
    public init(_ environment: ServiceEnvironment) { directory = environment.credentialsDirectory }

    /// Reads a secret.
    ///
    /// - Parameters:
    ///   - name: as in `LoadCredential=`; one component.
    ///   - limit: the most bytes to take.
    /// - Returns: nil when there is none of that name.
    /// - Throws: `CredentialFailure` when there is one that is longer, is not a regular file, or cannot be read.
    public func read(_ name: String, limit: Int = 16_384) throws(CredentialFailure) -> [UInt8]? {
        guard let directory else { return nil }
        let entry = BytePath(name)
        guard entry.components == [entry], entry != ".", entry != "..", !entry.bytes.contains(0) else { return nil }
        var isRegular = false
        var content: [UInt8]?
        do throws(SystemCallFailure) {
            let folder = try OwnedDescriptor.open(trustedPath: directory, options: .directory)
            let file = try folder.open(entry)
            isRegular = try file.stat().kind == .regular
            if isRegular { content = try file.readAll(limit: limit) }
        } catch {
            if error.isAbsent { return nil }
            throw CredentialFailure(name: name, reason: error.reason)
        }
        guard isRegular else { throw CredentialFailure(name: name, reason: "not a regular file") }
        guard let content else {
            throw CredentialFailure(name: name, reason: "longer than \(limit) bytes")
        }
        return content
    }
}

/// A secret that is there and cannot be had. It never holds any of it.
public struct CredentialFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// Its name.
    public let name: String
    /// Why, in the system's words.
    public let reason: String

    /// One sentence without a full stop.
    public var description: String { "credential '\(displayText(of: name))': \(reason)" }
}
