#define _GNU_SOURCE
#include "CLinuxWatch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

_Static_assert(HFJ_IN_MODIFY == IN_MODIFY && HFJ_IN_ATTRIB == IN_ATTRIB, "inotify");
_Static_assert(HFJ_IN_CLOSE_WRITE == IN_CLOSE_WRITE && HFJ_IN_OPEN == IN_OPEN, "inotify");
_Static_assert(HFJ_IN_MOVED_FROM == IN_MOVED_FROM && HFJ_IN_MOVED_TO == IN_MOVED_TO, "inotify");
_Static_assert(HFJ_IN_CREATE == IN_CREATE && HFJ_IN_DELETE == IN_DELETE, "inotify");
_Static_assert(HFJ_IN_DELETE_SELF == IN_DELETE_SELF && HFJ_IN_MOVE_SELF == IN_MOVE_SELF, "inotify");
_Static_assert(HFJ_IN_UNMOUNT == IN_UNMOUNT && HFJ_IN_Q_OVERFLOW == IN_Q_OVERFLOW, "inotify");
_Static_assert(HFJ_IN_IGNORED == IN_IGNORED && HFJ_IN_ONLYDIR == IN_ONLYDIR, "inotify");
_Static_assert(HFJ_IN_EXCL_UNLINK == IN_EXCL_UNLINK && (uint32_t)HFJ_IN_ISDIR == IN_ISDIR, "inotify");
// What LinuxIO takes an event apart by.
_Static_assert(sizeof(struct inotify_event) == 16, "struct inotify_event");

int hfj_inotify_open(void) {
    int result = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return result < 0 ? -errno : result;
}

int hfj_inotify_add(int instance, int directory, uint32_t mask) {
    // The magic link leads to the very directory that is open, past anything that its path says meanwhile.
    char name[32];
    snprintf(name, sizeof name, "/proc/self/fd/%d", directory);
    int result = inotify_add_watch(instance, name, mask);
    return result < 0 ? -errno : result;
}

int hfj_inotify_remove(int instance, int watch) { return inotify_rm_watch(instance, watch) != 0 ? -errno : 0; }

int hfj_event_open(void) {
    int result = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return result < 0 ? -errno : result;
}

void hfj_event_signal(int descriptor) {
    uint64_t one = 1;
    // Fails only when it is signalled already.
    ssize_t result = write(descriptor, &one, sizeof one);
    (void)result;
}

void hfj_event_clear(int descriptor) {
    uint64_t count;
    ssize_t result = read(descriptor, &count, sizeof count);
    (void)result;
}
