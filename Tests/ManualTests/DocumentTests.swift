import Foundation
import HubCache
import TestSupport
import Testing

/// The keys of every JSON document, as the program prints them, against the page about them.
@Suite(.serialized) struct DocumentTests {
    /// The keys of a schema or of a part, by their paths; with those that need not be there marked.
    private struct Schema {
        var always: Set<String> = []
        var sometimes: Set<String> = []
        var all: Set<String> { always.union(sometimes) }
    }

    /// What a document has in its lists `findings`, `actions` and so on is told once, in sections of their own.
    private static let parts = [
        "a FINDING": "finding", "an ACTION": "action", "a KEPT": "kept",
    ]

    private static func schema(_ name: String, in page: Page) throws -> Schema {
        var schema = Schema()
        let lines = try page.section(name).components(separatedBy: "\n")
        for (index, line) in lines.enumerated().dropLast() where lines[index + 1].hasPrefix(":   ") {
            for term in try matches("`([^`]+)`", in: line).map({ $0[1] }) {
                let isOptional = term.hasSuffix("?")
                let path = isOptional ? String(term.dropLast()) : term
                if isOptional { schema.sometimes.insert(path) } else { schema.always.insert(path) }
                let told = lines[index...].prefix { !$0.isEmpty }.joined(separator: " ")
                guard let part = parts.first(where: { told.contains(" \($0.key)") }) else { continue }
                // A list of parts may be empty.
                let inner = try Self.schema(part.value, in: page)
                if path.hasSuffix("[]") { schema.sometimes.formUnion(inner.all.map { "\(path).\($0)" }) }
            }
        }
        return schema
    }

    /// The paths of all keys in a document. A list is `name[]`, whether it has elements or not.
    private static func paths(of value: Any, under prefix: String = "") -> Set<String> {
        var found: Set<String> = []
        if let object = value as? [String: Any] {
            for (key, value) in object where !(value is NSNull) {
                // Names of tensor types are no keys of ours.
                let path = (prefix.isEmpty ? "" : prefix + ".") + (prefix.hasSuffix("by_dtype") ? "*" : key)
                if let list = value as? [Any] {
                    found.insert(path + "[]")
                    for element in list { found.formUnion(paths(of: element, under: path + "[]")) }
                } else {
                    found.insert(path)
                    found.formUnion(paths(of: value, under: path))
                }
            }
        }
        return found
    }

    /// What every command that prints JSON says of a cache with leftovers and models that are whole, broken, held, pinned.
    private static func documents() throws -> [[String: Any]] {
        var documents: [[String: Any]] = []
        try withTestFolder { folder in
            let cache = folder.path.appending("hub").text
            let maker = Process()
            maker.executableURL = project.appending(path: "Tests/SampleCache/make-sample-cache")
            maker.arguments = [cache]
            maker.standardOutput = FileHandle.nullDevice
            try maker.run()
            maker.waitUntilExit()
            let partial = BytePath("hub/models--sample--whole/blobs/\(String(repeating: "a", count: 64)).incomplete")
            try folder.write(partial, "part")
            try folder.setTimes(partial, accessed: 1, modified: 1)
            let example = try Page("hfjanitor-policy.5").section("Examples").components(separatedBy: "\n\n")
                .first { $0.contains("caches:") && $0.contains("shared:") }
            let whole = try #require(example).components(separatedBy: "\n").map { String($0.dropFirst(4)) }
            try folder.write("whole.yaml", whole.joined(separator: "\n") + "\n")
            try folder.write("wrong.yaml", "mod: observe\n")
            try folder.write(
                "acting.yaml",
                """
                mode: enforce
                caches: [{path: \(cache), min-free: 99%, target-free: 99.5%, irreplaceable: evict}]
                pins: [{repo: sample/whole}]
                rules: [{name: partials, match: {state: stale-partial}, older-than: 1s}]

                """)
            let environment = ["HF_HUB_OFFLINE": "1", "XDG_STATE_HOME": folder.path.appending("state").text]
            func add(_ words: String, _ more: [String] = []) throws {
                let arguments = words.split(separator: " ").map(String.init) + more + ["--json"]
                let run = try Program.run(arguments, environment: environment, folder: folder.path.text)
                let object = try #require(
                    try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any],
                    "\(words): \(run.output)\(run.errors)")
                documents.append(object)
            }
            let named = ["--cache", cache]
            try add("verify --depth digests", named)
            try add("ls --all", named)
            try add("ready sample/whole", named)
            try add("ready sample/missing-shard", named)
            try add("status", named)
            try add("hold sample/whole --for 1h --reason test", named)
            try add("ls", named)
            try add("release sample/whole", named)
            try add("doctor", named)
            try add("repair --dry-run", named)
            try add("repair", named)
            try add("fetch org/name", named)
            try add("preview org/name", named)
            try add("plan --policy acting.yaml")
            try add("plan --policy acting.yaml --at +60d")
            try add("explain sample/whole --policy acting.yaml")
            try add("rm sample/missing-shard --dry-run", named)
            try add("enforce --policy acting.yaml")
            try add("policy check whole.yaml")
            try add("policy check wrong.yaml")
            try add("policy show whole.yaml")
            let daemon = try Program.start(
                ["daemon", "--socket", folder.path.appending("socket").text] + named, environment: environment,
                folder: folder.path.text)
            defer {
                daemon.process.terminate()
                daemon.process.waitUntilExit()
            }
            let end = Date().addingTimeInterval(60)
            var isAnswering = false
            while !isAnswering, Date() < end {
                usleep(100_000)
                let run = try Program.run(
                    ["scrub", "start", "--json", "--socket", folder.path.appending("socket").text])
                isAnswering = run.status == 0
                if isAnswering { documents.append(try run.json) }
            }
            let status = try Program.run(
                ["status", "--json", "--socket", folder.path.appending("socket").text] + named)
            documents.append(try status.json)
            let client = Process()
            client.executableURL = URL(filePath: "/usr/bin/env")
            client.arguments = [
                "python3", "-c",
                """
                import http.client, socket, sys
                connection = http.client.HTTPConnection("localhost")
                connection.sock = socket.socket(socket.AF_UNIX)
                connection.sock.connect(sys.argv[1])
                connection.request("GET", "/api/findings")
                print(connection.getresponse().read().decode())
                """, folder.path.appending("socket").text,
            ]
            let answer = Pipe()
            client.standardOutput = answer
            try client.run()
            let data = answer.fileHandleForReading.readDataToEndOfFile()
            client.waitUntilExit()
            documents.append(try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any]))
        }
        return documents
    }

    @Test func everyKeyIsInTheManual() throws {
        let page = try Page("hfjanitor-json.5")
        let documented = page.names.filter { $0.hasPrefix("hfjanitor.") }
        let source = try Self.sourceTexts().joined()
        let printed = try matches(#""(hfjanitor\.[a-z-]+/\d+)""#, in: source).map { $0[1] }
        expectSame(printed, documented, "hfjanitor-json.5.md, schemas")

        var seen: [String: Set<String>] = [:]
        for document in try Self.documents() {
            let name = try #require(document["schema"] as? String)
            seen[name, default: []].formUnion(Self.paths(of: document))
        }
        for name in documented {
            let schema = try Self.schema(name, in: page)
            let found = try #require(seen[name], "no document of \(name) was printed: add it to this test")
            for key in found.subtracting(schema.all).sorted() {
                Issue.record("hfjanitor-json.5.md, \(name): '\(key)' is missing")
            }
            for key in schema.always.subtracting(found).sorted() {
                Issue.record("hfjanitor-json.5.md, \(name): '\(key)' is not printed; '?' marks what need not be")
            }
        }
    }

    /// Keys that none of those documents happened to have: their names are in the source, and in the manual.
    @Test func everyKeyOfTheSourceIsInTheManual() throws {
        let page = try Page("hfjanitor-json.5")
        func names(_ sections: some Sequence<String>) throws -> Set<String> {
            Set(
                try sections.flatMap { try page.terms($0) }
                    .flatMap { $0.components(separatedBy: CharacterSet(charactersIn: ".[]?")) }
                    .filter { !$0.isEmpty && $0 != "*" })
        }
        for source in try Self.sourceTexts() {
            let schemas = try matches(#""(hfjanitor\.[a-z-]+/\d+)""#, in: source).map { $0[1] }
            let documented = try names(schemas + Self.parts.values)
            for keys in try matches(#"enum CodingKeys[^{]*\{([^}]*)\}"#, in: source).map({ $0[1] }) {
                let cases = keys.components(separatedBy: "case ").dropFirst()
                    .flatMap { $0.components(separatedBy: "///")[0].components(separatedBy: ",") }
                for name in cases {
                    let parts = name.components(separatedBy: "=").map {
                        $0.trimmingCharacters(in: .whitespacesAndNewlines)
                    }
                    let key = (parts.count > 1 ? parts[1] : parts[0]).replacing("\"", with: "")
                    if key.isEmpty { continue }
                    #expect(documented.contains(key), "hfjanitor-json.5.md, \(schemas): '\(key)' is missing")
                }
            }
        }
        let whole = try Self.sourceTexts().joined()
        for key in try names(page.names.filter { $0.hasPrefix("hfjanitor.") } + Self.parts.values) {
            #expect(try !matches(#"\b\#(key)\b"#, in: whole).isEmpty, "hfjanitor-json.5.md: no document has '\(key)'")
        }
    }

    /// The files that have documents with a schema.
    private static func sourceTexts() throws -> [String] {
        let folder = project.appending(path: "Sources")
        let names = try FileManager.default.subpathsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".swift") }
        return try names.filter { !$0.hasPrefix("ControlAPI/") }.map { try text("Sources/\($0)") }
            .filter { try !matches(#""hfjanitor\.[a-z-]+/\d+""#, in: $0).isEmpty }
    }
}
