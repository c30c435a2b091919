#define _GNU_SOURCE
#include "CLinuxSpawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

// MFD_NOEXEC_SEAL, which older headers lack.
#define HFJ_MFD_NOEXEC_SEAL 0x0008U

// A memory file: a program that does not read its input never blocks the one who wrote it.
static int memory_file(const void *bytes, size_t length) {
    int file = memfd_create("hfjanitor-event", MFD_CLOEXEC);
    // Where memory files may not be executable (vm.memfd_noexec=2), one has to say so.
    if (file < 0 && errno == EACCES) file = memfd_create("hfjanitor-event", MFD_CLOEXEC | HFJ_MFD_NOEXEC_SEAL);
    if (file < 0) return -errno;
    size_t done = 0;
    while (done < length) {
        ssize_t count = write(file, (const char *)bytes + done, length - done);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) {
            int error = count < 0 ? errno : EIO;
            close(file);
            return -error;
        }
        done += (size_t)count;
    }
    if (lseek(file, 0, SEEK_SET) != 0) {
        int error = errno;
        close(file);
        return -error;
    }
    return file;
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error) error = posix_spawnattr_setsigdefault(attributes, &all);
    if (!error)
        error = posix_spawnattr_setflags(
            attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    return error;
}

static int set_actions(posix_spawn_file_actions_t *actions, int input, int result) {
    int error = posix_spawn_file_actions_adddup2(actions, input, STDIN_FILENO);
    if (!error)
        error = result < 0 ? posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0)
                           : posix_spawn_file_actions_adddup2(actions, result, STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    if (!error) error = posix_spawn_file_actions_addchdir_np(actions, "/");
    return error;
}

int hfj_spawn(
    char *const *arguments, char *const *environment, const void *input, size_t length, int result) {
    int file = memory_file(input, length);
    if (file < 0) return file;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    pid_t process = 0;
    int error = posix_spawnattr_init(&attributes);
    if (!error) {
        error = posix_spawn_file_actions_init(&actions);
        if (!error) {
            error = set_attributes(&attributes);
            if (!error) error = set_actions(&actions, file, result);
            if (!error) error = posix_spawn(&process, arguments[0], &actions, &attributes, arguments, environment);
            posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attributes);
    }
    close(file);
    return error ? -error : process;
}

int hfj_pipe(int *reading, int *writing) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -errno;
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    *reading = ends[0];
    *writing = ends[1];
    return 0;
}

int hfj_has_ended(int process, int *status) {
    pid_t ended = waitpid(process, status, WNOHANG);
    if (ended < 0) return -errno;
    return ended == process ? 1 : 0;
}

int hfj_kill_group(int group) { return kill(-group, SIGKILL) == 0 ? 0 : -errno; }
