import TestSupport
import Testing

/// The built program's retention commands on real filesystems, beside real clients and real processes. The proofs are in
/// Tests/RetentionIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Comment(rawValue: Proofs.advice)))
struct RetentionProofTests {
    @Test(arguments: try Proofs.retention.all())
    func holds(_ proof: Proof) throws {
        for failure in try Proofs.retention.failures(of: proof) { Issue.record(Comment(rawValue: failure)) }
    }
}
