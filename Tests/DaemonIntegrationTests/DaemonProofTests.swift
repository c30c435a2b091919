import TestSupport
import Testing

/// The daemon of the built program beside real clients, on real disks, under everything that can happen to a cache. The
/// proofs are in Tests/DaemonIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Comment(rawValue: Proofs.advice)))
struct DaemonProofTests {
    @Test(arguments: try Proofs.daemon.all())
    func holds(_ proof: Proof) throws {
        for failure in try Proofs.daemon.failures(of: proof) { Issue.record(Comment(rawValue: failure)) }
    }
}
