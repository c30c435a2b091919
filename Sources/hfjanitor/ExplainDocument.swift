import Documents
import Enforcement
import HubCache
import Retention

/// `hfjanitor.explain/1`.
struct ExplainDocument: Encodable {
    struct Tried: Encodable {
        var rule: String
        var matched: Bool
        var reason: ReasonDocument

        enum CodingKeys: CodingKey { case rule, matched }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(rule, forKey: .rule)
            try container.encode(matched, forKey: .matched)
            try reason.encode(to: encoder)
        }
    }

    struct Entry: Encodable {
        var repo: String?
        var commit: String?
        var path: String?
        var verdict: String
        var tried: [Tried]
        var keptBy: [KeptBy]
        var notes: [String]

        enum CodingKeys: String, CodingKey {
            case repo, commit, path, verdict, tried, notes
            case keptBy = "kept_by"
        }
    }

    struct KeptBy: Encodable {
        var by: String
        var detail: String
    }

    var schema = "hfjanitor.explain/1"
    var items: [Entry]

    init(_ explanations: [Explanation], caches: [GatheredCache]) {
        items = explanations.map { explanation in
            let names = ItemNames(facts: caches[explanation.item.cache].facts)
            let commit = names.commit(explanation.item)
            return Entry(
                repo: names.repo(explanation.item), commit: commit,
                path: commit == nil ? names.path(explanation.item).text : nil,
                verdict: explanation.isRemoved ? "remove" : "keep",
                tried: explanation.tried.map {
                    Tried(rule: $0.rule, matched: $0.isMatched, reason: ReasonDocument($0.reason))
                },
                keptBy: explanation.keptBy.map { KeptBy(by: $0.by.rawValue, detail: $0.detail) },
                notes: explanation.notes)
        }
    }
}
