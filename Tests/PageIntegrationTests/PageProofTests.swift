import TestSupport
import Testing

/// The page of the built program in a headless browser, with a real daemon on a real cache. The proofs are in
/// Tests/PageIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.page.haveTheirEnvironment, Comment(rawValue: Proofs.advice)))
struct PageProofTests {
    @Test(arguments: try Proofs.page.all())
    func holds(_ proof: Proof) throws {
        for failure in try Proofs.page.failures(of: proof) { Issue.record(Comment(rawValue: failure)) }
    }
}
