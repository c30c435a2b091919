// The Linux system calls and macros that Swift cannot see. Feature macros stay in the .c file: in a header they would
// change structures that the Glibc module declares too.
#ifndef HFJ_CLINUX_H
#define HFJ_CLINUX_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "CLinuxChanging.h"
#include "CLinuxSpawn.h"
#include "CLinuxWatch.h"

/// One entry's statx(2), in plain integers.
struct hfj_stat {
    uint32_t mode;
    uint32_t nlink;
    uint32_t uid;
    uint32_t gid;
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    uint64_t blocks_512;
    int64_t atime_seconds;
    int64_t mtime_seconds;
    int64_t ctime_seconds;
    uint32_t atime_nanoseconds;
    uint32_t mtime_nanoseconds;
    uint32_t ctime_nanoseconds;
    /// The alignments O_DIRECT needs; 0 where the kernel does not say.
    uint32_t direct_memory_alignment;
    uint32_t direct_offset_alignment;
    /// Whether `mount_id` was filled in.
    uint32_t has_mount_id;
    uint64_t mount_id;
};

/// A filesystem's statfs(2), in plain integers.
struct hfj_filesystem {
    int64_t type;
    uint64_t identity;
    uint64_t block_size;
    uint64_t total_blocks;
    uint64_t free_blocks;
    uint64_t available_blocks;
    uint64_t total_inodes;
    uint64_t free_inodes;
    uint64_t flags;
};

/// statx(2) of `name` below `directory`, never following a link; with a NULL or empty name, of the descriptor. 0 or -errno.
int hfj_stat_at(int directory, const char *_Nullable name, struct hfj_stat *_Nonnull result);

/// Device and inode of what `name` below `directory` leads to, links followed, without asking a server that may not answer
/// (AT_STATX_DONT_SYNC). 0 or -errno.
int hfj_identity_following(
    int directory, const char *_Nonnull name, uint64_t *_Nonnull device, uint64_t *_Nonnull inode);

/// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS and O_CLOEXEC. A descriptor or -errno
/// (-ENOSYS where the kernel or a filter does not have it).
int hfj_open_beneath(int directory, const char *_Nonnull path, uint64_t flags);

/// openat(2) with O_CLOEXEC added. A descriptor or -errno.
int hfj_open_at(int directory, const char *_Nonnull path, int flags, unsigned int mode);

/// getdents64(2): bytes filled in, 0 at the end, or -errno.
long hfj_read_directory(int directory, void *_Nonnull buffer, size_t capacity);

/// preadv2(2) of one buffer with RWF_DONTCACHE: bytes read or -errno (-EOPNOTSUPP where it is not offered).
ssize_t hfj_read_uncached(int descriptor, void *_Nonnull buffer, size_t count, uint64_t offset);

/// pread(2): bytes read or -errno.
ssize_t hfj_read_at(int descriptor, void *_Nonnull buffer, size_t count, uint64_t offset);

/// readlinkat(2): bytes or -errno.
ssize_t hfj_read_link(int directory, const char *_Nonnull name, char *_Nonnull buffer, size_t capacity);

/// fcntl(F_SETFL) to add O_DIRECT. 0 or -errno.
int hfj_set_direct(int descriptor, int enabled);

/// How many of a file's pages are in the page cache, by cachestat(2) or mincore(2): a count, or -errno. To those who neither own
/// the file nor may write to it, all of them.
int64_t hfj_resident_pages(int descriptor, uint64_t size);

/// posix_fadvise(2). 0 or -errno.
int hfj_advise(int descriptor, uint64_t offset, uint64_t length, int advice);
#define HFJ_ADVICE_SEQUENTIAL 2
#define HFJ_ADVICE_DONTNEED 4

/// Tries to take and at once gives back a write lease (fcntl F_SETLEASE, F_WRLCK). 0 when nobody else has the file open or
/// mapped, -EAGAIN when somebody has, another -errno when it cannot be told.
int hfj_probe_write_lease(int descriptor);

/// flock(2) LOCK_SH | LOCK_NB, given back at once. 0 when free, -EWOULDBLOCK when held, another -errno when it cannot be told.
int hfj_probe_shared_flock(int descriptor);

/// fstatfs(2). 0 or -errno.
int hfj_filesystem_of(int descriptor, struct hfj_filesystem *_Nonnull result);

/// The calling thread's name (at most 15 bytes), seen in ps and top.
void hfj_name_thread(const char *_Nonnull name);

/// Whether a process with that id exists (kill with signal 0, EPERM counts). 1 or 0.
int hfj_process_exists(int pid);

/// Whether files of an open file's extents may be shared with others, or are stored otherwise than written (FS_IOC_FIEMAP):
/// 1 when an extent is shared, compressed or encoded; 0 when none is; or -errno.
int hfj_shares_extents(int fd);

/// syncfs(2). 0 or -errno.
int hfj_sync_filesystem(int fd);

/// Whether the system says that its clock follows a reference (adjtimex(2), STA_UNSYNC). 1 or 0, or -errno.
int hfj_clock_is_synchronised(void);

/// Makes this process, which must be root's and have one thread, another user's for good: groups (of `name` in the user
/// database, or none), gid, uid, no capabilities but CAP_LEASE and CAP_SYS_PTRACE where it had them, no new privileges. 0 or
/// -errno, after which the process is of no further use.
int hfj_become_user(uid_t uid, gid_t gid, const char *_Nullable name);

/// Leaves this thread, and those that it starts, their capabilities, and programs that they start none of them.
void hfj_clear_ambient_capabilities(void);

/// How many processors this process may run on (sched_getaffinity).
int hfj_available_processors(void);

// Flags that the Glibc module is built without (proved in the .c file).
#define HFJ_O_PATH 010000000
#define HFJ_O_NOATIME 01000000
#define HFJ_O_DIRECT 040000

// statfs(2) types, from linux/magic.h and the filesystems' own headers.
#define HFJ_FS_EXT4 0xEF53
#define HFJ_FS_XFS 0x58465342
#define HFJ_FS_BTRFS 0x9123683E
#define HFJ_FS_F2FS 0xF2F52010
#define HFJ_FS_TMPFS 0x01021994
#define HFJ_FS_OVERLAY 0x794C7630
#define HFJ_FS_FUSE 0x65735546
#define HFJ_FS_NFS 0x6969
#define HFJ_FS_CIFS 0xFF534D42
#define HFJ_FS_SMB2 0xFE534D42
#define HFJ_FS_CEPH 0x00C36400
#define HFJ_FS_LUSTRE 0x0BD00BD0
#define HFJ_FS_GPFS 0x47504653
#define HFJ_FS_9P 0x01021997
#define HFJ_FS_AFS 0x5346414F
#define HFJ_FS_ZFS 0x2FC12FC1

#endif
