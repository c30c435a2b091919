internal import CCrypto
public import HubCache

/// Which code computes a digest.
public enum DigestImplementation: Sendable, Hashable, CaseIterable {
    /// The processor's SHA instructions where it has them and the digest is SHA-256, libcrypto otherwise.
    case automatic
    /// libcrypto, whatever the processor has.
    case libcrypto

    /// Whether SHA-256 of two streams can be computed side by side on this machine.
    public static var hasInterleavedSHA256: Bool { hfj_sha256_available() != 0 }
}

/// Content that was shorter or longer than declared.
public struct DigestLengthMismatch: Error, Sendable, Hashable {
    /// The length that was declared.
    public let declared: UInt64
    /// The bytes that came.
    public let actual: UInt64
}

/// A digest of content that comes in pieces.
///
/// The length is declared beforehand: git's digest begins with it.
///
/// It has one owner, who alone reaches what the pointers lead to: so it may go from thread to thread.
public struct StreamingDigest: ~Copyable, @unchecked Sendable {
    /// The digest that is computed.
    public let algorithm: DigestAlgorithm
    /// The length that was declared.
    public let declaredLength: UInt64
    /// The bytes added so far.
    public private(set) var length: UInt64 = 0

    @safe private enum Engine {
        case libcrypto(OpaquePointer)
        case instructions(UnsafeMutablePointer<hfj_sha256>)
    }
    // Made in init, freed in deinit, and never handed out: the pointers are good for as long as the value lives.
    private let engine: Engine

    /// Starts a digest of content of that length.
    ///
    /// - Precondition: libcrypto offers the algorithm and memory is to be had.
    public init(_ algorithm: DigestAlgorithm, length: UInt64, implementation: DigestImplementation = .automatic) {
        self.algorithm = algorithm
        self.declaredLength = length
        if algorithm == .sha256, implementation == .automatic, DigestImplementation.hasInterleavedSHA256 {
            let state = UnsafeMutablePointer<hfj_sha256>.allocate(capacity: 1)
            unsafe state.initialize(to: hfj_sha256())
            unsafe hfj_sha256_init(state)
            unsafe self.engine = .instructions(state)
            return
        }
        guard let context = unsafe hfj_evp_create(algorithm == .gitSHA1 ? 1 : 0) else {
            preconditionFailure("libcrypto does not start \(algorithm)")
        }
        unsafe self.engine = .libcrypto(context)
        guard algorithm == .gitSHA1 else { return }
        // The object's header, as git hashes it. It is no part of the content.
        let header = Array("blob \(length)\0".utf8)
        unsafe header.withUnsafeBytes { bytes in
            Self.requireDone(unsafe hfj_evp_update(context, bytes.baseAddress, bytes.count))
        }
    }

    deinit {
        switch engine {
        case .libcrypto(let context): unsafe hfj_evp_destroy(context)
        case .instructions(let state): unsafe state.deallocate()
        }
    }

    /// Adds the next piece.
    public mutating func update(_ bytes: Span<UInt8>) {
        unsafe bytes.withUnsafeBytes { unsafe update($0) }
    }

    /// Adds the next piece: see `update(_: Span<UInt8>)`.
    @unsafe mutating func update(_ bytes: UnsafeRawBufferPointer) {
        length += UInt64(bytes.count)
        switch engine {
        case .libcrypto(let context):
            Self.requireDone(unsafe hfj_evp_update(context, bytes.baseAddress, bytes.count))
        case .instructions(let state):
            unsafe hfj_sha256_update(state, bytes.baseAddress, bytes.count)
        }
    }

    /// Adds the next piece of two contents, side by side where both run on the SHA instructions.
    ///
    /// As long as both pieces last, two go nearly at the speed of one.
    static func update(
        _ first: inout StreamingDigest, _ firstBytes: Span<UInt8>, _ second: inout StreamingDigest,
        _ secondBytes: Span<UInt8>
    ) {
        unsafe firstBytes.withUnsafeBytes { one in
            unsafe secondBytes.withUnsafeBytes { two in unsafe update(&first, one, &second, two) }
        }
    }

    /// Adds the next piece of two contents: see `update` for spans.
    @unsafe static func update(
        _ first: inout StreamingDigest, _ firstBytes: UnsafeRawBufferPointer,
        _ second: inout StreamingDigest, _ secondBytes: UnsafeRawBufferPointer
    ) {
        guard case .instructions(let one) = first.engine, case .instructions(let two) = second.engine
        else {
            unsafe first.update(firstBytes)
            unsafe second.update(secondBytes)
            return
        }
        first.length += UInt64(firstBytes.count)
        second.length += UInt64(secondBytes.count)
        unsafe hfj_sha256_update_two(
            one, firstBytes.baseAddress, firstBytes.count, two, secondBytes.baseAddress, secondBytes.count)
    }

    /// Whether it can be updated together with another one.
    var isInterleavable: Bool {
        if case .instructions = engine { true } else { false }
    }

    /// The digest of all that was added.
    ///
    /// - Throws: `DigestLengthMismatch` when that was not as long as declared. git's digest means nothing then, and SHA-256 is
    ///   that of other content than was asked for.
    public consuming func finish() throws(DigestLengthMismatch) -> ContentDigest {
        guard length == declaredLength else { throw DigestLengthMismatch(declared: declaredLength, actual: length) }
        return unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(HFJ_SHA256_DIGEST_BYTES)) { result in
            guard let base = result.baseAddress else { preconditionFailure("an allocation without an address") }
            unsafe result.initialize(repeating: 0)
            switch engine {
            case .libcrypto(let context): Self.requireDone(unsafe hfj_evp_finish(context, base))
            case .instructions(let state): unsafe hfj_sha256_finish(state, base)
            }
            return unsafe ContentDigest(algorithm: algorithm, bytes: result.prefix(algorithm.byteCount))
        }
    }

    /// libcrypto's digests fail only where it was misused.
    private static func requireDone(_ result: Int32) {
        precondition(result == 1, "libcrypto failed to add to a digest")
    }
}
