internal import HubCache
public import HubClient
public import LinuxIO

/// Why a file could not be brought into a cache.
public struct RepairFailure: Error, Sendable, Hashable, CustomStringConvertible {
    /// The stable code; nil where the machine is in the way, and not the Hub or a guardrail.
    public let code: HubErrorCode?
    /// What happened, to what, and what can be done. It never holds a token or a signed address.
    public let message: String
    /// The `errno` of the system call that failed, where one did.
    public let errno: Int32?
    /// Whether something that is not ours stands in one file's place, so that other files can be brought all the same.
    let isOccupied: Bool

    /// Makes a failure with a code.
    public init(_ code: HubErrorCode, _ message: String) {
        self.code = code
        self.message = message
        errno = nil
        isOccupied = false
    }

    /// A file that something else stands in the place of.
    init(occupied message: String) {
        code = .inUse
        self.message = message
        errno = nil
        isOccupied = true
    }

    /// A failed system call, told with what helps against its kind.
    ///
    /// - Parameter place: where it happened, for a person.
    public init(_ failure: SystemCallFailure, at place: String) {
        errno = failure.errno
        isOccupied = false
        if failure.isFull {
            code = .insufficientDisk
            message = "\(place): \(failure.description): the disk, or a quota, is full; see 'hfjanitor plan'"
            return
        }
        code = nil
        let remedy =
            if failure.isOfNoLockFile {
                "something other than a lock file stands there, or a file that has another name too: see what it is for, and "
                    + "remove it"
            } else if failure.isNotAFolder {
                "a file stands where a folder should be: see what it is for, and remove it"
            } else if failure.isFolder {
                "a folder stands where a file should be: see what it is for, and remove it"
            } else if failure.isUnsupported {
                "the filesystem cannot do that: keep the cache on another one"
            } else if failure.isPermission {
                "run it as the owner of the cache"
            } else if failure.isReadOnly {
                "the filesystem is read-only: mount it writable again"
            } else if failure.isAbsent {
                "another process removed it at that moment: try again"
            } else if failure.isLink {
                "a symbolic link stands where none may be: see what it is for"
            } else {
                "see the kernel's log for errors of the disk"
            }
        message = "\(place): \(failure.description); \(remedy)"
    }

    /// What the Hub said, or did not say.
    init(_ failure: HubFailure) { self.init(failure.code, failure.description) }

    private init(_ error: any Error, _ place: String) {
        code = nil
        message = "\(place): \(error)"
        errno = nil
        isOccupied = false
    }

    /// Any error of a step, as a failure.
    init(_ error: any Error, at place: String) {
        switch error {
        case let own as RepairFailure: self = own
        case let hub as HubFailure: self.init(hub)
        case let call as SystemCallFailure: self.init(call, at: place)
        default: self.init(error, place)
        }
    }

    /// The message.
    public var description: String { message }

    /// Whether permission was lacking.
    public var isPermission: Bool {
        errno == SystemCallFailure.deniedNumber || errno == SystemCallFailure.notPermittedNumber
    }

    /// Whether asking the Hub for other files is of no use now.
    var endsFetching: Bool {
        switch code {
        case .insufficientDisk, .downloadCancelled, .offline, .downloadLimitReached, .network, .rateLimited: true
        default: false
        }
    }

    /// Whether it speaks of the file, so that trying again and again is of no use; a network that is down does not.
    public var countsAsAttempt: Bool {
        switch code {
        case .repoNotFound, .revisionNotFound, .entryNotFound, .gated, .invalidToken, .digestMismatch,
            .incompleteDownload:
            true
        case .insufficientDisk, .downloadCancelled, .offline, .downloadLimitReached, .network, .rateLimited,
            .alreadyDownloading, .inUse, nil:
            false
        }
    }
}

extension SystemCallFailure {
    fileprivate var isNotAFolder: Bool { errno == Self.notAFolderNumber }
    fileprivate var isFolder: Bool { errno == Self.isAFolderNumber }
    fileprivate var isUnsupported: Bool { [Self.invalidNumber, Self.unsupportedNumber].contains(errno) }
}
