/* A disk that fails, for a process that knows nothing of it: loaded before libc, it lets one of the calls fail that
 * change files below a folder.
 *
 *   DISK_FAULT_DIR     the folder
 *   DISK_FAULT_CALL    write, sync, sync_dir, rename or truncate
 *   DISK_FAULT_NUMBER  which of these calls, over all threads, from 1
 *   DISK_FAULT_ERROR   EIO: this one call. ENOSPC: this one and all after it, for a full disk stays full
 *   DISK_FAULT_LOG     a file that is made when the call came
 *
 * A write that fails has written half of its bytes, as a disk does that fills up. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

static int is_below(const char *path) {
    const char *dir = getenv("DISK_FAULT_DIR");
    return dir != NULL && strncmp(path, dir, strlen(dir)) == 0;
}

static int is_file_below(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

/* The error of this call, or 0. */
static int strikes(const char *call) {
    const char *chosen = getenv("DISK_FAULT_CALL"), *number = getenv("DISK_FAULT_NUMBER");
    if (chosen == NULL || number == NULL || strcmp(chosen, call) != 0) return 0;
    long this = atomic_fetch_add(&calls, 1) + 1, first = atol(number);
    int is_full = strcmp(getenv("DISK_FAULT_ERROR"), "ENOSPC") == 0;
    if (this < first || (this > first && !is_full)) return 0;
    int log = open(getenv("DISK_FAULT_LOG"), O_CREAT | O_WRONLY, 0600);
    if (log >= 0) close(log);
    return is_full ? ENOSPC : EIO;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FAIL(error) do { errno = (error); return -1; } while (0)

ssize_t write(int fd, const void *bytes, size_t length) {
    REAL(write);
    if (is_file_below(fd)) {
        int error = strikes("write");
        if (error != 0) {
            if (real(fd, bytes, length / 2) < 0) return -1;
            FAIL(error);
        }
    }
    return real(fd, bytes, length);
}

static int sync_fails(int fd) {
    struct stat status;
    if (!is_file_below(fd) || fstat(fd, &status) != 0) return 0;
    return strikes(S_ISDIR(status.st_mode) ? "sync_dir" : "sync");
}

int fdatasync(int fd) {
    REAL(fdatasync);
    int error = sync_fails(fd);
    if (error != 0) FAIL(error);
    return real(fd);
}

int fsync(int fd) {
    REAL(fsync);
    int error = sync_fails(fd);
    if (error != 0) FAIL(error);
    return real(fd);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    int error = is_below(to) ? strikes("rename") : 0;
    if (error != 0) FAIL(error);
    return real(from, to);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    int error = is_file_below(fd) ? strikes("truncate") : 0;
    if (error != 0) FAIL(error);
    return real(fd, length);
}
