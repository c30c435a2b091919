import CFuzzer
import FuzzSupport
import WeightFormats

/// The entry point that libFuzzer calls with each input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = copied(start, count)
    checkEveryChunking(bytes) { TreeManifestParser(fileSize: $0, chunkBytes: $1) }
    return 0
}

/// The name that SwiftPM gives to the entry point of this target; libFuzzer's own `main` cannot have it.
@_cdecl("FuzzManifest_main")
public func start(_ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> CInt {
    fuzzer_main(count, arguments)
}
