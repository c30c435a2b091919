#define _GNU_SOURCE
#include "CLinuxChanging.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

_Static_assert(HFJ_RENAME_NOREPLACE == RENAME_NOREPLACE, "RENAME_NOREPLACE");
_Static_assert(HFJ_RENAME_EXCHANGE == RENAME_EXCHANGE, "RENAME_EXCHANGE");
_Static_assert(HFJ_WATCH_OVERFLOW == IN_Q_OVERFLOW, "IN_Q_OVERFLOW");
_Static_assert(HFJ_WATCH_IS_FOLDER == IN_ISDIR, "IN_ISDIR");

static int outcome(int result) { return result == 0 ? 0 : -errno; }

int hfj_rename(int from, const char *name, int to, const char *new_name, unsigned int flags) {
    return outcome((int)syscall(SYS_renameat2, from, name, to, new_name, flags));
}

int hfj_hard_link(int from, const char *name, int to, const char *new_name) {
    return outcome(linkat(from, name, to, new_name, 0));
}

int hfj_make_folder(int directory, const char *name, unsigned int mode) {
    return outcome(mkdirat(directory, name, mode));
}

int hfj_make_link(const char *text, int directory, const char *name) {
    return outcome(symlinkat(text, directory, name));
}

int hfj_truncate(int descriptor, uint64_t size) { return outcome(ftruncate(descriptor, (off_t)size)); }

int64_t hfj_first_hole(int descriptor) {
    off_t hole = lseek(descriptor, 0, SEEK_HOLE);
    // Of an empty file there is nothing at 0.
    if (hole < 0) return errno == ENXIO ? 0 : -errno;
    return hole;
}

int hfj_clone(int source, int target) { return outcome(ioctl(target, FICLONE, source)); }

int hfj_unlink(int directory, const char *name, int is_folder) {
    return outcome(unlinkat(directory, name, is_folder ? AT_REMOVEDIR : 0));
}

int hfj_set_mode(int descriptor, unsigned int mode) { return outcome(fchmod(descriptor, mode)); }

int hfj_set_group(int descriptor, uint32_t group) { return outcome(fchown(descriptor, (uid_t)-1, group)); }

int hfj_touch(int descriptor) { return outcome(futimens(descriptor, NULL)); }

int hfj_synchronize(int descriptor) { return outcome(fsync(descriptor)); }

int hfj_start_writeback(int descriptor, uint64_t offset, uint64_t length) {
    return outcome(sync_file_range(descriptor, (off_t)offset, (off_t)length, SYNC_FILE_RANGE_WRITE));
}

ssize_t hfj_write(int descriptor, const void *buffer, size_t count) {
    ssize_t done = write(descriptor, buffer, count);
    return done < 0 ? -errno : done;
}

int hfj_lock(int descriptor) { return outcome(flock(descriptor, LOCK_EX | LOCK_NB)); }

int hfj_take_write_lease(int descriptor) { return outcome(fcntl(descriptor, F_SETLEASE, F_WRLCK)); }

int hfj_give_lease_back(int descriptor) { return outcome(fcntl(descriptor, F_SETLEASE, F_UNLCK)); }

int hfj_has_write_lease(int descriptor) { return fcntl(descriptor, F_GETLEASE) == F_WRLCK; }

int hfj_watch_open(void) {
    int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return descriptor < 0 ? -errno : descriptor;
}

int hfj_watch_folder(int watch, int directory) {
    // inotify takes paths only; this one names the directory that is open, wherever it is now.
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", directory);
    int number = inotify_add_watch(watch, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    return number < 0 ? -errno : number;
}

int hfj_watch_forget(int watch, int number) { return outcome(inotify_rm_watch(watch, number)); }

int hfj_wait_readable(int descriptor, int milliseconds) {
    struct pollfd item = {.fd = descriptor, .events = POLLIN, .revents = 0};
    int result = poll(&item, 1, milliseconds);
    return result < 0 ? -errno : result;
}

ssize_t hfj_read(int descriptor, void *buffer, size_t count) {
    ssize_t done = read(descriptor, buffer, count);
    return done < 0 ? -errno : done;
}
