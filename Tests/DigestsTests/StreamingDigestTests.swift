import HubCache
import Testing

@testable import Digests

/// Bytes that differ from call to call with the same generator.
func randomBytes(_ count: Int, _ generator: inout some RandomNumberGenerator) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
}

/// splitmix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

func digest(
    _ algorithm: DigestAlgorithm, of bytes: [UInt8], implementation: DigestImplementation = .libcrypto
) throws -> ContentDigest {
    var digest = StreamingDigest(algorithm, length: UInt64(bytes.count), implementation: implementation)
    digest.update(bytes.span)
    return try digest.finish()
}

@Suite struct StreamingDigestTests {
    struct Vector: CustomTestStringConvertible {
        let algorithm: DigestAlgorithm
        let text: String
        let hex: String
        var testDescription: String { "\(algorithm) of \(text.utf8.count) bytes" }
    }

    // FIPS 180-4's examples; `git hash-object --stdin`.
    static let vectors = [
        Vector(algorithm: .sha256, text: "", hex: ContentDigest.emptySHA256),
        Vector(
            algorithm: .sha256, text: "abc", hex: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        Vector(
            algorithm: .sha256, text: "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            hex: "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        Vector(algorithm: .gitSHA1, text: "", hex: ContentDigest.emptyGitSHA1),
        Vector(algorithm: .gitSHA1, text: "hello\n", hex: "ce013625030ba8dba906f756967f9e9ca394464a"),
    ]

    @Test(arguments: vectors, DigestImplementation.allCases)
    func knownVector(_ vector: Vector, _ implementation: DigestImplementation) throws {
        let found = try digest(vector.algorithm, of: Array(vector.text.utf8), implementation: implementation)
        #expect(found.hex == vector.hex)
    }

    static let edgeLengths = [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 4096, 1_048_577]

    @Test(arguments: edgeLengths) func instructionsAgreeWithLibcrypto(_ length: Int) throws {
        var generator = SeededGenerator(state: UInt64(length))
        let bytes = randomBytes(length, &generator)
        #expect(try digest(.sha256, of: bytes, implementation: .automatic) == digest(.sha256, of: bytes))
    }

    @Test(arguments: edgeLengths, [0, 1, 64, 119, 100_000]) func twoStreamsAgreeWithLibcrypto(_ one: Int, _ two: Int)
        throws
    {
        var generator = SeededGenerator(state: UInt64(one * 7 + two))
        let first = randomBytes(one, &generator)
        let second = randomBytes(two, &generator)
        var left = StreamingDigest(.sha256, length: UInt64(one))
        var right = StreamingDigest(.sha256, length: UInt64(two))
        StreamingDigest.update(&left, first.span, &right, second.span)
        #expect(try left.finish() == digest(.sha256, of: first))
        #expect(try right.finish() == digest(.sha256, of: second))
    }

    @Test(arguments: 0..<200) func twoStreamsInRandomPieces(_ seed: Int) throws {
        var generator = SeededGenerator(state: UInt64(seed))
        let first = randomBytes(Int.random(in: 0...3000, using: &generator), &generator)
        let second = randomBytes(Int.random(in: 0...3000, using: &generator), &generator)
        var left = StreamingDigest(.sha256, length: UInt64(first.count))
        var right = StreamingDigest(.sha256, length: UInt64(second.count))
        var (one, two) = (0, 0)
        while one < first.count || two < second.count {
            let nextOne = min(first.count, one + Int.random(in: 0...400, using: &generator))
            let nextTwo = min(second.count, two + Int.random(in: 0...400, using: &generator))
            StreamingDigest.update(
                &left, first.span.extracting(one..<nextOne), &right,
                second.span.extracting(two..<nextTwo))
            (one, two) = (nextOne, nextTwo)
        }
        #expect(try left.finish() == digest(.sha256, of: first))
        #expect(try right.finish() == digest(.sha256, of: second))
    }

    @Test func twoOfDifferentKindsGoOneAfterTheOther() throws {
        let bytes = Array("some content".utf8)
        var left = StreamingDigest(.sha256, length: UInt64(bytes.count))
        var right = StreamingDigest(.gitSHA1, length: UInt64(bytes.count))
        StreamingDigest.update(&left, bytes.span, &right, bytes.span)
        #expect(try left.finish() == digest(.sha256, of: bytes))
        #expect(try right.finish() == digest(.gitSHA1, of: bytes))
    }

    @Test(arguments: DigestAlgorithm.allCases, [3, 5] as [UInt64])
    func otherLengthThanDeclared(_ algorithm: DigestAlgorithm, _ declared: UInt64) {
        let bytes: [UInt8] = [1, 2, 3, 4]
        var digest = StreamingDigest(algorithm, length: declared)
        digest.update(bytes.span)
        var caught: DigestLengthMismatch?
        do throws(DigestLengthMismatch) { _ = try digest.finish() } catch { caught = error }
        #expect(caught == DigestLengthMismatch(declared: declared, actual: 4))
    }
}
