import ArgumentParser
import CacheScan
internal import Glibc
import HubCache
import LinuxIO
import PolicyFile

/// Which policy a command works by, for every command that has to know.
struct PolicyOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "A policy file. Default: ~/.config/hfjanitor/policy.yaml (not for root), else /etc/hfjanitor/policy.yaml.",
            valueName: "file"),
        completion: .file())
    var policy: String?

    /// Where the policy is looked for.
    ///
    /// - Parameter file: a file that was named in another way.
    func location(file: String? = nil) -> PolicyLocation {
        let locator = CacheLocator(environment: Terminal.environment)
        let home = locator.expand("~")
        var location = PolicyLocation(
            named: (file ?? policy).map { BytePath($0) }, environment: Terminal.environment,
            home: home.hasPrefix("/") ? home : nil, reader: PolicyReaderIdentity(uid: geteuid(), gid: getegid()))
        location.instance = Self.instance(in: location.systemFolder)
        return location
    }

    /// The instance of `hfjanitor@.service` is a user's name: the user whose policy `/etc/hfjanitor/NAME` has, in the service and
    /// in a shell.
    private static func instance(in folder: BytePath) -> String? {
        guard geteuid() != 0, let name = UserRecord.find(geteuid())?.name, !name.contains("/"), name != "..",
            name != ".", name != PolicyLocation.dropInFolderName.text
        else { return nil }
        let own = try? OwnedDescriptor.open(trustedPath: folder.appending(BytePath(name)), options: .directory)
        return own == nil ? nil : name
    }

    /// The policy, its drop-ins and the machine's pins in it; without any file, the default, which only observes.
    ///
    /// - Throws: `CommandFailure` 78 with every diagnostic on a line of its own.
    func load() throws -> LoadedPolicy {
        do throws(PolicyFailure) { return try PolicyLoader(location()).load() } catch {
            throw CommandFailure(status: .policy, message: "the policy is not used:\n" + error.text)
        }
    }
}
