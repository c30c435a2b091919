#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <unistd.h>

int hfj_shares_extents(int fd) {
    enum { extents_at_once = 64 };
    static const __u32 not_plain = FIEMAP_EXTENT_SHARED | FIEMAP_EXTENT_ENCODED;
    // Aligned for the structure that its first bytes are.
    _Alignas(struct fiemap) char buffer[sizeof(struct fiemap) + extents_at_once * sizeof(struct fiemap_extent)];
    __u64 start = 0;
    // A file in more pieces than this is not looked at to its end: it is said to share.
    for (int round = 0; round < 4096; round++) {
        memset(buffer, 0, sizeof buffer);
        struct fiemap *map = (struct fiemap *)buffer;
        map->fm_start = start;
        map->fm_length = FIEMAP_MAX_OFFSET - start;
        map->fm_extent_count = extents_at_once;
        if (ioctl(fd, FS_IOC_FIEMAP, map) != 0) return -errno;
        if (map->fm_mapped_extents == 0) return 0;
        for (__u32 index = 0; index < map->fm_mapped_extents && index < extents_at_once; index++) {
            const struct fiemap_extent *extent = &map->fm_extents[index];
            if (extent->fe_flags & not_plain) return 1;
            if (extent->fe_flags & FIEMAP_EXTENT_LAST) return 0;
            start = extent->fe_logical + extent->fe_length;
        }
    }
    return 1;
}

int hfj_clock_is_synchronised(void) {
    struct timex state;
    memset(&state, 0, sizeof state);
    if (adjtimex(&state) < 0) return -errno;
    return (state.status & STA_UNSYNC) == 0;
}

int hfj_sync_filesystem(int fd) { return syncfs(fd) == 0 ? 0 : -errno; }
