internal import CacheScan
internal import HubCache
internal import LinuxIO

struct DigestPass {
    let root: CacheRoot
    let options: VerificationOptions
    let memory: Memory
    let progress: VerificationProgress
    let cancellation: Cancellation
    func run(_ views: [RevisionView]) -> [DigestKey: DigestEvidence] { [:] }
}
