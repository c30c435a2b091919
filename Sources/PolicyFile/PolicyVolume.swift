public import HubCache
public import LinuxIO

/// How Kubernetes lays out the files of a ConfigMap: `policy.yaml` is a link to `..data/policy.yaml`, and `..data` one to a
/// folder beside it that is called after a time. All files change at once when another `..data` is renamed over it.
///
/// These two links are the only ones by which a policy is read: both lead to what lies in the same folder, and nowhere
/// else.
public enum PolicyVolume {
    /// The link to the folder with the files as they are now.
    public static let currentName: BytePath = "..data"

    /// The name of the folder that `..data` leads to; nil where there is no such link, or one that leads elsewhere.
    public static func currentFolder(of folder: borrowing OwnedDescriptor) -> BytePath? {
        guard let target = try? folder.readLink(currentName), target.hasPrefix(".."), target.bytes.count > 2,
            target != currentName, !target.bytes.contains(UInt8(ascii: "/"))
        else { return nil }
        return target
    }

    /// Whether an entry is a link as the kubelet makes them.
    static func isProjected(_ name: BytePath, in folder: borrowing OwnedDescriptor) -> Bool {
        (try? folder.readLink(name)) == currentName.appending(name)
    }
}
