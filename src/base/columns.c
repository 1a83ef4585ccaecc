#include "base/columns.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pages.h"

enum cvm_status cvm_buffer_reserve(struct cvm_buffer *buffer, size_t size_bytes,
                                   struct cvm_error *err)
{
    assert(buffer != NULL);
    if (size_bytes <= buffer->size_bytes) {
        return CVM_OK;
    }
    size_t rounded = cvm_pages_round(size_bytes);
    void *data = NULL;
    if (rounded > 0 && buffer->data == NULL) {
        data = cvm_pages_map(rounded);
    } else if (rounded > 0) {
        data = cvm_pages_grow(buffer->data, buffer->size_bytes, rounded);
    }
    if (data == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a buffer of %zu bytes", size_bytes);
    }
    buffer->data = data;
    buffer->size_bytes = rounded;
    return CVM_OK;
}

/* Without a name from the start, or with one for a moment where the file system can not. */
static int open_nameless(const char *folder)
{
    char path[4096];
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    int length = snprintf(path, sizeof(path), "%s/cvm-XXXXXX", folder);
    if (fd < 0 && length > 0 && (size_t)length < sizeof(path)) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0) {
            (void)unlink(path);
        }
    }
    return fd;
}

enum cvm_status cvm_buffer_map_file(struct cvm_buffer *buffer, size_t size_bytes,
                                    const char *folder, struct cvm_error *err)
{
    assert(buffer->data == NULL);
    size_t rounded = cvm_pages_round(size_bytes > 0 ? size_bytes : 1);
    int fd = open_nameless(folder);
    if (fd < 0) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot make a file in '%s': %s", folder,
                        strerror(errno));
    }
    /* Room is taken now: a page that can not be written later would end the process. */
    int code = rounded > 0 ? posix_fallocate(fd, 0, (off_t)rounded) : EFBIG;
    void *data = MAP_FAILED;
    if (code == 0) {
        data = mmap(NULL, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        code = data == MAP_FAILED ? errno : 0;
    }
    (void)close(fd);
    if (data == MAP_FAILED) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no room for %zu bytes in '%s': %s", size_bytes, folder,
                        strerror(code));
    }
    buffer->data = data;
    buffer->size_bytes = rounded;
    return CVM_OK;
}

void cvm_buffer_finish(struct cvm_buffer *buffer)
{
    if (buffer != NULL) {
        cvm_pages_unmap(buffer->data, buffer->size_bytes);
        *buffer = (struct cvm_buffer){0};
    }
}

void cvm_column_init(struct cvm_column *column, size_t element_bytes)
{
    assert(element_bytes > 0);
    *column = (struct cvm_column){.element_bytes = element_bytes};
}

void cvm_column_finish(struct cvm_column *column)
{
    if (column != NULL) {
        cvm_buffer_finish(&column->buffer);
        column->count = 0;
    }
}

enum cvm_status cvm_column_extend(struct cvm_column *column, size_t more, void **out_first,
                                  struct cvm_error *err)
{
    size_t count = 0;
    size_t bytes = 0;
    if (__builtin_add_overflow(column->count, more, &count) ||
        __builtin_mul_overflow(count, column->element_bytes, &bytes)) {
        return CVM_FAIL(err, CVM_E_LIMIT, "a column of %zu elements cannot grow by %zu",
                        column->count, more);
    }
    bytes = bytes == 0 ? 1 : bytes; /* even an empty column has data to point to */
    size_t capacity = column->buffer.size_bytes;
    if (bytes > capacity) {
        size_t doubled = capacity > SIZE_MAX / 2 ? bytes : capacity * 2;
        enum cvm_status status =
            cvm_buffer_reserve(&column->buffer, bytes > doubled ? bytes : doubled, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    if (out_first != NULL) {
        *out_first = (char *)column->buffer.data + column->count * column->element_bytes;
    }
    column->count = count;
    return CVM_OK;
}
