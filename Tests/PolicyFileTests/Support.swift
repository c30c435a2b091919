import Glibc
import HubCache
import PolicyFile
import Retention
import TestSupport

/// Reads one document called `policy.yaml`.
func load(_ text: String, isOffline: Bool = false) throws -> LoadedPolicy {
    try PolicyParser(home: "/home/ada", isOffline: isOffline).policy([
        PolicySource(file: "policy.yaml", bytes: Array(text.utf8))
    ])
}

/// What is wrong with a document, one line each; with a sound one, its warnings.
func complaints(_ bytes: [UInt8], isOffline: Bool = false) -> [String] {
    let parser = PolicyParser(home: "/home/ada", isOffline: isOffline)
    do throws(PolicyFailure) {
        return try parser.policy([PolicySource(file: "policy.yaml", bytes: bytes)]).warnings.map(\.text)
    } catch {
        return error.diagnostics.map(\.text)
    }
}

/// What is wrong with a document, one line each; with a sound one, its warnings.
func complaints(_ text: String, isOffline: Bool = false) -> [String] {
    complaints(Array(text.utf8), isOffline: isOffline)
}

/// The user and group that the tests run as.
let currentUser = geteuid()
let currentGroup = getegid()
