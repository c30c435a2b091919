internal import Glibc
import HubCache
import LinuxIO

/// A file that is written at once or not at all.
struct NewFile {
    let path: BytePath
    private let text: String
    private let mode: mode_t

    /// - Throws: `CommandFailure` when the path cannot be a file's.
    init(path: BytePath, mode: mode_t) throws {
        guard let text = path.exactText, !text.isEmpty, !text.utf8.contains(0), !text.hasSuffix("/") else {
            throw CommandFailure(status: .usage, message: "'\(path.display)' is not the name of a file")
        }
        self.path = path
        self.text = text
        self.mode = mode
    }

    private func failure(_ number: Int32) -> CommandFailure {
        CommandFailure(status: .cannotWrite, message: "cannot write '\(path.display)': \(describeErrno(number))")
    }

    /// Makes the folders above the file that are missing: `hfjanitor`, and `.config` above it.
    func makeFolders() throws {
        let folder = path.parent
        for folder in [folder.parent, folder] where !folder.isEmpty {
            guard unsafe mkdir(folder.text, geteuid() == 0 ? 0o755 : 0o700) == 0 || errno == EEXIST else {
                throw failure(errno)
            }
        }
    }

    /// Whether nothing but a file would be replaced: a link is not gone through, and a device not put out of the way.
    ///
    /// - Throws: `CommandFailure` when there is something else.
    func requirePlainFile() throws {
        var found = stat()
        guard unsafe lstat(text, &found) == 0, found.st_mode & S_IFMT != S_IFREG else { return }
        throw CommandFailure(
            status: .cannotWrite, message: "'\(path.display)' is not a file: name one, or - for standard output")
    }

    /// - Parameters:
    ///   - bytes: what it holds.
    ///   - replacing: whether a file that is there is replaced.
    ///   - remedy: what to do where there is one that is not.
    /// - Throws: `CommandFailure`.
    func write(_ bytes: [UInt8], replacing: Bool, remedy: String = "name another one") throws {
        let temporary = text + ".\(getpid()).new"
        // What a run with the same number left, as the first process of a container has.
        unsafe unlink(temporary)
        let number = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)
        guard number >= 0 else { throw failure(errno) }
        defer {
            close(number)
            unsafe unlink(temporary)
        }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(number, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure(errno) }
            rest = rest.dropFirst(count)
        }
        // Whatever the umask: a policy that a group may write to would be refused.
        guard fchmod(number, mode) == 0, fsync(number) == 0 else { throw failure(errno) }
        if replacing {
            guard unsafe rename(temporary, text) == 0 else { throw failure(errno) }
            return
        }
        guard unsafe link(temporary, text) == 0 else {
            if errno == EEXIST {
                throw CommandFailure(status: .cannotWrite, message: "'\(path.display)' exists; \(remedy)")
            }
            throw failure(errno)
        }
    }
}
