internal import Daemon
internal import FoundationEssentials
internal import HTTPTypes
internal import HubCache
internal import HummingbirdCore
internal import NIOCore
internal import Verification

/// What the body of a request says. A key that nothing is meant by is an error: a request that cannot be understood in full is
/// not half done.
struct RequestBody {
    private let fields: [String: Field]

    /// A value of a request: nothing deeper is ever asked for.
    private enum Field: Decodable {
        case text(String)
        case texts([String])
        case list([RequestBody])
        case null

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if container.decodeNil() {
                self = .null
            } else if let text = try? container.decode(String.self) {
                self = .text(text)
            } else if let texts = try? container.decode([String].self) {
                self = .texts(texts)
            } else {
                self = .list(try container.decode([[String: Field]].self).map { RequestBody(fields: $0) })
            }
        }
    }

    private init(fields: [String: Field]) { self.fields = fields }

    /// Reads a request's body; an empty one says nothing.
    ///
    /// - Throws: `Problem`.
    init(of request: Request, keys: Set<String>) async throws {
        var request = request
        let buffer = try await request.collectBody(upTo: Endpoint.mostBodyBytes)
        guard buffer.readableBytes > 0 else {
            self.init(fields: [:])
            return
        }
        // Lists of lists would be read by a call within a call.
        let bytes = Array(buffer.readableBytesView)
        guard Self.isShallow(bytes),
            let fields = try? JSONDecoder().decode([String: Field].self, from: Data(bytes))
        else {
            throw Problem(.invalidRequest, "the body is not a JSON object of texts and lists of them")
        }
        self.init(fields: fields)
        try check(keys)
    }

    /// In Unicode's code points, as JSON Schema counts.
    static let mostText = 1024
    static let mostTexts = 100
    static let mostToken = 16 * 1024

    /// Whether no list or object is deeper than any that is asked for.
    private static func isShallow(_ bytes: [UInt8]) -> Bool {
        var (depth, isText, isEscaped) = (0, false, false)
        for byte in bytes {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: "["), UInt8(ascii: "{"): depth += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): depth -= 1
            default: break
            }
            if depth > 3 { return false }
        }
        return true
    }

    private func check(_ keys: Set<String>) throws {
        if let unknown = fields.keys.sorted().first(where: { !keys.contains($0) }) {
            throw Problem(
                .invalidRequest,
                "the key '\(displayText(of: String(unknown.prefix(100))))' is not known here; known are: "
                    + keys.sorted().joined(separator: ", "))
        }
    }

    /// A text.
    ///
    /// - Throws: `Problem` when it is something else.
    func text(_ key: String, most: Int = mostText) throws -> String? {
        switch fields[key] {
        case nil, .null: return nil
        case .text(let text) where text.unicodeScalars.count <= most && !text.utf8.contains(0): return text
        default: throw Problem(.invalidRequest, "'\(key)' is not a text of at most \(most) characters")
        }
    }

    /// Texts; none where there is nothing.
    ///
    /// - Throws: `Problem` when it is something else.
    func texts(_ key: String) throws -> [String] {
        switch fields[key] {
        case nil, .null: return []
        case .texts(let texts)
        where texts.count <= Self.mostTexts
            && texts.allSatisfy({ (1...Self.mostText).contains($0.unicodeScalars.count) && !$0.utf8.contains(0) }):
            return texts
        default: throw Problem(.invalidRequest, "'\(key)' is not a list of at most \(Self.mostTexts) texts")
        }
    }

    /// The keys that name a model.
    static let modelKeys: Set<String> = ["hf_repo", "hf_commit", "type", "cache"]

    /// The model that is named; nil: none is.
    ///
    /// - Throws: `Problem`.
    func model() throws -> ModelName? {
        guard let name = try text("hf_repo") else {
            if try text("hf_commit") != nil || text("type") != nil {
                throw Problem(.invalidRequest, "'hf_repo' is missing")
            }
            return nil
        }
        let word = try text("type") ?? RepoType.model.rawValue
        guard let type = RepoType(rawValue: word) else {
            throw Problem(
                .invalidRequest, "'type' is one of: " + RepoType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        guard let repo = RepoID(type: type, name: name) else {
            throw Problem(
                .invalidRepoID, "'\(displayText(of: String(name.prefix(200))))' is not the name of a repo: use org/name"
            )
        }
        return ModelName(cache: try text("cache"), repo: repo, revision: try text("hf_commit"))
    }

    /// The model that has to be named.
    ///
    /// - Throws: `Problem`.
    func requiredModel() throws -> ModelName {
        guard let model = try model() else { throw Problem(.invalidRequest, "'hf_repo' is missing") }
        return model
    }

    /// How deep to look.
    ///
    /// - Throws: `Problem`.
    func depth() throws -> VerificationDepth {
        guard let word = try text("depth") else { return .headers }
        guard let depth = VerificationDepth(rawValue: word) else {
            throw Problem(.invalidRequest, "'depth' is structure, headers or digests")
        }
        return depth
    }

    /// A list of bodies.
    ///
    /// - Throws: `Problem` when it is something else.
    func list(_ key: String, keys: Set<String>) throws -> [RequestBody]? {
        switch fields[key] {
        case nil, .null: return nil
        // An empty list is one of anything.
        case .texts(let texts) where texts.isEmpty: return []
        case .list(let bodies):
            for body in bodies { try body.check(keys) }
            return bodies
        default: throw Problem(.invalidRequest, "'\(key)' is not a list of objects")
        }
    }
}

extension Problem {
    /// What a name does not lead to.
    init(_ failure: NamingFailure) {
        let code: Code =
            switch failure {
            case .unknownCache: .unknownCache
            case .absent: .modelNotFound
            case .several: .invalidRequest
            }
        self.init(code, failure.message)
    }

    init(_ failure: AskedWorkFailure) {
        switch failure {
        case .naming(let failure): self.init(failure)
        case .busy: self.init(.busy, "too much is asked for at once; try again later")
        case .unreadable(let reason): self.init(.unavailable, reason)
        }
    }
}
