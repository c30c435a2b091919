#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(HFJ_O_PATH == O_PATH, "O_PATH");
_Static_assert(HFJ_O_NOATIME == O_NOATIME, "O_NOATIME");
_Static_assert(HFJ_O_DIRECT == O_DIRECT, "O_DIRECT");
_Static_assert(HFJ_ADVICE_SEQUENTIAL == POSIX_FADV_SEQUENTIAL, "POSIX_FADV_SEQUENTIAL");
_Static_assert(HFJ_ADVICE_DONTNEED == POSIX_FADV_DONTNEED, "POSIX_FADV_DONTNEED");

#ifndef RWF_DONTCACHE
#define RWF_DONTCACHE 0x00000080
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif
// Newer than the oldest kernel headers that the program builds with (5.8 and 6.1).
#define HFJ_STATX_MNT_ID 0x1000U
#define HFJ_STATX_DIOALIGN 0x2000U

// struct statx of linux/stat.h as of 6.1, under a name of its own: libc headers may lack the newest members.
struct hfj_kernel_timestamp {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t reserved;
};
struct hfj_kernel_statx {
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    struct hfj_kernel_timestamp atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t mnt_id;
    uint32_t dio_mem_align, dio_offset_align;
    uint64_t spare3[12];
};
_Static_assert(sizeof(struct hfj_kernel_statx) == 256, "struct statx is 256 bytes");

int hfj_stat_at(int directory, const char *name, struct hfj_stat *result) {
    struct hfj_kernel_statx raw;
    int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
    unsigned int mask = STATX_BASIC_STATS | HFJ_STATX_MNT_ID;
    if (name == NULL || *name == '\0') {
        name = "";
        flags |= AT_EMPTY_PATH;
        mask |= HFJ_STATX_DIOALIGN;
    }
    memset(&raw, 0, sizeof raw);
    if (syscall(SYS_statx, directory, name, flags, mask, &raw) != 0) return -errno;
    result->mode = raw.mode;
    result->nlink = raw.nlink;
    result->uid = raw.uid;
    result->gid = raw.gid;
    result->device = makedev(raw.dev_major, raw.dev_minor);
    result->inode = raw.ino;
    result->size = raw.size;
    result->blocks_512 = raw.blocks;
    result->atime_seconds = raw.atime.seconds;
    result->mtime_seconds = raw.mtime.seconds;
    result->ctime_seconds = raw.ctime.seconds;
    result->atime_nanoseconds = raw.atime.nanoseconds;
    result->mtime_nanoseconds = raw.mtime.nanoseconds;
    result->ctime_nanoseconds = raw.ctime.nanoseconds;
    result->direct_memory_alignment = (raw.mask & HFJ_STATX_DIOALIGN) ? raw.dio_mem_align : 0;
    result->direct_offset_alignment = (raw.mask & HFJ_STATX_DIOALIGN) ? raw.dio_offset_align : 0;
    result->has_mount_id = (raw.mask & HFJ_STATX_MNT_ID) ? 1 : 0;
    result->mount_id = raw.mnt_id;
    return 0;
}

int hfj_identity_following(int directory, const char *name, uint64_t *device, uint64_t *inode) {
    struct hfj_kernel_statx raw;
    int flags = AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
    if (syscall(SYS_statx, directory, name, flags, STATX_INO, &raw) != 0) return -errno;
    *device = makedev(raw.dev_major, raw.dev_minor);
    *inode = raw.ino;
    return 0;
}

int hfj_open_beneath(int directory, const char *path, uint64_t flags) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = flags | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    long descriptor = syscall(SYS_openat2, directory, path, &how, sizeof how);
    return descriptor < 0 ? -errno : (int)descriptor;
}

int hfj_open_at(int directory, const char *path, int flags, unsigned int mode) {
    int descriptor = openat(directory, path, flags | O_CLOEXEC, mode);
    return descriptor < 0 ? -errno : descriptor;
}

long hfj_read_directory(int directory, void *buffer, size_t capacity) {
    long count = syscall(SYS_getdents64, directory, buffer, capacity);
    return count < 0 ? -errno : count;
}

ssize_t hfj_read_uncached(int descriptor, void *buffer, size_t count, uint64_t offset) {
    struct iovec piece = {.iov_base = buffer, .iov_len = count};
    ssize_t done = preadv2(descriptor, &piece, 1, (off_t)offset, RWF_DONTCACHE);
    return done < 0 ? -errno : done;
}

ssize_t hfj_read_at(int descriptor, void *buffer, size_t count, uint64_t offset) {
    ssize_t done = pread(descriptor, buffer, count, (off_t)offset);
    return done < 0 ? -errno : done;
}

ssize_t hfj_read_link(int directory, const char *name, char *buffer, size_t capacity) {
    ssize_t count = readlinkat(directory, name, buffer, capacity);
    return count < 0 ? -errno : count;
}

int hfj_set_direct(int descriptor, int enabled) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -errno;
    flags = enabled ? flags | O_DIRECT : flags & ~O_DIRECT;
    return fcntl(descriptor, F_SETFL, flags) < 0 ? -errno : 0;
}

int64_t hfj_resident_pages(int descriptor, uint64_t size) {
    // linux/mman.h of 6.5 and later: struct cachestat_range and struct cachestat.
    struct { uint64_t offset, length; } range = {0, size};
    struct { uint64_t cached, dirty, writeback, evicted, recently_evicted; } state;
    if (size == 0) return 0;
    if (syscall(SYS_cachestat, descriptor, &range, &state, 0) == 0) {
        // A stacked file's pages may be those of the file below it, which only a mapping shows.
        struct statfs raw;
        int stacked = fstatfs(descriptor, &raw) == 0 && (raw.f_type == HFJ_FS_OVERLAY || raw.f_type == HFJ_FS_FUSE);
        if (state.cached > 0 || !stacked) return (int64_t)state.cached;
    } else if (errno != ENOSYS && errno != EPERM) {
        return -errno;
    }

    // Map it in windows and ask mincore, the only way there is before Linux 6.5. Mapping alone reads nothing, and nothing is touched through it.
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), window = 1ULL << 30;
    int64_t resident = 0;
    for (uint64_t offset = 0; offset < size; offset += window) {
        uint64_t length = size - offset < window ? size - offset : window;
        size_t pages = (size_t)((length + page - 1) / page);
        void *address = mmap(NULL, length, PROT_READ, MAP_SHARED, descriptor, (off_t)offset);
        if (address == MAP_FAILED) return -errno;
        unsigned char *vector = malloc(pages);
        int failed = vector == NULL ? ENOMEM : (mincore(address, length, vector) != 0 ? errno : 0);
        if (!failed) for (size_t i = 0; i < pages; i++) resident += vector[i] & 1;
        free(vector);
        munmap(address, length);
        if (failed) return -failed;
    }
    return resident;
}

int hfj_advise(int descriptor, uint64_t offset, uint64_t length, int advice) {
    return -posix_fadvise(descriptor, (off_t)offset, (off_t)length, advice);
}

int hfj_probe_write_lease(int descriptor) {
    if (fcntl(descriptor, F_SETLEASE, F_WRLCK) != 0) return -errno;
    if (fcntl(descriptor, F_SETLEASE, F_UNLCK) != 0) return -errno;
    return 0;
}

int hfj_probe_shared_flock(int descriptor) {
    if (flock(descriptor, LOCK_SH | LOCK_NB) != 0) return -errno;
    if (flock(descriptor, LOCK_UN) != 0) return -errno;
    return 0;
}

int hfj_filesystem_of(int descriptor, struct hfj_filesystem *result) {
    struct statfs raw;
    if (fstatfs(descriptor, &raw) != 0) return -errno;
    uint32_t identity[2];
    _Static_assert(sizeof raw.f_fsid == sizeof identity, "f_fsid");
    memcpy(identity, &raw.f_fsid, sizeof identity);
    result->type = raw.f_type;
    result->identity = ((uint64_t)identity[0] << 32) | identity[1];
    result->block_size = (uint64_t)(raw.f_frsize ? raw.f_frsize : raw.f_bsize);
    result->total_blocks = raw.f_blocks;
    result->free_blocks = raw.f_bfree;
    result->available_blocks = raw.f_bavail;
    result->total_inodes = raw.f_files;
    result->free_inodes = raw.f_ffree;
    result->flags = (uint64_t)raw.f_flags;
    return 0;
}

int hfj_available_processors(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void hfj_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

int hfj_process_exists(int pid) { return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM); }

static int set_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) != 0) return -errno;
    for (int word = 0; word < 2; word++) {
        uint32_t wanted = (uint32_t)(kept >> (32 * word)) & data[word].permitted;
        data[word].permitted = wanted;
        data[word].effective = wanted;
        data[word].inheritable = 0;
    }
    return syscall(SYS_capset, &header, data) != 0 ? -errno : 0;
}

void hfj_clear_ambient_capabilities(void) {
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

int hfj_become_user(uid_t uid, gid_t gid, const char *name) {
    const uint64_t kept = 1ULL << CAP_LEASE | 1ULL << CAP_SYS_PTRACE;
    // What cannot be inherited cannot come back through a program with file capabilities either.
    for (int number = 0; number < 64; number++) {
        if (!(kept >> number & 1)) (void)prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return -errno;
    if ((name != NULL ? initgroups(name, gid) : setgroups(0, NULL)) != 0) return -errno;
    if (setresgid(gid, gid, gid) != 0) return -errno;
    if (setresuid(uid, uid, uid) != 0) return -errno;
    int failure = set_capabilities(kept);
    if (failure != 0) return failure;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -errno;
    // A changed uid makes a process undumpable, and its own /proc/self root's.
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) return -errno;
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) != 0) return -errno;
    if (real != uid || effective != uid || saved != uid || setuid(0) == 0) return -EPERM;
    return 0;
}
