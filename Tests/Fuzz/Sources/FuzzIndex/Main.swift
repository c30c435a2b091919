import CFuzzer
import FuzzSupport
import WeightFormats

/// The entry point that libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = copied(start, count)
    checkEveryChunking(bytes) { ShardIndexParser(fileSize: $0, hashSeed: 1, chunkBytes: $1) }
    let header = ShardPlacementParser.Header(nameBytes: Array("m-1".utf8), nameHashes: [])
    checkEveryChunking(bytes) {
        ShardPlacementParser(fileSize: $0, hashSeed: 1, headers: [header], chunkBytes: $1)
    }
    _ = ShardIndex.isSafeShardName(bytes)
    if let name = ShardFileName(bytes) {
        precondition(name.sibling(name.number) == bytes, "a shard name that is not its own sibling")
    }
    _ = IndexFileName(bytes)
    _ = WeightFormat(fileName: bytes)
    return 0
}

/// The name that SwiftPM gives to the entry point of this target; libFuzzer's own `main` cannot have it.
@_cdecl("FuzzIndex_main")
public func start(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    fuzzer_main(count, arguments)
}
