import ArgumentParser
internal import Glibc
import HubCache
import PolicyFile

@main
struct HFJanitor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hfjanitor",
        abstract: "Keeps the models of a Hugging Face cache whole, and the cache within bounds.",
        discussion: """
            The cache is found as huggingface_hub finds it: HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub; --cache names \
            others. A TARGET is org/name, name, model/org/name, dataset/…, space/…, kernel/… or hf://…, each with an optional \
            @revision; or, starting with /, ./, ../ or ~/, a plain folder of weights or one weight file.
            """,
        version: Version.text,
        subcommands: [
            Status.self, DaemonCommand.self, Reload.self, Scrub.self, Verify.self, List.self, Ready.self,
            RepairCommand.self, Fetch.self,
            PlanCommand.self,
            Enforce.self, Explain.self, Remove.self, Hold.self,
            Release.self, PreviewCommand.self,
            PolicyCommand.self, ReportCommand.self, Open.self, MetricsCommand.self, Doctor.self,
        ], defaultSubcommand: Status.self)

    static func main() {
        // Closing a database takes a thread that wants a higher priority, and each refusal would be a line in the system's log.
        unsafe setenv("LIBDISPATCH_LOG", "NO", 1)
        refuseUnknownCommand()
        main(nil)
    }

    /// The parser takes a first word that is no command for an argument of the default one.
    private static func refuseUnknownCommand() {
        guard let word = CommandLine.arguments.dropFirst().first, !word.hasPrefix("-") else { return }
        let commands = configuration.subcommands.map { $0._commandName } + ["help"]
        guard !commands.contains(word) else { return }
        let meant = Suggestion.nearest(to: word, in: commands).map { "; did you mean '\($0)'?" } ?? ""
        Terminal.complain("unknown command '\(displayText(of: word))'\(meant)\n'hfjanitor --help' lists the commands")
        Glibc.exit(ExitStatus.usage.rawValue)
    }
}

/// The program's version.
enum Version {
    static let text = "0.1.0"
}
