import HubCache
import LinuxIO
import TestSupport
import Testing

@testable import Preview

/// What the machine has, from the kernel's files.
@Suite struct MachineTests {
    private static let kibibyte: UInt64 = 1024

    private func write(_ folder: TestFolder, _ files: [String: String], mode: UInt32 = 0o644) throws {
        for (name, text) in files { try folder.write(BytePath(name), Array(text.utf8), mode: mode) }
    }

    @Test func thisMachine() throws {
        let memory = try #require(MachineMemory.read())
        #expect(memory.totalBytes > 1 << 20 && memory.availableBytes <= memory.totalBytes)
    }

    @Test func memoryAndLimits() throws {
        try withTestFolder { folder in
            #expect(MachineMemory.read(root: folder.path) == nil)
            let info = "MemTotal:  1000 kB\nMemFree:  1 kB\nMemAvailable:   800 kB\n"
            try write(folder, ["proc/meminfo": info, "proc/self/cgroup": "0::/a/b\n"])
            let free = try #require(MachineMemory.read(root: folder.path))
            #expect(free.totalBytes == 1000 * Self.kibibyte && free.availableBytes == 800 * Self.kibibyte)
            #expect(free.limitBytes == nil && free.usableBytes == free.totalBytes)
            try write(
                folder,
                [
                    "sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/memory.max": "500000\n",
                    "sys/fs/cgroup/a/memory.current": "400000\n",
                    "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 100000\nactive_file 50000\n",
                ])
            let limited = try #require(MachineMemory.read(root: folder.path))
            #expect(limited.limitBytes == 500_000 && limited.usableBytes == 500_000)
            #expect(limited.availableBytes == 250_000)
        }
    }

    @Test func firstVersionOfControlGroups() throws {
        try withTestFolder { folder in
            try write(
                folder,
                [
                    "proc/meminfo": "MemTotal: 1000 kB\n",
                    "proc/self/cgroup": "4:cpu,memory:/x\n1:name=systemd:/../y\n",
                    "sys/fs/cgroup/memory/x/memory.limit_in_bytes": "1000\n",
                    "sys/fs/cgroup/memory/x/memory.usage_in_bytes": "2000\n",
                    "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                ])
            let memory = try #require(MachineMemory.read(root: folder.path))
            #expect(memory.limitBytes == 1000 && memory.availableBytes == 0)
        }
    }

    @Test(arguments: ["", "MemTotal", "MemTotal:", "MemTotal: x kB", "MemTotal: -1 kB", "\u{0}"])
    func oddMemory(text: String) throws {
        try withTestFolder { folder in
            try write(folder, ["proc/meminfo": text])
            #expect(MachineMemory.read(root: folder.path) == nil)
        }
    }

    @Test func graphicsOfAMD() throws {
        try withTestFolder { folder in
            #expect(GraphicsProcessor.all(root: folder.path).isEmpty)
            try write(
                folder,
                [
                    "sys/class/drm/card0/device/mem_info_vram_total": "68702699520\n",
                    "sys/class/drm/card0/device/mem_info_vram_used": "1000\n",
                    "sys/class/drm/card0/device/product_name": "Instinct MI210\n",
                    "sys/class/drm/card1/device/mem_info_vram_total": "0\n",
                    "sys/class/drm/card0-DP-1/device/mem_info_vram_total": "5\n",
                    "sys/class/drm/card2/device/mem_info_vram_total": "10\n",
                    "sys/class/drm/card2/device/mem_info_vram_used": "11\n",
                ])
            #expect(
                GraphicsProcessor.all(root: folder.path) == [
                    GraphicsProcessor(
                        name: "Instinct MI210", totalBytes: 68_702_699_520, freeBytes: 68_702_698_520),
                    GraphicsProcessor(name: "AMD card2", totalBytes: 10, freeBytes: 0),
                ])
        }
    }

    private static let driver = [
        "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA L4\nIRQ: 1\n",
        "proc/driver/nvidia/gpus/0000:02:00.0/information": "nothing",
    ]

    @Test func graphicsOfNVIDIA() throws {
        try withTestFolder { folder in
            try write(folder, Self.driver)
            // Without the tool the driver knows what they are, and not how large.
            let unknown = GraphicsProcessor.all(root: folder.path)
            #expect(unknown == [GraphicsProcessor(name: "NVIDIA L4"), GraphicsProcessor(name: "NVIDIA")])
            let tool = """
                #!/bin/sh
                [ "$*" = "--query-gpu=name,memory.total,memory.free --format=csv,noheader,nounits" ] || exit 1
                [ -z "$HOME$HF_TOKEN" ] || exit 1
                echo "NVIDIA L4, 23034, 22500"
                echo "NVIDIA GB10, [N/A], [N/A]"
                """
            try write(folder, ["usr/bin/nvidia-smi": tool], mode: 0o755)
            let known = GraphicsProcessor.all(root: folder.path)
            #expect(
                known == [
                    GraphicsProcessor(name: "NVIDIA L4", totalBytes: 23034 << 20, freeBytes: 22500 << 20),
                    GraphicsProcessor(name: "NVIDIA GB10"),
                ])
        }
    }

    /// The tool is not to be trusted: what the driver says is left.
    @Test(arguments: [
        "echo hello", "exit 1", "echo 'NVIDIA L4, 1, 1'; exit 3", "exec cat /dev/zero", "echo 'a,b,c,d'", "kill -9 $$",
        "printf '\\377,1'",
    ])
    func badTool(script: String) throws {
        try withTestFolder { folder in
            try write(folder, Self.driver)
            try write(folder, ["usr/bin/nvidia-smi": "#!/bin/sh\n\(script)\n"], mode: 0o755)
            #expect(GraphicsProcessor.all(root: folder.path).count == 2)
            #expect(GraphicsProcessor.all(root: folder.path).allSatisfy { $0.totalBytes == nil })
        }
    }

    /// It is ended, with what it started, and nothing waits for it longer than allowed.
    @Test func hangingProgram() throws {
        try withTestFolder { folder in
            let script = "#!/bin/sh\necho $$ > \(folder.absolute("pid").text)\nsleep 1000 & wait\n"
            try write(folder, ["hang": script], mode: 0o755)
            // Long enough for the shell to start on a busy machine.
            #expect(
                ChildProgram.output(of: [folder.absolute("hang").text], environment: [], within: .seconds(3)) == nil)
            let text = try OwnedDescriptor.open(trustedPath: folder.absolute("pid")).readAll(limit: 100) ?? []
            let id = try #require(Int32(String(decoding: text, as: UTF8.self).filter(\.isNumber)))
            #expect(ProcessTable.read().processes.values.allSatisfy { $0.id != id && $0.parent != id })
        }
    }

    @Test func programs() throws {
        func output(_ arguments: String...) -> [UInt8]? {
            ChildProgram.output(of: arguments, environment: ["A=b"], within: .seconds(30))
        }
        #expect(output("/bin/echo", "a b", "$HOME") == Array("a b $HOME\n".utf8))
        #expect(output("/usr/bin/env") == Array("A=b\n".utf8))
        #expect(output("/nowhere/at/all") == nil && output("/bin/false") == nil)
        #expect(output("/bin/true") == [] && output("/bin/cat") == [])
        #expect(output("/usr/bin/head", "-c", "65536", "/dev/zero")?.count == 65_536)
    }
}
