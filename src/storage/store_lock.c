#include "storage/store_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define POLL_MS 20

/* "4711 cvm run": the program and its first argument; more could hold what nobody else should
 * read. */
void cvm_store_lock_describe(char text[CVM_LOCK_HOLDER_BYTES])
{
    char line[4096] = "";
    int file = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t length = read(file, line, sizeof(line) - 2); /* both texts end in '\0' */
        line[length < 0 ? 0 : length] = '\0';
        line[length < 0 ? 1 : length + 1] = '\0';
        (void)close(file);
    }
    const char *slash = strrchr(line, '/');
    const char *program = slash == NULL ? line : slash + 1;
    const char *argument = program + strlen(program) + 1;
    bool is_shown = argument[0] != '-' && argument[0] != '\0';
    (void)snprintf(text, CVM_LOCK_HOLDER_BYTES, "%ld %.40s%s%.40s", (long)getpid(), program,
                   is_shown ? " " : "", is_shown ? argument : "");
}

static void read_holder(int lock, char text[CVM_LOCK_HOLDER_BYTES])
{
    ssize_t length = pread(lock, text, CVM_LOCK_HOLDER_BYTES - 1, 0);
    text[length < 0 ? 0 : length] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ') {
            *at = '\0';
            break;
        }
    }
    for (size_t end = strlen(text); end > 0 && text[end - 1] == ' '; end--) {
        text[end - 1] = '\0';
    }
}

/* The clock of tests may stand still, so slept time counts too. */
static enum cvm_status wait_for(int lock, const char *path, int64_t wait_ms,
                                const struct cvm_clock *clock, struct cvm_error *err)
{
    int64_t start_ns = clock->steady_ns(clock->state);
    int64_t slept_ms = 0;
    while (flock(lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot lock '%s': %s", path, strerror(errno));
        }
        int64_t clock_ms = (clock->steady_ns(clock->state) - start_ns) / 1000000;
        if (slept_ms >= wait_ms || clock_ms >= wait_ms) {
            char holder[CVM_LOCK_HOLDER_BYTES];
            read_holder(lock, holder);
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_UNAVAILABLE, "the store is being written by process %s",
                         holder[0] == '\0' ? "(unknown)" : holder);
            return cvm_error_hint(err, status, "Wait until it has ended.");
        }
        (void)poll(NULL, 0, POLL_MS);
        slept_ms += POLL_MS;
    }
    return CVM_OK;
}

enum cvm_status cvm_store_lock(const char *path, int64_t wait_ms, const struct cvm_clock *clock,
                               int *out_lock, struct cvm_error *err)
{
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    enum cvm_status status = CVM_OK;
    if (lock < 0) {
        if (errno == ENOENT) {
            return CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no folder for '%s'", path);
        }
        status = CVM_FAIL(err, CVM_E_DENIED, "cannot open '%s': %s", path, strerror(errno));
        return cvm_error_hint(err, status, "A writer needs a folder that it may write.");
    }
    status = wait_for(lock, path, wait_ms, clock, err);
    if (status != CVM_OK) {
        (void)close(lock);
        return status;
    }
    /* For messages only: a full disk must not stop a writer that may be about to free space. */
    char text[CVM_LOCK_HOLDER_BYTES];
    cvm_store_lock_describe(text);
    if (ftruncate(lock, 0) == 0) {
        (void)!pwrite(lock, text, strlen(text), 0);
    }
    *out_lock = lock;
    return CVM_OK;
}

void cvm_store_unlock(int lock)
{
    if (lock >= 0) {
        (void)!ftruncate(lock, 0);
        (void)close(lock);
    }
}
