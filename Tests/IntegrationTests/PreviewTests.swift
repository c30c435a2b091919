import Foundation
import Testing

/// What `preview` counts, beside the real client on the same Hub.
@Suite(.enabled(if: ClientEnvironment.areNeeded, ClientEnvironment.advice))
struct PreviewTests {
    @Test func parametersAsTheClientCountsThem() throws {
        let script = Places.package.appending(path: "Tests/PreviewIntegration/parameters.py")
        let outcome = try run(ClientEnvironment.newest.python, [script.path, Places.program.path])
        #expect(outcome.status == 0, "\(outcome.text)\(outcome.errors)")
        #expect(outcome.text.split(separator: "\n").count == 5)
    }
}
