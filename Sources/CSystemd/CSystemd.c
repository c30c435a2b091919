#define _GNU_SOURCE
#include "CSystemd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

// Newer than the oldest headers that the program builds with (6.3).
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

int hfj_datagram_socket(uint32_t milliseconds) {
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -errno;
    struct timeval limit = {.tv_sec = milliseconds / 1000, .tv_usec = (milliseconds % 1000) * 1000};
    if (setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) {
        int failed = errno;
        close(descriptor);
        return -failed;
    }
    // As much as sd_journal_sendv asks for; with less, more messages go through a memory file.
    int room = 8 << 20;
    if (setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room) != 0)
        (void)setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    return descriptor;
}

static int send_message(
    int socket, const void *address, size_t address_length, const void *bytes, size_t length, int attached) {
    struct sockaddr_un to;
    struct iovec piece = {.iov_base = (void *)bytes, .iov_len = length};
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct msghdr message;

    if (address_length == 0 || address_length > sizeof to.sun_path) return -EINVAL;
    memset(&to, 0, sizeof to);
    memset(&message, 0, sizeof message);
    to.sun_family = AF_UNIX;
    memcpy(to.sun_path, address, address_length);
    message.msg_name = &to;
    // An abstract name ends where the length says; a path's ends at a NUL too, which is there unless it fills the room.
    message.msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + address_length);
    if (attached >= 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.room;
        message.msg_controllen = sizeof control.room;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof attached);
        memcpy(CMSG_DATA(header), &attached, sizeof attached);
    } else {
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
    }
    while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) return -errno;
    return 0;
}

int hfj_send_datagram(int socket, const void *address, size_t address_length, const void *bytes, size_t length) {
    return send_message(socket, address, address_length, bytes, length, -1);
}

int hfj_send_sealed_memory(int socket, const void *address, size_t address_length, const void *bytes, size_t length) {
    int memory = memfd_create("hfjanitor-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    // Where memory files may not be executable (vm.memfd_noexec=2), one has to say so.
    if (memory < 0 && errno == EACCES)
        memory = memfd_create("hfjanitor-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    if (memory < 0) return -errno;
    int result = 0;
    for (size_t done = 0; done < length && result == 0;) {
        ssize_t count = write(memory, (const char *)bytes + done, length - done);
        if (count >= 0) done += (size_t)count;
        else if (errno != EINTR) result = -errno;
    }
    // The journal takes no memory that its sender could still change.
    if (result == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        result = -errno;
    if (result == 0) result = send_message(socket, address, address_length, bytes, 0, memory);
    close(memory);
    return result;
}

static int option_of(int descriptor, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(descriptor, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

int hfj_kind_of_socket(int descriptor, struct hfj_socket_kind *result) {
    struct stat status;
    memset(result, 0, sizeof *result);
    if (fstat(descriptor, &status) != 0) return -errno;
    if (!S_ISSOCK(status.st_mode)) return 0;
    result->is_socket = 1;
    result->is_unix = option_of(descriptor, SO_DOMAIN) == AF_UNIX;
    result->is_stream = option_of(descriptor, SO_TYPE) == SOCK_STREAM;
    result->is_listening = option_of(descriptor, SO_ACCEPTCONN) == 1;
    return 0;
}

int hfj_close_on_exec(int descriptor) {
    int flags = fcntl(descriptor, F_GETFD);
    if (flags < 0) return -errno;
    return fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0;
}

uint64_t hfj_monotonic_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int stream_socket(struct sockaddr_un *address, socklen_t *size, const void *path, size_t length) {
    memset(address, 0, sizeof *address);
    if (length == 0 || length >= sizeof address->sun_path) return -ENAMETOOLONG;
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, length);
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return descriptor < 0 ? -errno : descriptor;
}

int hfj_listen(const void *path, size_t length) {
    struct sockaddr_un address;
    socklen_t size;
    int descriptor = stream_socket(&address, &size, path, length);
    if (descriptor < 0) return descriptor;
    // Before bind(2), so that the name never has another mode.
    if (fchmod(descriptor, 0600) != 0 || bind(descriptor, (struct sockaddr *)&address, size) != 0
        || listen(descriptor, 1024) != 0) {
        int result = -errno;
        close(descriptor);
        return result;
    }
    return descriptor;
}

int hfj_is_listened_to(const void *path, size_t length) {
    struct sockaddr_un address;
    socklen_t size;
    int descriptor = stream_socket(&address, &size, path, length);
    if (descriptor < 0) return descriptor;
    int result = connect(descriptor, (struct sockaddr *)&address, size) == 0 ? 1 : -errno;
    close(descriptor);
    // A full queue of connections is somebody's, too.
    if (result == -EAGAIN) return 1;
    return result == -ECONNREFUSED || result == -ENOENT ? 0 : result;
}
