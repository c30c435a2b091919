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
            ("paths", .map(paths)), ("components", .map([("schemas", .map(OpenAPISchemas.all + OpenAPISchemas.page))])),
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
                String(endpoint.answerStatus.code),
                .map([
                    ("description", .text(endpoint.summary)),
                    ("content", content(endpoint.answerType, OpenAPISchemas.reference(endpoint.answerSchema))),
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
                        ("content", content("application/problem+json", OpenAPISchemas.reference("Problem"))),
                    ])
                ))
        }
        pairs.append(("responses", .map(responses)))
        return .map(pairs)
    }

    private static func content(_ type: String, _ schema: JSONValue) -> JSONValue {
        .map([(type, .map([("schema", schema)]))])
    }

    /// `RepoID` in one expression: no two hyphens or full stops in a row, and none at an end.
    private static let repoPattern: String = {
        let segment = "[A-Za-z0-9_]+((-(\\.-)*\\.?|\\.(-\\.)*-?)[A-Za-z0-9_]+)*"
        return "^\(segment)(/\(segment))?$"
    }()

    private static func object(_ parameters: [Endpoint.Parameter]) -> JSONValue {
        .map([
            ("type", .text("object")),
            ("properties", .map(parameters.map { ($0.name, schema(of: $0, isNullable: !$0.isRequired)) })),
            ("required", .list(parameters.filter(\.isRequired).map { .text($0.name) })),
            ("additionalProperties", .flag(false)),
        ])
    }

    /// - Parameter isNullable: whether nothing may be said by `null`, too.
    private static func schema(of parameter: Endpoint.Parameter, isNullable: Bool = false) -> JSONValue {
        func type(_ word: String) -> (String, JSONValue) {
            ("type", isNullable ? .list([.text(word), .text("null")]) : .text(word))
        }
        let (most, mostToken) = (Int64(RequestBody.mostText), Int64(RequestBody.mostToken))
        let noZero = JSONValue.text("^[^\\u0000]*$")
        var pairs: [(String, JSONValue)] = [("description", .text(parameter.meaning))]
        switch parameter.kind {
        case .models: pairs += [type("array"), ("items", object(Endpoint.modelParameters))]
        case .texts:
            let items: [(String, JSONValue)] = [
                ("type", .text("string")), ("minLength", .number(1)), ("maxLength", .number(most)), ("pattern", noZero),
            ]
            pairs += [type("array"), ("maxItems", .number(Int64(RequestBody.mostTexts))), ("items", .map(items))]
        case .token:
            // Printable, and nothing else: as it stands in a header.
            pairs += [
                type("string"), ("pattern", .text("^[!-~]+$")), ("maxLength", .number(mostToken)),
                ("writeOnly", .flag(true)),
            ]
        case .repo: pairs += [type("string"), ("pattern", .text(repoPattern)), ("maxLength", .number(193))]
        case .text where parameter.values.isEmpty:
            pairs += [type("string"), ("maxLength", .number(most)), ("pattern", noZero)]
        case .text:
            let words = parameter.values.map { JSONValue.text($0) }
            pairs += [type("string"), ("enum", .list(isNullable ? words + [.null] : words))]
        }
        return .map(pairs)
    }
}

extension Array where Element: Hashable {
    /// Each once, in their order.
    fileprivate var uniqued: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
