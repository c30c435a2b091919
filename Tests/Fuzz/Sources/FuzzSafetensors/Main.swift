import CFuzzer
import FuzzSupport
import WeightFormats

/// The entry point that libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = copied(start, count)
    checkEveryChunking(bytes) { SafetensorsParser(fileSize: $0, hashSeed: 1, chunkBytes: $1) }
    // The length is hard to hit by chance: judge the input as a bare header too.
    var length = UInt64(bytes.count)
    var framed: [UInt8] = []
    for _ in 0..<8 {
        framed.append(UInt8(truncatingIfNeeded: length))
        length >>= 8
    }
    checkEveryChunking(framed + bytes) { SafetensorsParser(fileSize: $0, hashSeed: 1, chunkBytes: $1) }
    _ = ContentSniff(bytes.span)
    return 0
}

/// The name that SwiftPM gives to the entry point of this target; libFuzzer's own `main` cannot have it.
@_cdecl("FuzzSafetensors_main")
public func start(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    fuzzer_main(count, arguments)
}
