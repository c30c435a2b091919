// Datagrams to the service manager and to the journal, and what sockets they hand over: the calls whose macros and control
// messages Swift cannot express. Both protocols are fixed and documented (sd_notify(3), "Native Journal Protocol"); without
// libsystemd a send can be given a limit of time, and the program needs no library that a container may lack.
#ifndef HFJ_CSYSTEMD_H
#define HFJ_CSYSTEMD_H

#include <stddef.h>
#include <stdint.h>

/// An unconnected AF_UNIX datagram socket, closed on exec, whose sends wait `milliseconds` at most (then -EAGAIN) and whose
/// buffer takes messages of a few megabytes where that is permitted. A descriptor or -errno.
int hfj_datagram_socket(uint32_t milliseconds);

/// sendmsg(2) to a socket with that path, or with that abstract name when it starts with a NUL. 0 or -errno.
int hfj_send_datagram(
    int socket, const void *_Nonnull address, size_t address_length, const void *_Nonnull bytes, size_t length);

/// Sends an empty datagram with a sealed memory file (memfd_create(2)) that holds the bytes: what the journal takes instead
/// of a datagram that is too long. 0 or -errno.
int hfj_send_sealed_memory(
    int socket, const void *_Nonnull address, size_t address_length, const void *_Nonnull bytes, size_t length);

/// What kind of socket a descriptor is.
struct hfj_socket_kind {
    /// Whether it is a socket at all; 0 leaves the rest 0.
    uint32_t is_socket;
    uint32_t is_unix;
    uint32_t is_stream;
    uint32_t is_listening;
};

/// The kind of a descriptor. 0 or -errno (-EBADF for a number that is not open).
int hfj_kind_of_socket(int descriptor, struct hfj_socket_kind *_Nonnull result);

/// Has a descriptor closed on exec (fcntl(2) FD_CLOEXEC). 0 or -errno.
int hfj_close_on_exec(int descriptor);

/// A stream socket that listens under a path with mode 0600, closed on exec and without blocking. A descriptor or -errno.
int hfj_listen(const void *_Nonnull path, size_t length);

/// Whether somebody listens under a path: 1, 0 (nothing there, or left by a process that is gone) or -errno.
int hfj_is_listened_to(const void *_Nonnull path, size_t length);

/// CLOCK_MONOTONIC in microseconds, as the service manager wants it with RELOADING=1.
uint64_t hfj_monotonic_microseconds(void);

#endif
