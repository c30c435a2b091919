import Foundation
import Glibc
import HubCache
import TestSupport
import Testing

/// A real disk that answers with errors: an ext4 file system on a loop device, shut down under the program.
@Suite struct DiskErrorTests {
    private static let isPossible =
        geteuid() == 0
        && ["/usr/bin/unshare", "/sbin/mkfs.ext4", "/usr/bin/python3"].allSatisfy {
            FileManager.default.isExecutableFile(atPath: $0)
        } && FileManager.default.fileExists(atPath: "/dev/loop-control")

    /// EXT4_IOC_SHUTDOWN without a flush: from then on the file system answers EIO to all that is not in memory.
    private static let script = """
        set -e
        cd "$1"
        truncate -s 32M image
        mkfs.ext4 -q -F image
        mkdir disk
        mount -o loop image disk
        cp -a hub disk/
        sync
        umount disk
        mount -o loop image disk
        find disk/hub -ls >/dev/null
        python3 -c 'import fcntl,os,struct; fcntl.ioctl(os.open("disk",os.O_RDONLY),0x8004587d,struct.pack("I",2))'
        status=0
        "$2" verify --json --cache disk/hub || status=$?
        umount disk
        exit $status
        """

    @Test(.enabled(if: isPossible, "needs root, loop devices, mkfs.ext4 and python3"))
    func everyFileThatTheDiskDoesNotGiveIsSaid() throws {
        try withTestCache { cache in
            try cache.repo("o/a").model()
            try cache.repo("o/b").model()
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
            process.arguments = ["-m", "sh", "-c", Self.script, "sh", cache.outer.path.text, Program.path]
            process.environment = [
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": cache.outer.path.text,
            ]
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(process.terminationStatus == 1)
            #expect(text.contains("\"code\":\"read-error\""))
            #expect(text.contains("\"unknown\":2"), "\(text)")
            #expect(text.contains("model/o/a") && text.contains("model/o/b"))
        }
    }
}
