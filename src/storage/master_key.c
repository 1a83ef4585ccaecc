#include "storage/master_key.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "storage/vault.h"

#define HEX_BYTES       ((size_t)CVM_MASTER_KEY_BYTES * 2)
#define FILE_BYTES_MAX  (HEX_BYTES + 16) /* white space around it */
#define CREDENTIAL_NAME "cvm-master-key"

enum cvm_status cvm_master_key_create(const char *path, struct cvm_error *err)
{
    unsigned char key[CVM_MASTER_KEY_BYTES];
    char text[HEX_BYTES + 2];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return CVM_FAIL(err, errno == EEXIST ? CVM_E_CONFLICT : CVM_E_DENIED,
                        "cannot make the master key '%s': %s", path, strerror(errno));
    }
    randombytes_buf(key, sizeof(key));
    (void)sodium_bin2hex(text, sizeof(text), key, sizeof(key));
    text[HEX_BYTES] = '\n';
    bool is_written = write(fd, text, HEX_BYTES + 1) == (ssize_t)HEX_BYTES + 1 && fsync(fd) == 0;
    int number = errno;
    (void)close(fd);
    sodium_memzero(key, sizeof(key));
    sodium_memzero(text, sizeof(text));
    if (!is_written) {
        (void)unlink(path);
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write the master key '%s': %s", path,
                        strerror(number));
    }
    return CVM_OK;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* 64 hex digits and white space: what an editor leaves around them is not held against it. */
static bool parse(const char *text, size_t length, unsigned char key[CVM_MASTER_KEY_BYTES])
{
    size_t read = 0;
    while (length > 0 && is_space(text[length - 1])) {
        length--;
    }
    while (length > 0 && is_space(*text)) {
        text++;
        length--;
    }
    return length == HEX_BYTES &&
           sodium_hex2bin(key, CVM_MASTER_KEY_BYTES, text, length, NULL, &read, NULL) == 0 &&
           read == CVM_MASTER_KEY_BYTES;
}

/* A credential is guarded by its folder; access lists show as rights of the group there. */
static enum cvm_status check_rights(int fd, const char *path, bool is_credential,
                                    struct cvm_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the master key '%s' is not a file", path);
    }
    if (!is_credential && (info.st_mode & 077) != 0) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_DENIED, "others may read the master key '%s' (mode %03o)", path,
                     (unsigned)(info.st_mode & 0777));
        return cvm_error_hint(err, status, "Take their rights away: chmod 600 '%s'.", path);
    }
    return CVM_OK;
}

static enum cvm_status read_key(int fd, const char *path, bool is_credential,
                                unsigned char key[CVM_MASTER_KEY_BYTES], struct cvm_error *err)
{
    char text[FILE_BYTES_MAX + 1];
    enum cvm_status status = check_rights(fd, path, is_credential, err);
    if (status != CVM_OK) {
        return status;
    }
    ssize_t length = read(fd, text, sizeof(text));
    bool is_good = length > 0 && parse(text, (size_t)length, key);
    sodium_memzero(text, sizeof(text));
    return is_good ? CVM_OK
                   : CVM_FAIL(err, CVM_E_INVALID, "the master key '%s' is not %zu hex digits", path,
                              HEX_BYTES);
}

static int open_credential(char path[PATH_MAX])
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (folder == NULL || folder[0] == '\0' ||
        snprintf(path, PATH_MAX, "%s/" CREDENTIAL_NAME, folder) >= PATH_MAX) {
        return -1;
    }
    return open(path, O_RDONLY | O_CLOEXEC);
}

enum cvm_status cvm_master_key_read(const char *path, unsigned char key[CVM_MASTER_KEY_BYTES],
                                    struct cvm_error *err)
{
    char credential[PATH_MAX];
    int fd = open_credential(credential);
    bool is_credential = fd >= 0;
    if (!is_credential) {
        fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (fd < 0) {
        enum cvm_status status =
            CVM_FAIL(err, errno == ENOENT ? CVM_E_NOT_FOUND : CVM_E_DENIED,
                     "cannot read the master key '%s': %s", path, strerror(errno));
        return cvm_error_hint(err, status,
                              "Personal data are sealed under it: restore the file that "
                              "privacy.master_key names from its own safe.");
    }
    enum cvm_status status =
        read_key(fd, is_credential ? credential : path, is_credential, key, err);
    (void)close(fd);
    return status;
}
