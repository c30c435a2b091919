internal import HubCache
internal import LinuxIO

/// The folders that this machine lends to others over NFS: what other machines have open there shows nowhere here.
struct ExportedTrees: Sendable {
    private let paths: [BytePath]

    /// Reads the kernel's own table, and that of the server's tools.
    static func current() -> ExportedTrees { ExportedTrees(files: ["/proc/fs/nfsd/exports", "/var/lib/nfs/etab"]) }

    init(files: [BytePath]) {
        var found: [BytePath] = []
        for file in files {
            guard let opened = try? OwnedDescriptor.open(trustedPath: file),
                let content = try? opened.read(at: 0, count: 1 << 20)
            else { continue }
            for line in content.split(separator: 0x0a) where line.first != UInt8(ascii: "#") {
                guard let path = line.split(whereSeparator: { $0 == 0x20 || $0 == 0x09 }).first,
                    path.first == UInt8(ascii: "/")
                else { continue }
                found.append(Self.unescaped(path))
            }
        }
        paths = found
    }

    /// Whether a path lies in an exported folder, or has one below it.
    func concern(_ path: BytePath) -> Bool {
        paths.contains { path.relative(to: $0) != nil || $0.relative(to: path) != nil }
    }

    /// Blanks and others stand as `\040` in these tables.
    private static func unescaped(_ text: ArraySlice<UInt8>) -> BytePath {
        var bytes: [UInt8] = []
        var rest = text
        while let byte = rest.first {
            rest = rest.dropFirst()
            if byte == UInt8(ascii: "\\"), rest.count >= 3,
                let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(value)
                rest = rest.dropFirst(3)
            } else {
                bytes.append(byte)
            }
        }
        return BytePath(bytes: bytes)
    }
}
