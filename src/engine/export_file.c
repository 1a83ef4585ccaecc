#include "engine/export_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "storage/audit.h"

static enum cvm_status fail_file(struct cvm_error *err, const char *verb, const char *path)
{
    char buffer[128];
    int number = errno;
    enum cvm_status status = number == EACCES || number == EPERM || number == EROFS ? CVM_E_DENIED
                             : number == ENOSPC || number == EDQUOT || number == EFBIG
                                 ? CVM_E_LIMIT
                                 : CVM_E_UNAVAILABLE;
    return CVM_FAIL(err, status, "cannot %s '%s': %s", verb, path,
                    strerror_r(number, buffer, sizeof(buffer)));
}

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for an export");
}

/* ---- the set ---- */

enum cvm_status cvm_export_sinks_init(struct cvm_export_sinks *sinks,
                                      const struct cvm_export_request *request,
                                      struct cvm_arena *arena, size_t capacity,
                                      struct cvm_error *err)
{
    *sinks = (struct cvm_export_sinks){.request = request, .arena = arena, .capacity = capacity};
    sinks->sinks = CVM_NEW_ARRAY(arena, capacity + 1, struct cvm_export_sink);
    return sinks->sinks == NULL ? fail_memory(err) : CVM_OK;
}

void cvm_export_sinks_finish(struct cvm_export_sinks *sinks, bool is_done)
{
    for (size_t i = 0; i < sinks->count; i++) {
        struct cvm_export_sink *sink = &sinks->sinks[i];
        if (sink->stream != NULL) {
            (void)fclose(sink->stream); /* part of a file that is thrown away */
            (void)unlink(sink->temporary);
        }
        if (sink->is_renamed && !is_done && !sinks->request->is_again) {
            (void)unlink(sink->path);
        }
        cvm_column_finish(&sink->keys);
    }
    sinks->count = 0;
}

static const char *join(struct cvm_arena *arena, const char *parts[4])
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    for (size_t i = 0; i < 4; i++) {
        cvm_text_add(&text, parts[i]);
    }
    const char *joined = text.failed ? NULL : cvm_arena_string(arena, cvm_text_string(&text));
    cvm_text_finish(&text);
    return joined;
}

static const char *name_of(const struct cvm_export_sinks *sinks, int64_t export,
                           const char *channel, const char *kind, const char *extension)
{
    char name[192];
    bool is_full = strcmp(kind, "full") == 0;
    (void)snprintf(name, sizeof(name), "%s-%s%s%s-%" PRId64 ".%s", sinks->request->run->run_id,
                   channel, is_full ? "" : "-", is_full ? "" : kind, export, extension);
    return cvm_arena_string(sinks->arena, name);
}

enum cvm_status cvm_export_sink_add(struct cvm_export_sinks *sinks,
                                    const struct cvm_export_sink_plan *plan, struct cvm_error *err)
{
    struct cvm_export_sink *sink = &sinks->sinks[sinks->count];
    const char *folder = sinks->request->folder;
    if (sinks->count == sinks->capacity) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "more files than were announced");
    }
    *sink = (struct cvm_export_sink){.layout = plan->layout};
    sink->file.export = plan->export;
    sink->file.channel = plan->channel;
    sink->file.kind = plan->kind;
    sink->file.name = plan->name != NULL ? plan->name
                                         : name_of(sinks, plan->export, plan->channel, plan->kind,
                                                   plan->extension);
    cvm_column_init(&sink->keys, sizeof(uint64_t));
    sinks->count++;
    if (sink->file.name == NULL) {
        return fail_memory(err);
    }
    sink->path = join(sinks->arena, (const char *[]){folder, "/", sink->file.name, ""});
    sink->temporary = join(sinks->arena, (const char *[]){folder, "/.", sink->file.name, ".part"});
    return sink->path == NULL || sink->temporary == NULL ? fail_memory(err) : CVM_OK;
}

/* ---- rows ---- */

static enum cvm_status put(struct cvm_export_sink *sink, const char *data, size_t length,
                           struct cvm_error *err)
{
    cvm_digest_add(&sink->digest, data, length);
    sink->file.bytes += (int64_t)length;
    return length > 0 && fwrite(data, 1, length, sink->stream) != length
               ? fail_file(err, "write", sink->temporary)
               : CVM_OK;
}

enum cvm_status cvm_export_sink_put(struct cvm_export_sink *sink, const char *head,
                                    const struct cvm_text *row, struct cvm_error *err)
{
    if (row->failed) {
        return fail_memory(err);
    }
    if (sink->stream == NULL) {
        sink->stream = fopen(sink->temporary, "we");
        if (sink->stream == NULL) {
            return fail_file(err, "make", sink->temporary);
        }
        cvm_digest_init(&sink->digest);
        enum cvm_status status = put(sink, head, strlen(head), err);
        if (status != CVM_OK) {
            return status;
        }
    }
    sink->file.rows++;
    return put(sink, cvm_text_string(row), row->length, err);
}

enum cvm_status cvm_export_sink_note(struct cvm_export_sink *sink,
                                     const struct cvm_decision *decision, struct cvm_error *err)
{
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(&sink->keys, 1, &slot, err);
    if (status == CVM_OK) {
        *(uint64_t *)slot = decision->customer_key;
        if (decision->reason >= 0 && decision->reason < CVM_REASON_COUNT) {
            sink->file.by_reason[decision->reason]++;
        }
    }
    return status;
}

/* ---- the end ---- */

static enum cvm_status rename_file(struct cvm_export_sink *sink, struct cvm_error *err)
{
    FILE *stream = sink->stream;
    bool is_safe = fflush(stream) == 0 && fsync(fileno(stream)) == 0;
    if (!is_safe) {
        return fail_file(err, "write", sink->temporary);
    }
    sink->stream = NULL;
    if (fclose(stream) != 0 || rename(sink->temporary, sink->path) != 0) {
        enum cvm_status status = fail_file(err, "write", sink->path);
        (void)unlink(sink->temporary);
        return status;
    }
    sink->is_renamed = true;
    cvm_digest_finish(&sink->digest, sink->file.digest);
    return CVM_OK;
}

static enum cvm_status sync_folder(const char *folder, struct cvm_error *err)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno == EACCES ? CVM_OK : fail_file(err, "open", folder);
    }
    bool is_safe = fsync(fd) == 0 || errno == EINVAL; /* some file systems can not */
    enum cvm_status status = is_safe ? CVM_OK : fail_file(err, "sync", folder);
    (void)close(fd);
    return status;
}

static enum cvm_status note_file(struct cvm_store *writer, const struct cvm_export_sinks *sinks,
                                 const struct cvm_export_sink *sink, struct cvm_error *err)
{
    const struct cvm_export_request *request = sinks->request;
    struct cvm_plan_export export = {
        .export = sink->file.export,
        .run_id = request->run->run_id,
        .channel = sink->file.channel,
        .kind = sink->file.kind,
        .file = sink->file.name,
        .digest = sink->file.digest,
        .rows = sink->file.rows,
        .at_ms = cvm_store_now_ms(writer),
        .who = request->who,
    };
    bool is_handing_over = request->kind == CVM_EXPORT_FULL || request->kind == CVM_EXPORT_PILOT;
    if (request->is_again) {
        return CVM_OK; /* it stands there already */
    }
    enum cvm_status status = cvm_export_add(writer, &export, err);
    return status == CVM_OK && is_handing_over
               ? cvm_export_mark(writer, &export, sink->keys.buffer.data, sink->keys.count, err)
               : status;
}

static enum cvm_status audit(struct cvm_store *writer, const struct cvm_export_sinks *sinks,
                             const struct cvm_export_result *result, struct cvm_error *err)
{
    struct cvm_text texts[3];
    struct cvm_json_writer json;
    for (size_t i = 0; i < 3; i++) {
        cvm_text_init(&texts[i], 0);
    }
    cvm_text_add_format(&texts[0], "plan %s", sinks->request->run->run_id);
    cvm_text_add_format(&texts[1], "%s export of %" PRId64 " rows%s",
                        sinks->count > 0 ? sinks->sinks[0].file.kind : "", result->rows,
                        sinks->request->is_again ? ", once more" : "");
    if (sinks->request->why != NULL && sinks->request->why[0] != '\0') {
        cvm_text_add_format(&texts[1], ": %s", sinks->request->why);
    }
    cvm_json_init(&json, &texts[2], false);
    cvm_json_object(&json);
    cvm_json_key(&json, "files");
    cvm_json_array(&json);
    for (size_t i = 0; i < result->file_count; i++) {
        cvm_json_string(&json, result->files[i].name);
    }
    cvm_json_array_end(&json);
    cvm_json_object_end(&json);
    struct cvm_audit_row row = {
        .who = sinks->request->who,
        .action = "plan",
        .object = cvm_text_string(&texts[0]),
        .why = cvm_text_string(&texts[1]),
        .after = cvm_text_string(&texts[2]),
    };
    enum cvm_status status = texts[0].failed || texts[1].failed || texts[2].failed
                                 ? fail_memory(err)
                                 : cvm_audit_add(writer, &row, err);
    for (size_t i = 0; i < 3; i++) {
        cvm_text_finish(&texts[i]);
    }
    return status;
}

static enum cvm_status note_all(struct cvm_store *writer, const struct cvm_export_sinks *sinks,
                                const struct cvm_export_result *result, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(writer);
    enum cvm_status status = cvm_db_begin(db, err);
    for (size_t i = 0; status == CVM_OK && i < sinks->count; i++) {
        if (sinks->sinks[i].is_renamed) {
            status = note_file(writer, sinks, &sinks->sinks[i], err);
        }
    }
    if (status == CVM_OK) {
        status = audit(writer, sinks, result, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    cvm_db_rollback(db);
    return status;
}

/* ---- the manifest ---- */

static void write_reasons(const char *key, const int64_t *by_reason, struct cvm_json_writer *json)
{
    cvm_json_key(json, key);
    cvm_json_object(json);
    for (int r = 0; by_reason != NULL && r < CVM_REASON_COUNT; r++) {
        if (by_reason[r] > 0) {
            cvm_json_key_int(json, cvm_reason_name((enum cvm_reason)r), by_reason[r]);
        }
    }
    cvm_json_object_end(json);
}

void cvm_export_result_write(const struct cvm_export_result *result, struct cvm_json_writer *json)
{
    cvm_json_key_int(json, "rows", result->rows);
    cvm_json_key(json, "files");
    cvm_json_array(json);
    for (size_t i = 0; i < result->file_count; i++) {
        const struct cvm_export_file *file = &result->files[i];
        cvm_json_object(json);
        cvm_json_key_string(json, "channel", file->channel);
        cvm_json_key_string(json, "file", file->name);
        cvm_json_key_int(json, "export", file->export);
        cvm_json_key_int(json, "rows", file->rows);
        cvm_json_key_int(json, "bytes", file->bytes);
        cvm_json_key_string(json, "digest", file->digest);
        write_reasons("by_reason", file->by_reason, json);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
    cvm_json_key(json, "not_included");
    cvm_json_object(json);
    cvm_json_key_int(json, "control_group", result->left.ghosts);
    cvm_json_key_int(json, "withdrawn", result->left.withdrawn);
    cvm_json_key_int(json, "handed_over_before", result->left.handed_over);
    cvm_json_key_int(json, "reported", result->left.reported);
    cvm_json_key_int(json, "later", result->left.later);
    cvm_json_key_int(json, "no_channel_file", result->left.no_file);
    cvm_json_object_end(json);
}

static enum cvm_status write_manifest(const struct cvm_export_sinks *sinks, int64_t now_ms,
                                      struct cvm_export_result *result, struct cvm_error *err)
{
    const struct cvm_export_request *request = sinks->request;
    static const char *const kinds[] = {"full", "pilot", "test", "recall"};
    char day[CVM_DAY_TEXT_SIZE];
    char moment[CVM_MOMENT_TEXT_SIZE];
    struct cvm_text text;
    struct cvm_json_writer json;
    const char *path =
        join(sinks->arena, (const char *[]){request->folder, "/", "manifest.json", ""});
    cvm_text_init(&text, 0);
    cvm_json_init(&json, &text, true);
    cvm_json_object(&json);
    cvm_json_key_string(&json, "run_id", request->run->run_id);
    cvm_json_key_string(&json, "plan_digest", request->run->plan_digest);
    cvm_json_key_string(&json, "as_of", cvm_day_format(request->run->as_of_day, day));
    cvm_json_key_int(&json, "catalogue_version", request->run->catalogue_version);
    cvm_json_key_string(&json, "kind", kinds[request->kind]);
    if (request->kind == CVM_EXPORT_PILOT) {
        cvm_json_key_double(&json, "share", request->pilot_share);
    }
    cvm_json_key_bool(&json, "again", request->is_again);
    cvm_json_key_string(&json, "created_at", cvm_moment_format(now_ms, moment));
    cvm_json_key_string(&json, "created_by", request->who);
    cvm_json_key_string(&json, "digest_method", "BLAKE2b-256");
    cvm_export_result_write(result, &json);
    write_reasons("withdrawn", request->withdrawn, &json);
    cvm_json_object_end(&json);
    cvm_text_add_char(&text, '\n');
    enum cvm_status status = text.failed || path == NULL
                                 ? fail_memory(err)
                                 : cvm_file_write(path, cvm_text_string(&text), text.length, err);
    cvm_text_finish(&text);
    if (status == CVM_OK) {
        result->manifest = path;
    }
    return status;
}

/* ---- all of it ---- */

static enum cvm_status rename_all(struct cvm_export_sinks *sinks, struct cvm_export_result *result,
                                  struct cvm_error *err)
{
    struct cvm_export_file *files =
        CVM_NEW_ARRAY(sinks->arena, sinks->count + 1, struct cvm_export_file);
    enum cvm_status status = files == NULL ? fail_memory(err) : CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < sinks->count; i++) {
        struct cvm_export_sink *sink = &sinks->sinks[i];
        if (sink->stream == NULL) {
            continue;
        }
        status = rename_file(sink, err);
        if (status == CVM_OK) {
            files[result->file_count++] = sink->file;
            result->rows += sink->file.rows;
        }
    }
    result->files = files;
    return status == CVM_OK ? sync_folder(sinks->request->folder, err) : status;
}

enum cvm_status cvm_export_sinks_commit(struct cvm_export_sinks *sinks, struct cvm_store *writer,
                                        struct cvm_export_result *result, struct cvm_error *err)
{
    enum cvm_status status = rename_all(sinks, result, err);
    if (status == CVM_OK && result->file_count > 0) {
        status = note_all(writer, sinks, result, err);
    }
    cvm_export_sinks_finish(sinks, status == CVM_OK);
    return status == CVM_OK && result->file_count > 0
               ? write_manifest(sinks, cvm_store_now_ms(writer), result, err)
               : status;
}
