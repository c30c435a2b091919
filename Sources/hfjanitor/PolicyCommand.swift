import ArgumentParser
import HubCache
import PolicyFile
import Retention

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Check the policy file, show what it means, or start one from a profile.",
        subcommands: [PolicyCheck.self, PolicyShow.self, PolicyInit.self])
}

/// The file of a `policy` command: an argument, or `--policy` as everywhere else.
struct PolicyFileArgument: ParsableArguments {
    @Argument(help: "The policy file. Default: the one that would be used.", completion: .file())
    var file: String?

    @OptionGroup var options: PolicyOptions

    @Flag(name: .long, help: "Print one JSON document.")
    var json = false

    func validate() throws {
        if file != nil, options.policy != nil { throw ValidationError("name the file once: as FILE or by --policy") }
    }

    var location: PolicyLocation { options.location(file: file) }
}

struct PolicyCheck: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a policy file: everything that is wrong, as file:line:column: message.",
        discussion: """
            Its drop-ins (policy.d/*.yaml beside it) and the pins of /etc/hfjanitor/policy.yaml are checked with it.

            Exit status: 0 good, perhaps with warnings; 78 wrong.
            """)

    @OptionGroup var argument: PolicyFileArgument

    private struct Document: Encodable {
        struct Item: Encodable {
            var file: String
            var line: Int?
            var column: Int?
            var severity: String
            var message: String
            var suggestion: String?

            init(_ diagnostic: Diagnostic) {
                file = diagnostic.file.text
                line = diagnostic.line
                column = diagnostic.column
                severity = diagnostic.severity.rawValue
                message = diagnostic.message
                suggestion = diagnostic.suggestion
            }
        }

        var schema = "hfjanitor.policy-check/1"
        var ok: Bool
        var files: [String]
        var diagnostics: [Item]
    }

    func run() throws {
        try reportingFailures {
            let location = argument.location
            do throws(PolicyFailure) {
                let loaded = try PolicyLoader(location).load()
                if argument.json {
                    let items = loaded.warnings.map { Document.Item($0) }
                    try? printJSON(Document(ok: true, files: loaded.files.map(\.text), diagnostics: items))
                } else {
                    for warning in loaded.warnings { Terminal.write(warning.text + "\n", to: 2) }
                    Terminal.print(summary(loaded, location))
                }
                return .good
            } catch {
                if argument.json {
                    let items = error.diagnostics.map { Document.Item($0) }
                    try? printJSON(Document(ok: false, files: [], diagnostics: items))
                } else {
                    // As compilers do: an editor finds the place by the start of the line.
                    Terminal.write(error.text + "\n", to: 2)
                }
                return .policy
            }
        }
    }

    private func summary(_ loaded: LoadedPolicy, _ location: PolicyLocation) -> String {
        guard let file = loaded.files.first else {
            let places = location.candidates.map { "'\($0.display)'" }.joined(separator: " or ")
            return "no policy file at \(places): the default only observes"
        }
        let policy = loaded.policy
        var parts = [policy.mode == .observe ? "observes" : "enforces"]
        parts.append(policy.caches.isEmpty ? "the default cache" : counted(policy.caches.count, "cache"))
        parts.append(counted(policy.pins.count, "pin"))
        parts.append(counted(policy.rules.count, "rule"))
        if loaded.files.count > 1 { parts.append(counted(loaded.files.count, "file")) }
        if !loaded.warnings.isEmpty { parts.append(counted(loaded.warnings.count, "warning")) }
        return "\(file.display): good: " + parts.joined(separator: ", ")
    }
}

struct PolicyShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print the effective policy as YAML: drop-ins merged, every default and unit written out.",
        discussion: """
            What is printed can be used as a policy file that means the same.

            Exit status: 0 good; 78 policy file wrong.
            """)

    @OptionGroup var argument: PolicyFileArgument

    func run() throws {
        try reportingFailures {
            let loaded: LoadedPolicy
            do throws(PolicyFailure) { loaded = try PolicyLoader(argument.location).load() } catch {
                Terminal.write(error.text + "\n", to: 2)
                return .policy
            }
            if argument.json {
                try printJSON(PolicyShowDocument(loaded))
            } else {
                Terminal.write(PolicyText(loaded.policy, files: loaded.files).text, to: 1)
            }
            return .good
        }
    }
}
