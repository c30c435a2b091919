// swift-tools-version: 6.3

import PackageDescription

// A package of its own, so that the sanitizer flags do not reach the product. Run it with ./run.
let fuzzer: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"]),
]
let fuzzerLink: [LinkerSetting] = [.unsafeFlags(["-sanitize=fuzzer,address"])]

let package = Package(
    name: "Fuzz",
    dependencies: [.package(name: "hfjanitor", path: "../..")],
    targets: [
        .target(name: "CFuzzer"),
        .target(
            name: "FuzzSupport", dependencies: [.product(name: "WeightFormats", package: "hfjanitor")],
            swiftSettings: [.swiftLanguageMode(.v6)]),
    ]
        + ["FuzzIndex", "FuzzSafetensors", "FuzzTorchZip", "FuzzGGUF", "FuzzManifest"].map {
            .executableTarget(
                name: $0,
                dependencies: ["CFuzzer", "FuzzSupport", .product(name: "WeightFormats", package: "hfjanitor")],
                swiftSettings: fuzzer, linkerSettings: fuzzerLink)
        }
)
