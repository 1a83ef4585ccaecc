#include "storage/import_reject.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX 500

struct cvm_import_rejects {
    const char *path;
    void (*on_reject)(void *state, const struct cvm_record_reject *reject); /* NULL = nobody */
    void *on_reject_state;
    pthread_mutex_t lock; /* guards what follows, and who is told */
    FILE *file;
    struct cvm_text line;
};

struct cvm_import_rejects *cvm_import_rejects_create(const char *path)
{
    struct cvm_import_rejects *rejects = calloc(1, sizeof(*rejects));
    if (rejects == NULL || pthread_mutex_init(&rejects->lock, NULL) != 0) {
        free(rejects);
        return NULL;
    }
    rejects->path = path;
    cvm_text_init(&rejects->line, 0);
    return rejects;
}

void cvm_import_rejects_destroy(struct cvm_import_rejects *rejects)
{
    if (rejects == NULL) {
        return;
    }
    if (rejects->file != NULL) {
        (void)fclose(rejects->file); /* only after a failure: close() has checked otherwise */
    }
    cvm_text_finish(&rejects->line);
    (void)pthread_mutex_destroy(&rejects->lock);
    free(rejects);
}

void cvm_import_rejects_listen(struct cvm_import_rejects *rejects,
                               void (*on_reject)(void *state,
                                                 const struct cvm_record_reject *reject),
                               void *state)
{
    rejects->on_reject = on_reject;
    rejects->on_reject_state = state;
}

void cvm_import_rejects_tell(struct cvm_import_rejects *rejects,
                             const struct cvm_record_reject *reject)
{
    if (rejects->on_reject != NULL) {
        (void)pthread_mutex_lock(&rejects->lock);
        rejects->on_reject(rejects->on_reject_state, reject);
        (void)pthread_mutex_unlock(&rejects->lock);
    }
}

static enum cvm_status fail(const struct cvm_import_rejects *rejects, struct cvm_error *err)
{
    return CVM_FAIL(err, errno == ENOSPC ? CVM_E_UNAVAILABLE : CVM_E_DENIED,
                    "cannot write the rejects file '%s': %s", rejects->path, strerror(errno));
}

static void write_line(struct cvm_text *line, const struct cvm_record_reject *reject)
{
    struct cvm_json_writer writer;
    cvm_text_clear(line);
    cvm_json_init(&writer, line, false);
    cvm_json_object(&writer);
    cvm_json_key_string(&writer, "file", reject->file);
    cvm_json_key_int(&writer, "record", reject->record);
    cvm_json_key_string(&writer, "reason", reject->reason);
    cvm_json_key(&writer, "text");
    size_t length = reject->length < TEXT_BYTES_MAX ? reject->length : TEXT_BYTES_MAX;
    cvm_json_string_n(&writer, reject->text == NULL ? "" : reject->text, length);
    if (length < reject->length) {
        cvm_json_key_bool(&writer, "clipped", true);
    }
    cvm_json_object_end(&writer);
    cvm_text_add_char(line, '\n');
}

static enum cvm_status add_locked(struct cvm_import_rejects *rejects,
                                  const struct cvm_record_reject *reject, struct cvm_error *err)
{
    if (rejects->file == NULL) {
        rejects->file = fopen(rejects->path, "wbe");
        if (rejects->file == NULL) {
            return fail(rejects, err);
        }
    }
    write_line(&rejects->line, reject);
    if (rejects->line.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to write a rejected record");
    }
    size_t written = fwrite(rejects->line.data, 1, rejects->line.length, rejects->file);
    return written == rejects->line.length ? CVM_OK : fail(rejects, err);
}

enum cvm_status cvm_import_rejects_add(struct cvm_import_rejects *rejects,
                                       const struct cvm_record_reject *reject,
                                       struct cvm_error *err)
{
    cvm_import_rejects_tell(rejects, reject);
    if (rejects->path == NULL) {
        return CVM_OK;
    }
    (void)pthread_mutex_lock(&rejects->lock);
    enum cvm_status status = add_locked(rejects, reject, err);
    (void)pthread_mutex_unlock(&rejects->lock);
    return status;
}

enum cvm_status cvm_import_rejects_close(struct cvm_import_rejects *rejects, bool *out_is_written,
                                         struct cvm_error *err)
{
    FILE *file = rejects->file;
    rejects->file = NULL;
    if (file != NULL && fclose(file) != 0) {
        return fail(rejects, err);
    }
    *out_is_written = file != NULL;
    return CVM_OK;
}
