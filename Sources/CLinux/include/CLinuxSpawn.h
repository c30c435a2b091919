// Starting another program, cut off from this process.
#ifndef HFJ_CLINUX_SPAWN_H
#define HFJ_CLINUX_SPAWN_H

#include <stddef.h>

/// Starts a program in a session and process group of its own, in `/`, with no signal blocked or ignored, the bytes as its
/// standard input, `result` as its output (-1: nothing), and no other descriptor. Its process id, or -errno.
int hfj_spawn(
    char *_Nullable const *_Nonnull arguments, char *_Nullable const *_Nonnull environment, const void *_Nonnull input,
    size_t length, int result);

/// A pipe that reading never waits for. 0 or -errno.
int hfj_pipe(int *_Nonnull reading, int *_Nonnull writing);

/// Whether a child ended, without waiting for it. 1 with its waitpid(2) status, 0 while it runs, or -errno.
int hfj_has_ended(int process, int *_Nonnull status);

/// SIGKILL to a process group. 0 or -errno.
int hfj_kill_group(int group);

#endif
