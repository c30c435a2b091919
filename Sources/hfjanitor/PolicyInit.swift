import ArgumentParser
internal import Glibc
import HubCache
import LinuxIO
import PolicyFile

struct PolicyInit: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "init",
        abstract: "Start a policy file from a shipped profile; without one, list them.",
        discussion: """
            Every profile has comments and begins with 'mode: observe': nothing is removed before you change that.

            Exit status: 0 good; 64 usage; 73 cannot write, or the file exists and --force is not given.
            """)

    @Argument(
        help: "The profile: \(PolicyProfile.all.map(\.name).joined(separator: ", ")).",
        completion: .list(PolicyProfile.all.map(\.name)))
    var profile: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where to write it. Default: ~/.config/hfjanitor/policy.yaml; as root, /etc/hfjanitor/policy.yaml.",
            valueName: "file"),
        completion: .file())
    var output: String?

    @Flag(name: .long, help: "Replace a file that exists.")
    var force = false

    @Flag(name: .long, help: "Print it; write nothing.")
    var print = false

    func run() throws {
        try reportingFailures {
            guard let profile else {
                for profile in PolicyProfile.all {
                    let padding = String(repeating: " ", count: max(1, 14 - profile.name.count))
                    Terminal.print(Terminal.styled(profile.name, .bold) + padding + profile.summary)
                }
                return .good
            }
            guard let chosen = PolicyProfile(named: profile) else {
                let hint =
                    PolicyProfile.nearest(to: profile).map { "did you mean '\($0.name)'?" }
                    ?? "there are " + PolicyProfile.all.map(\.name).joined(separator: ", ")
                throw CommandFailure(
                    status: .usage, message: "there is no profile '\(displayText(of: profile))'; \(hint)")
            }
            if print {
                Terminal.write(chosen.text, to: 1)
                return .good
            }
            let place = try NewFile(
                path: output.map { BytePath($0) } ?? PolicyOptions.parse([]).location().defaultFile)
            if output == nil { try place.makeFolders() }
            try place.write(Array(chosen.text.utf8), replacing: force)
            Terminal.print("wrote '\(place.path.display)'; edit it, then: hfjanitor policy check")
            return .good
        }
    }
}

/// A file that is written at once or not at all.
private struct NewFile {
    let path: BytePath
    private let text: String
    /// Root's policy is for everybody to see, as its pins count for everybody.
    private let mode: mode_t = geteuid() == 0 ? 0o644 : 0o600

    init(path: BytePath) throws {
        guard let text = path.exactText, !text.isEmpty, !text.utf8.contains(0), !text.hasSuffix("/") else {
            throw CommandFailure(status: .usage, message: "'\(path.display)' is not the name of a file")
        }
        self.path = path
        self.text = text
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

    func write(_ bytes: [UInt8], replacing: Bool) throws {
        let temporary = text + ".\(getpid()).new"
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
                throw CommandFailure(
                    status: .cannotWrite,
                    message: "'\(path.display)' exists; --force replaces it, --print only shows the profile")
            }
            throw failure(errno)
        }
    }
}
