import TestSupport
import Testing

/// What the built program fetches and repairs, from a stand-in Hub and beside real clients. The proofs are in
/// Tests/RepairIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Comment(rawValue: Proofs.advice)))
struct RepairProofTests {
    @Test(arguments: try Proofs.repair.all())
    func holds(_ proof: Proof) throws {
        for failure in try Proofs.repair.failures(of: proof) { Issue.record(Comment(rawValue: failure)) }
    }
}
