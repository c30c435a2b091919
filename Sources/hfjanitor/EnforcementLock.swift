import HubCache
import Ledger
import LinuxIO

/// One pass at a time for each ledger: two that plan at once would each fill the same gap.
final class EnforcementLock: Sendable {
    private let file: OwnedDescriptor

    /// Takes the lock; it is given back when this object goes.
    ///
    /// - Throws: `CommandFailure`: 75 while another run has it, 73 when it cannot be taken.
    init() throws {
        guard let directory = LedgerLocation.directory(environment: Terminal.environment) else {
            throw CommandFailure(
                status: .cannotWrite, message: "there is no state folder: set HOME, XDG_STATE_HOME or STATE_DIRECTORY")
        }
        do throws(SystemCallFailure) {
            file = try OwnedDescriptor.open(trustedPath: directory, options: .directory).openLockFile("enforce.lock")
            if try file.tryLock() == .locked { return }
        } catch {
            throw CommandFailure(
                status: error.isPermission ? .permission : .cannotWrite,
                message: "cannot lock '\(directory.display)/enforce.lock': \(error.reason)")
        }
        throw CommandFailure(
            status: .busy, message: "another 'hfjanitor enforce' is at work; try again when it is done")
    }
}
