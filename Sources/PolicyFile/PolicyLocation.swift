public import HubCache

/// Where a policy is looked for, and on whose behalf. Plain values: the environment is asked by the caller.
public struct PolicyLocation: Sendable {
    /// The file that was named; nil: it is looked for.
    public var named: BytePath?
    /// The instance of a service, which has a folder of its own below `/etc/hfjanitor`.
    public var instance: String?
    /// The process's environment: `XDG_CONFIG_HOME`, `HF_HUB_OFFLINE`.
    public var environment: [String: String]
    /// The user's home folder; nil: it is not known.
    public var home: String?
    /// Who reads.
    public var reader: PolicyReaderIdentity
    /// `/etc/hfjanitor`, but for tests.
    public var systemFolder: BytePath = "/etc/hfjanitor"

    /// The name of the file in its folder.
    public static let fileName: BytePath = "policy.yaml"
    /// The name of the folder with the drop-ins, beside the file.
    public static let dropInFolderName: BytePath = "policy.d"

    /// Makes a location.
    public init(
        named: BytePath? = nil, instance: String? = nil, environment: [String: String], home: String?,
        reader: PolicyReaderIdentity
    ) {
        self.named = named
        self.instance = instance
        self.environment = environment
        self.home = home
        self.reader = reader
    }

    /// The user's own file: in `XDG_CONFIG_HOME`, else in `~/.config`. Nil for root, and without a home folder.
    ///
    /// A relative `XDG_CONFIG_HOME` is passed over, as the XDG base directory specification asks.
    public var userFile: BytePath? {
        guard reader.uid != 0 else { return nil }
        var folder: BytePath?
        if let text = environment["XDG_CONFIG_HOME"], text.hasPrefix("/") {
            folder = BytePath(text)
        } else if let home, home.hasPrefix("/") {
            folder = BytePath(home).appending(".config")
        }
        return folder?.appending("hfjanitor").appending(Self.fileName)
    }

    /// The machine's file, or the instance's.
    public var systemFile: BytePath {
        guard let instance, isInstanceName(instance) else { return machineFile }
        return systemFolder.appending(instance).appending(Self.fileName)
    }

    /// The machine's file. Its pins count for every user and instance.
    public var machineFile: BytePath { systemFolder.appending(Self.fileName) }

    /// The files in the order in which they are looked for; the first that is there, or has drop-ins, is the policy.
    public var candidates: [BytePath] {
        if let named { return [named] }
        return (userFile.map { [$0] } ?? []) + [systemFile]
    }

    /// Where `policy init` puts a file.
    public var defaultFile: BytePath { userFile ?? systemFile }

    /// Whether `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE`, is set to what huggingface_hub takes for true.
    public var isOffline: Bool {
        let values = ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].compactMap { environment[$0] }.filter { !$0.isEmpty }
        return values.first.map { ["1", "ON", "YES", "TRUE"].contains($0.uppercased()) } ?? false
    }

    private func isInstanceName(_ name: String) -> Bool {
        !name.isEmpty && !name.contains("/") && name != "." && name != ".." && !name.utf8.contains(0)
    }
}
