// swift-tools-version: 6.3

import PackageDescription

// Every Swift target gets the same settings. The upcoming features are SE-0335, SE-0444, SE-0409, SE-0461, SE-0470 and
// SE-0481; strict memory safety is SE-0458.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "hfjanitor",
    products: [
        .executable(name: "hfjanitor", targets: ["hfjanitor"]),
        .library(name: "WeightFormats", targets: ["WeightFormats"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/groue/GRDB.swift", exact: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", exact: "2.28.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-extras", exact: "1.35.2"),
        .package(url: "https://github.com/apple/swift-http-types", exact: "1.8.0", traits: []),
        .package(url: "https://github.com/apple/swift-log", exact: "1.16.2"),
    ],
    targets: [
        // C: what Swift cannot import.
        .target(
            name: "CLinux", cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]),
        .target(
            name: "CCrypto",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("crypto")]),
        .target(
            name: "CCurl", cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("curl")]),
        .target(
            name: "CSystemd",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)]
        ),
        .target(
            name: "CSQLite",
            cSettings: [.enableWarning("all"), .enableWarning("extra"), .treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("sqlite3")]),

        // Pure: no I/O, no clock.
        .target(name: "HubCache", swiftSettings: strict),
        .target(name: "WeightFormats", swiftSettings: strict),
        .target(name: "Retention", dependencies: ["HubCache"], swiftSettings: strict),

        // System: the operating system and the libraries.
        .target(name: "LinuxIO", dependencies: ["CLinux", "HubCache"], swiftSettings: strict),
        .target(name: "Digests", dependencies: ["CCrypto", "CLinux", "HubCache", "LinuxIO"], swiftSettings: strict),
        .target(
            name: "Ledger",
            dependencies: ["CSQLite", "HubCache", .product(name: "GRDB", package: "GRDB.swift")],
            swiftSettings: strict),

        .target(name: "HubClient", dependencies: ["CCurl", "HubCache", "LinuxIO"], swiftSettings: strict),
        .target(name: "ControlClient", dependencies: ["CCurl", "HubCache", "LinuxIO"], swiftSettings: strict),
        .target(name: "SystemdSupport", dependencies: ["CSystemd", "HubCache", "LinuxIO"], swiftSettings: strict),

        // Domain: the pipeline from disk to findings, to a plan, to what is done.
        .target(name: "CacheScan", dependencies: ["HubCache", "LinuxIO"], swiftSettings: strict),
        .target(
            name: "Verification",
            dependencies: ["CacheScan", "Digests", "HubCache", "Ledger", "LinuxIO", "WeightFormats"],
            swiftSettings: strict),
        .target(name: "Diagnosis", dependencies: ["CacheScan", "HubCache", "LinuxIO"], swiftSettings: strict),
        .target(name: "CacheWatch", dependencies: ["HubCache", "LinuxIO"], swiftSettings: strict),

        .target(
            name: "PolicyFile",
            dependencies: ["HubCache", "LinuxIO", "Retention", .product(name: "Yams", package: "Yams")],
            swiftSettings: strict),
        .target(name: "InUse", dependencies: ["CacheScan", "HubCache", "Ledger", "LinuxIO"], swiftSettings: strict),
        .target(
            name: "Removal", dependencies: ["CacheScan", "HubCache", "LinuxIO", "WeightFormats"], swiftSettings: strict),
        .target(
            name: "Enforcement",
            dependencies: [
                "CacheScan", "HubCache", "HubClient", "InUse", "Ledger", "LinuxIO", "Removal", "Retention",
                "Verification",
            ],
            swiftSettings: strict),

        .target(
            name: "Repair",
            dependencies: [
                "CacheScan", "Digests", "HubCache", "HubClient", "Ledger", "LinuxIO", "Removal", "Retention",
                "Verification", "WeightFormats",
            ],
            swiftSettings: strict),

        .target(
            name: "Preview",
            dependencies: ["CacheScan", "Digests", "HubCache", "HubClient", "LinuxIO", "WeightFormats"],
            swiftSettings: strict),

        // Top: the pipeline in a loop.
        .target(
            name: "Daemon",
            dependencies: [
                "CacheScan", "CacheWatch", "Enforcement", "HubCache", "HubClient", "Ledger", "LinuxIO", "PolicyFile",
                "Preview", "Repair", "Retention", "SystemdSupport", "Verification",
            ],
            swiftSettings: strict),

        .target(
            name: "Documents",
            dependencies: [
                "Daemon", "Enforcement", "HubCache", "HubClient", "Preview", "Retention", "Verification",
            ],
            swiftSettings: strict),
        .target(
            name: "Page", dependencies: ["Digests", "HubCache"], resources: [.embedInCode("Web")],
            swiftSettings: strict),
        .target(
            name: "ControlAPI",
            dependencies: [
                "Daemon", "Documents", "HubCache", "LinuxIO", "Page", "Retention", "SystemdSupport", "Verification",
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
            ],
            swiftSettings: strict),

        // Edge: parse, call, render.
        .executableTarget(
            name: "hfjanitor",
            dependencies: [
                "CacheScan", "ControlAPI", "ControlClient", "Daemon", "Diagnosis", "Documents", "Enforcement",
                "HubCache", "HubClient", "InUse", "Ledger", "LinuxIO", "Page", "PolicyFile", "Preview", "Removal",
                "Repair", "Retention", "SystemdSupport", "Verification",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),

        // Measures the planner alone: see Benchmarks/run.
        .executableTarget(
            name: "PlanningBenchmark", dependencies: ["HubCache", "Retention"], path: "Benchmarks/Planning",
            swiftSettings: strict),

        .target(
            name: "TestSupport", dependencies: ["HubCache", "LinuxIO"], path: "Tests/TestSupport", swiftSettings: strict
        ),
        .testTarget(name: "HouseRulesTests", swiftSettings: strict),
        .testTarget(name: "HubCacheTests", dependencies: ["HubCache", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "WeightFormatsTests", dependencies: ["WeightFormats"], swiftSettings: strict),
        .testTarget(name: "LinuxIOTests", dependencies: ["LinuxIO", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "DigestsTests", dependencies: ["Digests", "LinuxIO", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "LedgerTests", dependencies: ["Ledger", "HubCache", "TestSupport"], swiftSettings: strict),
        .testTarget(name: "CacheScanTests", dependencies: ["CacheScan", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "VerificationTests",
            dependencies: ["Verification", "CacheScan", "WeightFormats", "Ledger", "TestSupport"], swiftSettings: strict
        ),
        .testTarget(
            name: "CacheWatchTests", dependencies: ["CacheWatch", "HubCache", "LinuxIO", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "RetentionTests", dependencies: ["Retention", "HubCache"], exclude: ["Golden"], swiftSettings: strict),
        .testTarget(
            name: "PolicyFileTests", dependencies: ["PolicyFile", "Retention", "HubCache", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "InUseTests", dependencies: ["InUse", "CacheScan", "HubCache", "Ledger", "LinuxIO", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "RemovalTests",
            dependencies: ["Removal", "RemovalRun", "CacheScan", "HubCache", "LinuxIO", "TestSupport"],
            swiftSettings: strict),
        // A removal that tests kill in the middle.
        .executableTarget(
            name: "RemovalRun", dependencies: ["Removal", "CacheScan", "HubCache", "LinuxIO"],
            path: "Tests/RemovalRun", swiftSettings: strict),
        // A fetch or repair that tests kill in the middle.
        .executableTarget(
            name: "RepairRun",
            dependencies: ["CacheScan", "HubCache", "HubClient", "Ledger", "LinuxIO", "Repair", "Verification"],
            path: "Tests/RepairRun", swiftSettings: strict),
        .testTarget(
            name: "RepairTests",
            dependencies: [
                "Repair", "CacheScan", "HubCache", "HubClient", "LinuxIO", "Removal", "Retention", "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "HubClientTests", dependencies: ["HubClient", "HubCache", "LinuxIO", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "PreviewTests",
            dependencies: [
                "Preview", "CacheScan", "HubCache", "HubClient", "LinuxIO", "TestSupport", "WeightFormats", "hfjanitor",
            ], swiftSettings: strict),
        .testTarget(
            name: "SystemdSupportTests",
            dependencies: ["SystemdSupport", "HubCache", "LinuxIO", "TestSupport", "hfjanitor"],
            swiftSettings: strict),
        .testTarget(
            name: "EnforcementTests",
            dependencies: [
                "Enforcement", "CacheScan", "HubCache", "Ledger", "LinuxIO", "Removal", "Retention", "TestSupport",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "DaemonTests",
            dependencies: [
                "CacheScan", "CacheWatch", "Daemon", "Enforcement", "HubCache", "HubClient", "Ledger", "LinuxIO",
                "PolicyFile", "Retention", "SystemdSupport", "TestSupport", "hfjanitor",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "ControlTests", dependencies: ["HubCache", "Ledger", "TestSupport", "hfjanitor"],
            swiftSettings: strict),
        .testTarget(
            name: "CommandTests", dependencies: ["HubCache", "LinuxIO", "TestSupport", "hfjanitor"],
            swiftSettings: strict),
        // The manual against the program.
        .testTarget(
            name: "ManualTests",
            dependencies: [
                "ControlAPI", "HubCache", "HubClient", "PolicyFile", "SystemdSupport", "TestSupport", "hfjanitor",
            ], swiftSettings: strict),
        .testTarget(name: "IntegrationTests", dependencies: ["hfjanitor"], swiftSettings: strict),
        .testTarget(
            name: "RetentionIntegrationTests", dependencies: ["TestSupport", "hfjanitor"], swiftSettings: strict),
        .testTarget(
            name: "RepairIntegrationTests", dependencies: ["RepairRun", "TestSupport", "hfjanitor"],
            swiftSettings: strict),
        .testTarget(
            name: "DaemonIntegrationTests", dependencies: ["TestSupport", "hfjanitor"], swiftSettings: strict),
        .testTarget(name: "PageIntegrationTests", dependencies: ["TestSupport", "hfjanitor"], swiftSettings: strict),
    ]
)
