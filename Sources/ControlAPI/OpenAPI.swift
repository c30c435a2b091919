internal import Daemon
internal import HTTPTypes

/// The document that says what can be asked, and how.
enum OpenAPI {
    static func document(_ endpoints: [Endpoint]) -> JSONValue {
        var paths: [(String, JSONValue)] = []
        for path in endpoints.map(\.path).uniqued {
            let methods = endpoints.filter { $0.path == path }.map { endpoint in
                (endpoint.method.rawValue.lowercased(), operation(endpoint))
            }
            paths.append((path, .map(methods)))
        }
        return .map([
            ("openapi", .text("3.1.0")),
            (
                "info",
                .map([
                    ("title", .text("hfjanitor control socket")), ("version", .text("1")),
                    (
                        "description",
                        .text("HTTP on a Unix socket: who may talk to it is told by the socket's permissions.")
                    ),
                ])
            ),
            ("servers", .list([.map([("url", .text("http://localhost"))])])),
            ("paths", .map(paths)), ("components", .map([("schemas", .map(schemas))])),
        ])
    }

    private static func operation(_ endpoint: Endpoint) -> JSONValue {
        var pairs: [(String, JSONValue)] = [("summary", .text(endpoint.summary))]
        if !endpoint.query.isEmpty {
            pairs.append(
                (
                    "parameters",
                    .list(
                        endpoint.query.map { parameter in
                            .map([
                                ("name", .text(parameter.name)), ("in", .text("query")),
                                ("description", .text(parameter.meaning)), ("required", .flag(parameter.isRequired)),
                                ("schema", schema(of: parameter)),
                            ])
                        })
                ))
        }
        if !endpoint.body.isEmpty {
            pairs.append(
                (
                    "requestBody",
                    .map([
                        ("required", .flag(endpoint.body.contains(where: \.isRequired))),
                        ("content", content("application/json", object(endpoint.body))),
                    ])
                ))
        }
        var responses: [(String, JSONValue)] = [
            (
                "200",
                .map([
                    ("description", .text(endpoint.summary)),
                    ("content", content(endpoint.answerType, reference(endpoint.answerSchema))),
                ])
            )
        ]
        let problems = endpoint.problems + [.crossSite, .stopping]
        for status in problems.map(\.status.code).sorted().uniqued {
            let codes = problems.filter { $0.status.code == status }.map(\.rawValue).uniqued
            responses.append(
                (
                    String(status),
                    .map([
                        ("description", .text(codes.joined(separator: ", "))),
                        ("content", content("application/problem+json", reference("Problem"))),
                    ])
                ))
        }
        pairs.append(("responses", .map(responses)))
        return .map(pairs)
    }

    private static func content(_ type: String, _ schema: JSONValue) -> JSONValue {
        .map([(type, .map([("schema", schema)]))])
    }

    private static func reference(_ name: String) -> JSONValue {
        .map([("$ref", .text("#/components/schemas/\(name)"))])
    }

    private static func object(_ parameters: [Endpoint.Parameter]) -> JSONValue {
        .map([
            ("type", .text("object")),
            ("properties", .map(parameters.map { ($0.name, schema(of: $0)) })),
            ("required", .list(parameters.filter(\.isRequired).map { .text($0.name) })),
            ("additionalProperties", .flag(false)),
        ])
    }

    private static func schema(of parameter: Endpoint.Parameter) -> JSONValue {
        if parameter.name == "models" {
            var model = Endpoint.modelParameters
            model[0].isRequired = true
            return .map([
                ("type", .text("array")), ("description", .text(parameter.meaning)), ("items", object(model)),
            ])
        }
        var pairs: [(String, JSONValue)] = [
            ("type", .text("string")), ("description", .text(parameter.meaning)), ("maxLength", .number(4096)),
        ]
        if !parameter.values.isEmpty { pairs.append(("enum", .list(parameter.values.map { .text($0) }))) }
        return .map(pairs)
    }

    // MARK: answers

    private static let text = JSONValue.map([("type", .text("string"))])
    private static let number = JSONValue.map([("type", .text("integer"))])
    private static func nullable(_ type: String) -> JSONValue {
        .map([("type", .list([.text(type), .text("null")]))])
    }
    private static func list(_ items: JSONValue) -> JSONValue {
        .map([("type", .text("array")), ("items", items)])
    }
    private static func answer(_ keys: [(String, JSONValue)]) -> JSONValue {
        .map([
            ("type", .text("object")), ("properties", .map(keys)), ("required", .list(keys.map { .text($0.0) })),
        ])
    }
    /// A document of a command, which says by `schema` which one.
    private static func command(_ schema: String, _ keys: [(String, JSONValue)]) -> JSONValue {
        answer([("schema", .map([("const", .text(schema))]))] + keys)
    }
    private static let objects = list(.map([("type", .text("object"))]))

    private static let schemas: [(String, JSONValue)] = [
        ("Document", .map([("type", .text("object"))])), ("Text", text),
        ("Health", answer([("status", .map([("enum", .list([.text("ok"), .text("starting")]))]))])),
        ("Done", answer([("status", text)])),
        (
            "Status",
            command(
                "hfjanitor.status/1",
                [
                    ("daemon", nullable("object")), ("caches", objects), ("work", .map([("type", .text("object"))])),
                    ("next", objects), ("conditions", objects), ("last_pass", nullable("object")),
                ])
        ),
        ("Scrubs", command("hfjanitor.scrub/1", [("caches", objects)])),
        ("Findings", command("hfjanitor.findings/1", [("caches", objects)])),
        ("Plan", command("hfjanitor.plan/1", [("mode", text), ("time", text), ("caches", objects)])),
        (
            "Verification",
            command(
                "hfjanitor.verify/1",
                [("depth", text), ("caches", objects), ("summary", .map([("type", .text("object"))]))])
        ),
        (
            "Models",
            answer([
                (
                    "models",
                    list(answer([("model", text), ("type", text), ("cache", text), ("status", modelStatus)]))
                )
            ])
        ),
        (
            "ModelStatus",
            answer([
                ("model", text), ("type", text), ("status", modelStatus),
                ("progress", nullable("object")), ("error_code", nullable("string")),
                ("error_message", nullable("string")),
            ])
        ),
        (
            "Space",
            answer([
                ("cache_size_bytes", number), ("available_bytes", nullable("integer")),
                ("cache_path", nullable("string")), ("caches", objects),
            ])
        ),
        (
            "History",
            answer([
                (
                    "caches",
                    list(
                        answer([
                            ("cache", text), ("path", text),
                            (
                                "samples",
                                list(
                                    answer([
                                        ("time", text), ("free_bytes", number), ("floor_bytes", nullable("integer")),
                                        ("total_bytes", number), ("cache_bytes", number),
                                    ]))
                            ), ("forecast", forecast),
                        ]))
                )
            ])
        ),
        (
            "Problem",
            answer([
                ("type", text), ("title", text), ("status", number),
                ("code", .map([("enum", .list(Problem.Code.allCases.map { .text($0.rawValue) }))])),
                ("detail", text),
            ])
        ),
    ]

    private static let forecast = JSONValue.map([
        ("type", .list([.text("object"), .text("null")])),
        ("properties", .map([("floor_reached", text), ("bytes_per_day", number)])),
        ("required", .list([.text("floor_reached"), .text("bytes_per_day")])),
    ])

    private static let modelStatus = JSONValue.map([
        (
            "enum",
            .list(
                ["DOWNLOADED", "DOWNLOADING", "PARTIAL", "CORRUPT", "NOT_FOUND"].map { .text($0) })
        )
    ])
}

extension Array where Element: Hashable {
    /// Each once, in their order.
    fileprivate var uniqued: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
