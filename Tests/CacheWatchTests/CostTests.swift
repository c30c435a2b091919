import Foundation
import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import CacheWatch

/// Not a check but a measurement, for those who ask: HFJANITOR_WATCH_COST is a number of repos.
@Suite(.enabled(if: ProcessInfo.processInfo.environment["HFJANITOR_WATCH_COST"] != nil, "only on request"))
struct CostTests {
    private func resident() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return (Int(fields[1]) ?? 0) * 4096
    }

    @Test func cost() throws {
        let count = Int(ProcessInfo.processInfo.environment["HFJANITOR_WATCH_COST"] ?? "") ?? 3000
        try withTestCache { cache in
            for number in 0..<count {
                let repo = cache.repo("org-\(number % 100)/model-\(number)")
                for folder in ["blobs", "refs", "trees", "snapshots/\(commit(1))/onnx"] {
                    try cache.outer.makeFolder(repo.place(BytePath(folder)))
                }
                for file in 0..<50 { try cache.outer.link(repo.snapshot(commit(1), BytePath("f\(file)")), to: "x") }
                try repo.ref("main", commit(1))
            }
            let before = try resident()
            let start = monotonicNanoseconds()
            let watch = try Watch(cache.path)
            let armed = monotonicNanoseconds()
            let status = watch.watcher.status[0]
            let after = try resident()
            print("repos \(status.repos), watches \(status.watches), armed in \((armed - start) / 1_000_000) ms")
            print("resident \(before) to \(after): \((after - before) / status.watches) bytes a watch")
        }
    }
}
