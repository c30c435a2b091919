import Foundation
import HubCache
import TestSupport
import Testing

/// The pages are made of the built program, without a word missing, and render; completions load in every shell.
@Suite struct PageTests {
    private static func run(_ words: [String], environment: [String: String]? = nil) throws -> (
        status: Int32, output: String
    ) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = words
        if let environment { process.environment = environment }
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    private static func isThere(_ program: String) -> Bool {
        ["/usr/bin", "/bin", "/usr/local/bin"].contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/\(program)")
        }
    }

    @Test func everyPageIsMadeAndRenders() throws {
        try withTestFolder { folder in
            let made = try Self.run(
                [project.appending(path: "packaging/man/make-manual").path, Program.path, folder.path.text])
            #expect(made.status == 0, "\(made.output)")
            let pages = try FileManager.default.subpathsOfDirectory(atPath: folder.path.text)
                .filter { $0.contains("hfjanitor") }
            #expect(pages.count > 20)
            for page in pages {
                let file = folder.path.appending(page).text
                let groff = try Self.run(["groff", "-man", "-ww", "-z", "-Tutf8", file])
                #expect(groff.status == 0 && groff.output.isEmpty, "\(page): \(groff.output)")
                guard Self.isThere("mandoc") else { continue }
                let lint = try Self.run(["mandoc", "-Tlint", "-W", "warning", file])
                #expect(lint.output.isEmpty, "\(page): \(lint.output)")
            }
        }
    }

    /// What the exit codes of commands say, the page of all of them explains.
    @Test func exitCodesOfCommandsAreExplained() throws {
        let known = Set(try Page("hfjanitor.1").terms("Exit status"))
        let dump = try Program.run(["--experimental-dump-help"])
        let codes = try matches(#"Exit status: ([^"]*)"#, in: dump.output)
            .flatMap { $0[1].components(separatedBy: "\\n\\n")[0].components(separatedBy: ";") }
            .compactMap { try matches(#"^\s*(\d+)"#, in: $0).first?[1] }
        #expect(codes.count > 30)
        for code in Set(codes) { #expect(known.contains(code), "exit code \(code) is not in hfjanitor.1.md") }
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completionsLoad(_ shell: String) throws {
        let script = try Program.run(["--generate-completion-script", shell])
        #expect(script.status == 0 && script.output.contains("hfjanitor"))
        guard Self.isThere(shell) else {
            print("skipped: no \(shell) here")
            return
        }
        try withTestFolder { folder in
            try folder.write("_hfjanitor", script.output)
            let file = folder.path.appending("_hfjanitor").text
            let load =
                switch shell {
                case "bash": ["bash", "-ec", "source '\(file)'; complete -p hfjanitor"]
                case "zsh":
                    [
                        "zsh", "-fc",
                        "fpath=('\(folder.path.text)' $fpath); autoload -Uz compinit; compinit -D -u; "
                            + "(( $+_comps[hfjanitor] ))",
                    ]
                default:
                    ["fish", "--no-config", "-c", "source '\(file)'; complete -C 'hfjanitor ver' | grep -q verify"]
                }
            let loaded = try Self.run(load)
            #expect(loaded.status == 0, "\(shell): \(loaded.output)")
        }
    }

    /// A target is completed by the repos of the cache.
    @Test func targetsAreCompletedByRepos() throws {
        try withTestFolder { folder in
            for name in ["models--org--one", "datasets--org--two", ".locks", "other"] {
                try folder.makeFolder(BytePath("hub/" + name))
            }
            let environment = ["HF_HUB_CACHE": folder.path.appending("hub").text]
            let run = try Program.run(
                ["---completion", "verify", "--", "positional@0", "1", "0", "hfjanitor", "verify", ""],
                environment: environment)
            let words = Set(run.output.split(whereSeparator: \.isNewline).map(String.init))
            #expect(words == ["org/one", "dataset/org/two"], "\(run.output)\(run.errors)")
        }
    }
}
