import HubCache
import Testing

/// Sizes and times as people write them.
@Suite struct UnitsTests {
    @Test(
        arguments: [
            ("0", 0), ("17", 17), ("17B", 17), ("17 b", 17), ("1k", 1000), ("1kB", 1000), ("1KB", 1000), ("1kb", 1000),
            ("10GB", 10_000_000_000), ("10gb", 10_000_000_000), ("10 GB", 10_000_000_000), ("10G", 10_000_000_000),
            ("1KiB", 1024), ("1Ki", 1024), ("1kib", 1024), ("1KIB", 1024), ("2MiB", 2_097_152), ("1GiB", 1 << 30),
            ("1TiB", 1 << 40), ("1PiB", 1 << 50), ("4TB", 4_000_000_000_000), ("3.9TB", 3_900_000_000_000),
            ("1PB", 1_000_000_000_000_000), ("0.5kB", 500), ("1.2345kB", 1234), ("9.2PB", 9_200_000_000_000_000),
            ("8191PiB", 8191 << 50), ("0.000000000001TB", 1),
        ] as [(String, UInt64)])
    func sizes(text: String, bytes: UInt64) throws { #expect(try ByteCount.parse(text) == bytes) }

    @Test(
        arguments: [
            ("", "'' is not a size such as 200GB", nil), ("fast", "'fast' is not a size such as 200GB", nil),
            ("-1", "a size cannot be negative", nil), ("10Gb", "'Gb' means bits", "10GB"),
            ("10Gib", "'Gib' is not a unit of size", "10GiB"), ("10g", "'g' is not a unit of size", "10GB"),
            ("1.5.2GB", "'1.5.2GB' is not a size such as 200GB", nil),
            (".5GB", "'.5GB' is not a size such as 200GB", nil),
            ("1.GB", "'1.GB' is not a size such as 200GB", nil),
            ("1e3", "'e3' is not a unit of size: use B, kB, MB, GB, TB, PB or KiB, MiB, GiB, TiB, PiB", nil),
            ("10GB/s", "'GB/s' is not a unit of size: use B, kB, MB, GB, TB, PB or KiB, MiB, GiB, TiB, PiB", nil),
            ("8192PiB", "'8192PiB' is too large", nil),
            ("18446744073709551615", "'18446744073709551615' is not a size such as 200GB", nil),
            (
                "1\u{202E}GB",
                "'\\xE2\\x80\\xAEGB' is not a unit of size: use B, kB, MB, GB, TB, PB or KiB, MiB, GiB, TiB, PiB", nil
            ),
            ("１GB", "'１GB' is not a size such as 200GB", nil),
        ] as [(String, String, String?)])
    func notSizes(text: String, message: String, suggestion: String?) {
        #expect(throws: UnitError(message, suggestion: suggestion)) { try ByteCount.parse(text) }
    }

    @Test func rates() throws {
        #expect(try ByteCount.parseRate("200MB/s") == 200_000_000)
        #expect(try ByteCount.parseRate("200MB") == 200_000_000)
        #expect(throws: UnitError("a rate must be above 0")) { try ByteCount.parseRate("0") }
        #expect(throws: UnitError.self) { try ByteCount.parseRate("/s") }
    }

    @Test(
        arguments: [
            (0, "0B"), (999, "999B"), (1000, "1kB"), (1024, "1KiB"), (1500, "1.5kB"), (1_234_567, "1234.567kB"),
            (20_000_000_000, "20GB"), (3_900_000_000_000, "3.9TB"), (1 << 30, "1GiB"), (3 << 29, "1536MiB"),
            (1_000_000_000_001, "1000000000001B"), (UInt64(Int64.max), "9223372036854775807B"),
        ] as [(UInt64, String)])
    func exactSizes(bytes: UInt64, text: String) { #expect(ByteCount.exactText(bytes) == text) }

    @Test func sizesAreReadBack() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let bits = Int.random(in: 1...63, using: &generator)
            let units: [UInt64] = [1, 1000, 1_000_000, 1_000_000_000, 1024, 1 << 20, 1 << 30]
            let unit = units.randomElement(using: &generator) ?? 1
            let bytes = (UInt64.random(in: 0..<(1 << UInt64(bits)), using: &generator) / unit) * unit
            #expect(try ByteCount.parse(ByteCount.exactText(bytes)) == bytes)
        }
    }

    @Test(
        arguments: [
            ("0", 0), ("0s", 0), ("30s", 30), ("90m", 5400), ("6h", 21_600), ("45d", 3_888_000), ("2w", 1_209_600),
            ("1y", 31_536_000), ("1h30m", 5400), ("1h 30m", 5400), ("1 h", 3600), ("1d12h", 129_600),
            ("1000y", 31_536_000_000),
        ] as [(String, Int64)])
    func times(text: String, seconds: Int64) throws { #expect(try TimeSpan.parse(text) == .seconds(seconds)) }

    @Test(
        arguments: [
            ("", "'' is not a length of time such as 30m, 6h or 45d", nil),
            ("45", "a length of time needs a unit: s, m, h, d, w or y", "45d"),
            ("soon", "'soon' is not a length of time such as 30m, 6h or 45d", nil),
            ("-5d", "a length of time cannot be negative", nil),
            ("--json", "'--json' is not a length of time such as 30m, 6h or 45d", nil),
            ("1h-5m", "a length of time cannot be negative", nil),
            ("1.5h", "a length of time has no decimals: write 1h30m, not 1.5h", nil),
            ("3mo", "a month is no fixed time", "90d"), ("3M", "a month is no fixed time", "90d"),
            ("5min", "'min' is not a unit of time", "5m"), ("2 days", "'days' is not a unit of time", "2d"),
            ("2H", "'H' is not a unit of time", "2h"),
            ("5ms", "'ms' is not a unit of time: use s, m, h, d, w or y", nil),
            ("1001y", "'1001y' is longer than a thousand years", nil),
            ("999y999y", "'999y999y' is longer than a thousand years", nil),
            ("99999999999999999999s", "'99999999999999999999s' is longer than a thousand years", nil),
        ] as [(String, String, String?)])
    func notTimes(text: String, message: String, suggestion: String?) {
        #expect(throws: UnitError(message, suggestion: suggestion)) { try TimeSpan.parse(text) }
    }

    @Test func timesAreReadBack() throws {
        for seconds: Int64 in [
            0, 1, 59, 60, 3600, 5400, 86_400, 604_800, 31_536_000, 63_072_000, 86_401, 31_536_000_000,
        ] {
            #expect(try TimeSpan.parse(TimeSpan.exactText(.seconds(seconds))) == .seconds(seconds))
        }
        #expect(TimeSpan.exactText(.seconds(48 * 3600)) == "2d")
        #expect(TimeSpan.exactText(.seconds(5400)) == "90m")
        #expect(TimeSpan.exactText(.seconds(14 * 86_400)) == "14d")
        #expect(TimeSpan.exactText(.seconds(365 * 86_400)) == "365d")
    }
}
