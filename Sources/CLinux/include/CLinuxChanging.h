// The system calls that change something in a cache, and those that keep others away meanwhile.
#ifndef HFJ_CLINUX_CHANGING_H
#define HFJ_CLINUX_CHANGING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HFJ_RENAME_PLAIN 0
#define HFJ_RENAME_NOREPLACE 1
#define HFJ_RENAME_EXCHANGE 2

/// renameat2(2). 0 or -errno (-EINVAL where the filesystem does not have the flag).
int hfj_rename(int from, const char *_Nonnull name, int to, const char *_Nonnull new_name, unsigned int flags);

/// linkat(2) without following a link. 0 or -errno.
int hfj_hard_link(int from, const char *_Nonnull name, int to, const char *_Nonnull new_name);

/// mkdirat(2). 0 or -errno.
int hfj_make_folder(int directory, const char *_Nonnull name, unsigned int mode);

/// symlinkat(2). 0 or -errno.
int hfj_make_link(const char *_Nonnull text, int directory, const char *_Nonnull name);

/// ftruncate(2). 0 or -errno.
int hfj_truncate(int descriptor, uint64_t size);

/// Where the first part of a file begins that was never written (lseek(2), SEEK_HOLE); its size when there is none. -errno where
/// the filesystem cannot tell.
int64_t hfj_first_hole(int descriptor);

/// Gives an empty file the whole content of another one on the same filesystem without copying it (FICLONE). 0 or -errno.
int hfj_clone(int source, int target);

/// unlinkat(2), of a directory with AT_REMOVEDIR. 0 or -errno.
int hfj_unlink(int directory, const char *_Nonnull name, int is_folder);

/// fchmod(2). 0 or -errno.
int hfj_set_mode(int descriptor, unsigned int mode);

/// fchown(2) of the group alone. 0 or -errno.
int hfj_set_group(int descriptor, uint32_t group);

/// futimens(2) to now. 0 or -errno.
int hfj_touch(int descriptor);

/// fsync(2). 0 or -errno.
int hfj_synchronize(int descriptor);

/// sync_file_range(2) that only begins to write a part of a file to the disk. 0 or -errno.
int hfj_start_writeback(int descriptor, uint64_t offset, uint64_t length);

/// write(2): bytes written or -errno.
ssize_t hfj_write(int descriptor, const void *_Nonnull buffer, size_t count);

/// flock(2) LOCK_EX | LOCK_NB. 0, -EWOULDBLOCK when held, or another -errno.
int hfj_lock(int descriptor);

/// fcntl(F_SETLEASE, F_WRLCK). 0, -EAGAIN when somebody else has the file open or mapped, or another -errno.
int hfj_take_write_lease(int descriptor);

/// fcntl(F_SETLEASE, F_UNLCK). 0 or -errno.
int hfj_give_lease_back(int descriptor);

/// fcntl(F_GETLEASE): 1 while the write lease is held and nobody wants the file, 0 otherwise.
int hfj_has_write_lease(int descriptor);

/// inotify_init1(2), non-blocking. A descriptor or -errno.
int hfj_watch_open(void);

/// inotify_add_watch(2) of the directory that a descriptor has open, for new entries. A watch number or -errno.
int hfj_watch_folder(int watch, int directory);

/// inotify_rm_watch(2). 0 or -errno.
int hfj_watch_forget(int watch, int number);

/// poll(2) for input. 1 when there is some, 0 when the time ran out, or -errno.
int hfj_wait_readable(int descriptor, int milliseconds);

/// read(2): bytes read or -errno.
ssize_t hfj_read(int descriptor, void *_Nonnull buffer, size_t count);

#define HFJ_WATCH_OVERFLOW 0x00004000
#define HFJ_WATCH_IS_FOLDER 0x40000000

#endif
