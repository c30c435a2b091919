public import HubCache
internal import LinuxIO

/// A graphics processor and its memory.
public struct GraphicsProcessor: Sendable, Hashable {
    /// What it calls itself.
    public var name: String
    /// Its memory; nil where that cannot be told.
    public var totalBytes: UInt64?
    /// What of it is free now.
    public var freeBytes: UInt64?

    /// The processors of this machine that tell of themselves: NVIDIA's by `nvidia-smi`, AMD's by their driver.
    ///
    /// - Parameter root: what stands before `/proc`, `/sys` and `/usr`.
    /// - Returns: none where there are none, or none that can be read.
    public static func all(root: BytePath = .empty) -> [GraphicsProcessor] { nvidia(root) + amd(root) }

    // MARK: - NVIDIA

    private static let tools = [
        "/usr/bin/nvidia-smi", "/usr/local/bin/nvidia-smi", "/usr/local/nvidia/bin/nvidia-smi", "/opt/bin/nvidia-smi",
        "/run/current-system/sw/bin/nvidia-smi", "/usr/lib/wsl/lib/nvidia-smi",
    ]
    /// A driver that hangs must not hang us.
    private static let patience = Duration.seconds(5)
    private static let environment = ["LC_ALL=C", "PATH=/usr/bin:/bin"]

    private static func nvidia(_ root: BytePath) -> [GraphicsProcessor] {
        let driver = names(in: root, "/proc/driver/nvidia/gpus")
        let isVirtual = exists(root, "/dev/dxg")
        guard !driver.isEmpty || isVirtual else { return [] }
        let arguments = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
        for tool in tools where exists(root, tool) {
            let path = BytePath(bytes: root.bytes + Array(tool.utf8))
            guard
                let output = ChildProgram.output(
                    of: [path.text] + arguments, environment: environment, within: patience)
            else { continue }
            let found = String(decoding: output, as: UTF8.self).split(separator: "\n").compactMap(processor)
            if !found.isEmpty { return found }
        }
        // The driver has them, and nobody tells how large they are.
        return driver.sorted().map { name in
            let lines = smallText(root, "/proc/driver/nvidia/gpus/\(name.text)/information")?.split(separator: "\n")
            let model = lines?.first { $0.hasPrefix("Model:") }?.dropFirst("Model:".count)
            return GraphicsProcessor(name: shown(model ?? "NVIDIA"))
        }
    }

    /// A line such as `NVIDIA L4, 23034, 22500`, in MiB. A processor that shares the machine's memory has no numbers.
    private static func processor(_ line: Substring) -> GraphicsProcessor? {
        let parts = line.split(separator: ",", omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
        guard parts.count == 3, let name = line.split(separator: ",").first else { return nil }
        let total = UInt64(parts[1])?.timesUpTo(1 << 20)
        return GraphicsProcessor(name: shown(name), totalBytes: total, freeBytes: UInt64(parts[2])?.timesUpTo(1 << 20))
    }

    // MARK: - AMD

    private static func amd(_ root: BytePath) -> [GraphicsProcessor] {
        names(in: root, "/sys/class/drm").sorted().compactMap { card in
            // Not `card0-HDMI-A-1`, which is a plug.
            guard card.hasPrefix("card"), card.bytes.dropFirst(4).allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
                return nil
            }
            let device = "/sys/class/drm/\(card.text)/device"
            guard let total = number(root, "\(device)/mem_info_vram_total"), total > 0 else { return nil }
            let used = number(root, "\(device)/mem_info_vram_used")
            let name = smallText(root, "\(device)/product_name")?.split(separator: "\n").first
            return GraphicsProcessor(
                name: shown(name ?? "AMD \(card.text)"), totalBytes: total,
                freeBytes: used.map { $0 < total ? total - $0 : 0 })
        }
    }

    // MARK: - Looking

    private static func number(_ root: BytePath, _ path: String) -> UInt64? {
        smallText(root, path)?.split(separator: "\n").first.flatMap { UInt64($0) }
    }

    private static func names(in root: BytePath, _ path: String) -> [BytePath] {
        let place = BytePath(bytes: root.bytes + Array(path.utf8))
        guard let folder = try? OwnedDescriptor.open(trustedPath: place, options: .directory) else { return [] }
        return (try? folder.listDirectory())?.entries.map(\.name) ?? []
    }

    private static func exists(_ root: BytePath, _ path: String) -> Bool {
        (try? OwnedDescriptor.open(trustedPath: BytePath(bytes: root.bytes + Array(path.utf8)))) != nil
    }

    private static func shown(_ name: some StringProtocol) -> String {
        let text = name.drop { $0 == " " || $0 == "\t" }.prefix(60)
        return displayText(of: String(text))
    }
}
