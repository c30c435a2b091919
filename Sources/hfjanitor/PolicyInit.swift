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
                path: output.map { BytePath($0) } ?? PolicyOptions.parse([]).location().defaultFile,
                // Root's policy is for everybody to see, as its pins count for everybody.
                mode: geteuid() == 0 ? 0o644 : 0o600)
            if output == nil { try place.makeFolders() }
            try place.write(
                Array(chosen.text.utf8), replacing: force, remedy: "--force replaces it, --print only shows the profile"
            )
            Terminal.print("wrote '\(place.path.display)'; edit it, then: hfjanitor policy check")
            return .good
        }
    }
}
