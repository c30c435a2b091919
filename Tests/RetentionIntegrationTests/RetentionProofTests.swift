import Foundation
import Testing

/// The built program's retention commands on real filesystems, beside real clients and real processes. The proofs are in
/// Tests/RetentionIntegration, whose README says what each of them is about.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Proofs.advice))
struct RetentionProofTests {
    @Test(arguments: try Proofs.all(of: "RetentionIntegration"))
    func holds(_ proof: Proof) throws { try proof.expectToHold() }
}

/// The same of fetching and repairing: Tests/RepairIntegration.
@Suite(.serialized, .enabled(if: Proofs.areNeeded, Proofs.advice))
struct RepairProofTests {
    @Test(arguments: try Proofs.all(of: "RepairIntegration"))
    func holds(_ proof: Proof) throws { try proof.expectToHold() }
}

extension Proof {
    fileprivate func expectToHold() throws {
        let outcome = try ProofRuns.shared.outcome(of: self)
        if let skipped = outcome.skipped {
            let message = "SKIPPED: \(testDescription): \(skipped)"
            FileHandle.standardError.write(Data("\(message)\n".utf8))
            if Proofs.mustNotSkip { Issue.record(Comment(rawValue: message)) }
        }
        for failure in outcome.failures { Issue.record(Comment(rawValue: failure)) }
    }
}
