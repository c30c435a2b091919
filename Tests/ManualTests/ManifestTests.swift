import Foundation
import TestSupport
import Testing

private let python = project.appending(path: ".build/python/manifests/bin/python").path

/// The manifests for Kubernetes are what its schemas allow, offline, and their policy is one that the program takes.
@Suite(
    .enabled(
        if: Proofs.mustNotSkip || FileManager.default.isExecutableFile(atPath: python),
        "no .build/python/manifests: make environments"))
struct ManifestTests {
    @Test func manifestsFitTheirSchemas() throws {
        let process = Process()
        process.executableURL = URL(filePath: python)
        process.arguments = [project.appending(path: "packaging/kubernetes/validate").path]
        process.environment = ["HFJANITOR": Program.path, "PATH": "/usr/bin:/bin", "HOME": NSTemporaryDirectory()]
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(text)")
    }
}
