public import ArgumentParser
public import HubCache
import HubClient

extension RepoType: ExpressibleByArgument {}

/// What a command is to ask the Hub for.
struct HubRepoOptions: ParsableArguments {
    @Argument(help: "A repo of the Hub: org/name, dataset/org/name, hf://…, each with an optional @revision.")
    var repo: String

    @Option(help: "A branch, a tag, refs/pr/N or a commit. Default: main.")
    var revision: String?

    @Option(help: "model, dataset, space or kernel. Default: model.")
    var type: RepoType?

    @Option(help: ArgumentHelp("Only files that fit; repeatable.", valueName: "glob"))
    var include: [String] = []

    @Option(help: ArgumentHelp("Not the files that fit; repeatable.", valueName: "glob"))
    var exclude: [String] = []

    /// The repo and the revision that are named.
    ///
    /// - Throws: `CommandFailure` 64.
    func revisionOnHub() throws -> (repo: RepoID, revision: String) {
        guard let name = TargetName(repo) else {
            throw CommandFailure(
                status: .usage, message: "'\(displayText(of: repo))' is no repo: use org/name or dataset/org/name")
        }
        // `dataset/x` may mean the model x of the organisation dataset; the type, where it is named, decides.
        let id = type.map { type in name.candidates.first { $0.type == type } } ?? name.candidates.first
        guard let id else {
            throw CommandFailure(
                status: .usage, message: "'\(displayText(of: repo))' is no \(type?.rawValue ?? "repo")")
        }
        if let revision, let other = name.revision, revision != other {
            throw CommandFailure(
                status: .usage,
                message: "two revisions are named: '\(displayText(of: other))' and '\(displayText(of: revision))'")
        }
        let wanted = revision ?? name.revision ?? "main"
        guard isRepoPath(Array(wanted.utf8)) else {
            throw CommandFailure(
                status: .usage,
                message:
                    "no revision can be named '\(displayText(of: wanted))': use a branch, a tag, refs/pr/N or a commit")
        }
        return (id, wanted)
    }
}
