package import Foundation
internal import Glibc
package import HubCache

/// `Tests/HubStandIn/hub_stand_in.py` as a process.
package final class HubStandIn: Sendable {
    package let hub: String
    package let cdn: String
    package let other: String
    /// What `main` of the first repo is.
    package let commit: CommitHash
    private let process: Process
    private let input: Pipe

    /// - Parameters:
    ///   - description: what it serves: see the top of the script; one repo at least.
    ///   - folder: what the description's folders and files are relative to.
    package init(_ description: [String: Any], in folder: TestFolder) throws {
        let json = try JSONSerialization.data(withJSONObject: description)
        try folder.write("hub.json", Array(json))
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("HubStandIn/hub_stand_in.py").path
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-B", script, folder.absolute("hub.json").text]
        let input = Pipe()
        let output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        // It prints its addresses once it listens, and nothing more.
        var line = Data()
        while line.last != 0x0a {
            let piece = output.fileHandleForReading.availableData
            if piece.isEmpty { throw StandInFailure(description: "the stand-in did not start") }
            line += piece
        }
        guard let urls = try JSONSerialization.jsonObject(with: line) as? [String: String], let hub = urls["hub"],
            let cdn = urls["cdn"], let other = urls["other"]
        else { throw StandInFailure(description: "the stand-in said something else") }
        (self.hub, self.cdn, self.other, self.process, self.input) = (hub, cdn, other, process, input)
        guard let repo = (description["repos"] as? [[String: Any]])?.first, let id = repo["id"] as? String else {
            throw StandInFailure(description: "the description has no repo")
        }
        let type = repo["type"] as? String ?? "model"
        let info = try rawRequest("GET", other, "/api/\(type)s/\(id)/revision/main")
        guard let object = try JSONSerialization.jsonObject(with: info) as? [String: Any],
            let sha = object["sha"] as? String, let commit = CommitHash(sha)
        else { throw StandInFailure(description: "the stand-in has no commit") }
        self.commit = commit
        try clearLog()
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }

    /// What was asked so far.
    package func log() throws -> [[String: Any]] {
        try JSONSerialization.jsonObject(with: rawRequest("GET", cdn, "/_log")) as? [[String: Any]] ?? []
    }

    package func clearLog() throws { _ = try rawRequest("DELETE", cdn, "/_log") }

    /// The origins that saw an `Authorization` header.
    package func originsWithToken() throws -> Set<String> {
        Set(try log().filter { $0["authorized"] as? Bool == true }.compactMap { $0["origin"] as? String })
    }

    /// Makes requests go wrong: see `Fault` in the stand-in.
    package func fault(_ kind: String, _ settings: [String: Any] = [:], body: String? = nil) throws {
        var fault = settings
        fault["kind"] = kind
        if let body { fault["body"] = Data(body.utf8).base64EncodedString() }
        try order(["fault": fault])
    }

    /// Makes all go well again, and forgets what was asked.
    package func clear() throws {
        try order(["clear": true])
        try clearLog()
    }

    private func order(_ order: [String: Any]) throws {
        let answer = try rawRequest("POST", cdn, "/_control", JSONSerialization.data(withJSONObject: order))
        guard try JSONSerialization.jsonObject(with: answer) is [Any] else {
            throw StandInFailure(description: "the stand-in refused: \(String(decoding: answer, as: UTF8.self))")
        }
    }
}

/// One request over a plain socket: the tests must not rely on the client they test.
package func rawRequest(_ method: String, _ url: String, _ path: String, _ body: Data = Data()) throws -> Data {
    let parts = url.split(separator: ":").map(String.init)
    guard parts.count == 3, let port = UInt16(parts[2]) else { throw StandInFailure(description: "no port in \(url)") }
    let number = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(number) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = unsafe inet_addr(String(parts[1].dropFirst(2)))
    let connected = unsafe withUnsafePointer(to: &address) {
        unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe connect(number, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
    guard connected == 0 else { throw StandInFailure(description: "connect to \(url): errno \(errno)") }
    let head = "\(method) \(path) HTTP/1.1\r\nHost: hub\r\nConnection: close\r\nContent-Length: \(body.count)\r\n\r\n"
    let message = Data(head.utf8) + body
    let sent = unsafe message.withUnsafeBytes { unsafe send(number, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
    guard sent == message.count else { throw StandInFailure(description: "send: errno \(errno)") }
    var answer = Data()
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = unsafe recv(number, &buffer, buffer.count, 0)
        if count <= 0 { break }
        answer += buffer.prefix(count)
    }
    guard let end = answer.range(of: Data("\r\n\r\n".utf8)) else { throw StandInFailure(description: "no answer") }
    return answer[end.upperBound...]
}

/// The stand-in could not be used.
package struct StandInFailure: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}
