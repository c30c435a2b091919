// Watching: inotify(7), eventfd(2) and poll(2).
#ifndef HFJ_CLINUX_WATCH_H
#define HFJ_CLINUX_WATCH_H

#include <stdint.h>
#include <sys/types.h>

/// inotify_init1(2), non-blocking and close-on-exec. A descriptor or -errno.
int hfj_inotify_open(void);

/// inotify_add_watch(2) of the directory that `directory` has open, whatever its name is by now. A watch descriptor or -errno
/// (-ENOSPC at the limit of watches).
int hfj_inotify_add(int instance, int directory, uint32_t mask);

/// inotify_rm_watch(2). 0 or -errno.
int hfj_inotify_remove(int instance, int watch);

/// eventfd(2), non-blocking and close-on-exec. A descriptor or -errno.
int hfj_event_open(void);

/// Makes an eventfd readable.
void hfj_event_signal(int descriptor);

/// Makes an eventfd unreadable until the next signal.
void hfj_event_clear(int descriptor);

#define HFJ_IN_MODIFY 0x00000002
#define HFJ_IN_ATTRIB 0x00000004
#define HFJ_IN_CLOSE_WRITE 0x00000008
#define HFJ_IN_OPEN 0x00000020
#define HFJ_IN_MOVED_FROM 0x00000040
#define HFJ_IN_MOVED_TO 0x00000080
#define HFJ_IN_CREATE 0x00000100
#define HFJ_IN_DELETE 0x00000200
#define HFJ_IN_DELETE_SELF 0x00000400
#define HFJ_IN_MOVE_SELF 0x00000800
#define HFJ_IN_UNMOUNT 0x00002000
#define HFJ_IN_Q_OVERFLOW 0x00004000
#define HFJ_IN_IGNORED 0x00008000
#define HFJ_IN_ONLYDIR 0x01000000
#define HFJ_IN_EXCL_UNLINK 0x04000000
#define HFJ_IN_ISDIR 0x40000000

#endif
