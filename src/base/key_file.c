#include "base/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define HEX_BYTES      ((size_t)CVM_SECRET_BYTES * 2)
#define FILE_BYTES_MAX (HEX_BYTES + 16) /* white space around it */

static enum cvm_status write_all(int file, const char *path, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t written = write(file, text, length);
        if (written < 0 && errno != EINTR) {
            return CVM_E_UNAVAILABLE;
        }
        text += written > 0 ? written : 0;
        length -= written > 0 ? (size_t)written : 0;
    }
    return fsync(file) == 0 && cvm_file_sync_folder(path) ? CVM_OK : CVM_E_UNAVAILABLE;
}

/* Created with its mode, so that it is never readable by others, not even for a moment. */
static enum cvm_status write_key(const char *path, const char *text, size_t length,
                                 struct cvm_error *err)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (file < 0) {
        return CVM_FAIL(err, errno == EEXIST ? CVM_E_CONFLICT : CVM_E_UNAVAILABLE,
                        "cannot make the key file '%s': %s", path, strerror(errno));
    }
    enum cvm_status status = write_all(file, path, text, length);
    int reason = errno;
    if (close(file) != 0 && status == CVM_OK) {
        status = CVM_E_UNAVAILABLE;
        reason = errno;
    }
    if (status != CVM_OK) {
        (void)unlink(path);
        return CVM_FAIL(err, status, "cannot write the key file '%s': %s", path, strerror(reason));
    }
    return CVM_OK;
}

enum cvm_status cvm_key_file_create(const char *path, unsigned char out_secret[CVM_SECRET_BYTES],
                                    struct cvm_error *err)
{
    unsigned char secret[CVM_SECRET_BYTES];
    char text[HEX_BYTES + 2];
    int rc = sodium_init(); /* without it randombytes_buf() opens the source by itself */
    (void)rc;
    randombytes_buf(secret, sizeof(secret));
    (void)sodium_bin2hex(text, sizeof(text), secret, sizeof(secret));
    text[HEX_BYTES] = '\n';
    enum cvm_status status = write_key(path, text, HEX_BYTES + 1, err);
    if (status == CVM_OK) {
        memcpy(out_secret, secret, sizeof(secret));
    }
    sodium_memzero(secret, sizeof(secret));
    sodium_memzero(text, sizeof(text));
    return status;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool parse(const char *text, size_t length, unsigned char secret[CVM_SECRET_BYTES])
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
           sodium_hex2bin(secret, CVM_SECRET_BYTES, text, length, NULL, &read, NULL) == 0 &&
           read == CVM_SECRET_BYTES;
}

static enum cvm_status check_rights(int file, const char *path, bool is_guarded,
                                    struct cvm_error *err)
{
    struct stat info;
    if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
        return CVM_FAIL(err, CVM_E_INVALID, "the key file '%s' is not a file", path);
    }
    if (!is_guarded && (info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_DENIED, "others may read the key file '%s' (mode %03o)", path,
                     (unsigned)(info.st_mode & 0777));
        return cvm_error_hint(err, status, "chmod 600 '%s', or make a new one if it may be known.",
                              path);
    }
    return CVM_OK;
}

static enum cvm_status read_secret(int file, const char *path, bool is_guarded,
                                   unsigned char secret[CVM_SECRET_BYTES], struct cvm_error *err)
{
    char text[FILE_BYTES_MAX + 1];
    enum cvm_status status = check_rights(file, path, is_guarded, err);
    if (status != CVM_OK) {
        return status;
    }
    ssize_t length = read(file, text, sizeof(text));
    bool is_good = length > 0 && parse(text, (size_t)length, secret);
    sodium_memzero(text, sizeof(text));
    return is_good ? CVM_OK
                   : CVM_FAIL(err, CVM_E_INVALID,
                              "'%s' is no key file: one line of %zu hex digits is expected", path,
                              HEX_BYTES);
}

enum cvm_status cvm_key_file_read(const char *path, bool is_guarded,
                                  unsigned char out_secret[CVM_SECRET_BYTES], struct cvm_error *err)
{
    unsigned char secret[CVM_SECRET_BYTES];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return CVM_FAIL(err, errno == ENOENT ? CVM_E_NOT_FOUND : CVM_E_DENIED,
                        "cannot read the key file '%s': %s", path, strerror(errno));
    }
    enum cvm_status status = read_secret(file, path, is_guarded, secret, err);
    (void)close(file);
    if (status == CVM_OK) {
        memcpy(out_secret, secret, sizeof(secret));
    }
    sodium_memzero(secret, sizeof(secret));
    return status;
}
