import Testing
import WeightFormats

/// Valid files, randomly damaged: every one must end in a value or a typed error, whatever the size of the pieces.
@Suite struct MutationTests {
    private static let rounds = 150

    private func mutate(_ bytes: [UInt8], _ random: inout SeededGenerator) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            let place = Int.random(in: 0...max(bytes.count - 1, 0), using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where !bytes.isEmpty: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1 where !bytes.isEmpty: bytes[place] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case 2 where !bytes.isEmpty: bytes.remove(at: place)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: min(place, bytes.count))
            case 4: bytes.removeLast(Int.random(in: 0...min(bytes.count, 9), using: &random))
            default:
                for index in place..<min(place + 8, bytes.count) { bytes[index] = 0xFF }
            }
        }
        return bytes
    }

    private func check<Parser: WeightFileParser>(
        _ seed: UInt64, _ files: [[UInt8]], _ make: (UInt64, Int) -> Parser
    ) {
        var random = SeededGenerator(seed: seed)
        for round in 0..<Self.rounds {
            let bytes = mutate(files[round % files.count], &random)
            let size = UInt64(bytes.count)
            let whole = fullOutcome(make(size, FormatLimits.chunkBytes), bytes)
            let pieces = fullOutcome(make(size, Int.random(in: 1...9, using: &random)), bytes)
            #expect(whole == pieces, "seed \(seed), round \(round)")
        }
    }

    @Test(arguments: [1, 2] as [UInt64]) func safetensorsFiles(_ seed: UInt64) {
        let header =
            #"{"__metadata__":{"k":"\u00e9"},"a.b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"c":{"shape":[4],"x":[1.5,null],"data_offsets":[8,10],"dtype":"F4"}} "#
        let files = [safetensors(header, data: 10), safetensors("{\"\u{e9}\":[\"U8\",[1],[0,1]]}", data: 1)]
        check(seed, files) { SafetensorsParser(fileSize: $0, hashSeed: seed, chunkBytes: $1) }
    }

    @Test(arguments: [3, 4] as [UInt64]) func indexFiles(_ seed: UInt64) {
        let text =
            #"{"metadata":{"total_size":10,"x":[true]},"weight_map":{"a":"m-1","b\n":"m-2","\ud83d\ude00":"m-1"}}"#
        check(seed, [Array(text.utf8)]) { ShardIndexParser(fileSize: $0, hashSeed: seed, chunkBytes: $1) }
        let header = ShardPlacementParser.Header(nameBytes: Array("m-1".utf8), nameHashes: [])
        check(seed, [Array(text.utf8)]) {
            ShardPlacementParser(fileSize: $0, hashSeed: seed, headers: [header], chunkBytes: $1)
        }
    }

    @Test(arguments: [5, 6] as [UInt64]) func ggufFiles(_ seed: UInt64) {
        check(seed, [fullGGUF]) { GGUFParser(fileSize: $0, chunkBytes: $1) }
    }

    @Test(arguments: [7, 8] as [UInt64]) func zipFiles(_ seed: UInt64) {
        var zip64 = ZipBuilder.torch
        zip64.usesZip64 = true
        zip64.entries[0].usesZip64 = true
        check(seed, [ZipBuilder.torch.parts.bytes, zip64.parts.bytes]) { TorchZipParser(fileSize: $0, chunkBytes: $1) }
    }

    @Test func sniffing() {
        var random = SeededGenerator(seed: 9)
        for _ in 0..<Self.rounds {
            let bytes = mutate(Array("\u{feff}<?xml?><!-- x --><!DOCTYPE html>".utf8), &random)
            _ = ContentSniff(bytes.span)
        }
    }
}
