#include "storage/record_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "storage/import_file.h"
#include "storage/import_reject.h"

#define RECORD_BYTES_DEFAULT ((size_t)64 << 10)
#define BLOCK_BYTES          ((size_t)1 << 20)
#define BLOCK_COUNT          2
#define TREE_FACTOR          24 /* a tree takes more than its text */
#define ARENA_BYTES_LEAST    ((size_t)1 << 20)

struct cvm_record_reader {
    struct cvm_catalogue catalogue; /* one source that takes every file */
    struct cvm_source source;
    struct cvm_import_rejecting rejecting;
    struct cvm_file_input *files;
    struct cvm_record_input *input;
    struct cvm_json_reader *json;
    struct cvm_arena *arena;        /* of a record */
    struct cvm_arena *header_arena; /* of a CSV header */
    const char *rejects_path;
    size_t record_bytes_max;
    int64_t read;     /* besides those that the input itself rejected */
    int64_t rejected; /* of them */

    struct cvm_record_block block;
    bool has_block;
    size_t at; /* in the block */
    int64_t number;
    struct cvm_slice header; /* that names were read from */
    char separator;
    struct cvm_slice *names;
    size_t name_count;
};

void cvm_record_reader_close(struct cvm_record_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->has_block) {
        reader->input->release(reader->input, &reader->block);
    }
    cvm_file_input_close(reader->files);
    cvm_json_reader_destroy(reader->json);
    cvm_import_rejects_destroy(reader->rejecting.rejects);
    cvm_arena_destroy(reader->arena);
    cvm_arena_destroy(reader->header_arena);
    free(reader);
}

enum cvm_status cvm_record_reader_open(const struct cvm_record_files *files,
                                       struct cvm_record_reader **out_reader, struct cvm_error *err)
{
    struct cvm_record_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read records");
    }
    size_t bytes = files->record_bytes_max == 0 ? RECORD_BYTES_DEFAULT : files->record_bytes_max;
    reader->record_bytes_max = bytes;
    reader->rejects_path = files->rejects_path;
    reader->source = (struct cvm_source){.name = "records", .mapping = "records"};
    reader->catalogue = (struct cvm_catalogue){.sources = &reader->source, .source_count = 1};
    reader->json = cvm_json_reader_create(bytes);
    reader->arena = cvm_arena_create(bytes * TREE_FACTOR + ARENA_BYTES_LEAST);
    reader->header_arena = cvm_arena_create(bytes * TREE_FACTOR + ARENA_BYTES_LEAST);
    reader->rejecting.rejects = cvm_import_rejects_create(files->rejects_path);
    struct cvm_file_input_options options = {
        .paths = files->paths,
        .path_count = files->count,
        .source = reader->source.name,
        .block_bytes = BLOCK_BYTES,
        .record_bytes_max = bytes,
        .block_count = BLOCK_COUNT,
    };
    enum cvm_status status = CVM_OK;
    if (reader->json == NULL || reader->arena == NULL || reader->header_arena == NULL ||
        reader->rejecting.rejects == NULL) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory to read records");
    } else {
        status = cvm_file_input_open(&reader->catalogue, &options, &reader->files, err);
    }
    if (status != CVM_OK) {
        cvm_record_reader_close(reader);
        return status;
    }
    reader->input = cvm_file_input_records(reader->files);
    reader->input->rejecting = &reader->rejecting;
    *out_reader = reader;
    return CVM_OK;
}

/* ---- CSV ---- */

static enum cvm_status read_header(struct cvm_record_reader *reader, struct cvm_error *err)
{
    const struct cvm_record_block *block = &reader->block;
    if (reader->header.data == block->header && reader->header.length == block->header_length) {
        return CVM_OK;
    }
    cvm_arena_reset(reader->header_arena);
    reader->header = (struct cvm_slice){0};
    char *copy = cvm_arena_copy(reader->header_arena, block->header, block->header_length);
    if (copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a CSV header");
    }
    reader->separator = cvm_csv_separator(copy, block->header_length);
    enum cvm_status status =
        cvm_csv_split(reader->header_arena, copy, block->header_length, reader->separator,
                      &reader->names, &reader->name_count, err);
    if (status == CVM_OK) {
        reader->header = (struct cvm_slice){block->header, block->header_length};
    }
    return status == CVM_OK ? CVM_OK : cvm_error_context(err, status, "header");
}

/* Empty fields are missing. */
static enum cvm_status read_csv(struct cvm_record_reader *reader, struct cvm_slice text,
                                const struct cvm_json_value **out_value, struct cvm_error *err)
{
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    enum cvm_status status = read_header(reader, err);
    if (status == CVM_OK) {
        status = cvm_csv_split(reader->arena, text.data, text.length, reader->separator, &fields,
                               &count, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (count != reader->name_count) {
        return CVM_FAIL(err, CVM_E_INVALID, "%zu fields where the header has %zu", count,
                        reader->name_count);
    }
    struct cvm_json_value *nodes = CVM_NEW_ARRAY(reader->arena, count + 1, struct cvm_json_value);
    if (nodes == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record of %zu fields", count);
    }
    struct cvm_json_value *root = &nodes[count];
    struct cvm_json_value **tail = &root->first_child;
    root->type = CVM_JSON_OBJECT;
    for (size_t f = 0; f < count; f++) {
        if (fields[f].length > 0) {
            nodes[f] = (struct cvm_json_value){
                .type = CVM_JSON_STRING, .key = reader->names[f], .string = fields[f]};
            *tail = &nodes[f];
            tail = &nodes[f].next;
            root->child_count++;
        }
    }
    *out_value = root;
    return CVM_OK;
}

/* ---- records ---- */

static enum cvm_status read_value(struct cvm_record_reader *reader, struct cvm_slice text,
                                  const struct cvm_json_value **out_value, struct cvm_error *err)
{
    const struct cvm_json_value *value = NULL;
    if (text.length > reader->record_bytes_max) {
        return CVM_FAIL(err, CVM_E_LIMIT, "the record is longer than %zu bytes",
                        reader->record_bytes_max);
    }
    enum cvm_status status =
        reader->block.format == CVM_RECORDS_CSV
            ? read_csv(reader, text, &value, err)
            : cvm_json_read(reader->json, reader->arena, text.data, text.length, true, &value, err);
    if (status == CVM_OK && value->type != CVM_JSON_OBJECT) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the record is no object");
    }
    if (status == CVM_OK) {
        *out_value = value;
    }
    return status;
}

static enum cvm_status next_block(struct cvm_record_reader *reader, struct cvm_error *err)
{
    bool has_block = false;
    if (reader->has_block) {
        reader->input->release(reader->input, &reader->block);
        reader->has_block = false;
    }
    enum cvm_status status = reader->input->next(reader->input, &reader->block, &has_block, err);
    if (status == CVM_OK && has_block) {
        reader->has_block = true;
        reader->at = 0;
        reader->number = reader->block.first_record;
    }
    return status;
}

enum cvm_status cvm_record_reader_reject(struct cvm_record_reader *reader,
                                         const struct cvm_record_view *record, const char *reason,
                                         struct cvm_error *err)
{
    struct cvm_record_reject reject = {
        .file = record->file,
        .record = record->number,
        .reason = reason,
        .text = record->text.data,
        .length = record->text.length,
    };
    reader->rejected++;
    return cvm_import_rejects_add(reader->rejecting.rejects, &reject, err);
}

/* view->value stays NULL for a record that was rejected, or a blank line. */
static enum cvm_status take_record(struct cvm_record_reader *reader, struct cvm_record_view *view,
                                   struct cvm_error *err)
{
    struct cvm_error reason;
    *view = (struct cvm_record_view){.file = reader->block.file, .number = reader->number};
    view->text = cvm_record_block_next(&reader->block, &reader->at);
    if (view->text.length == 0) {
        return CVM_OK;
    }
    reader->number++;
    reader->read++;
    cvm_arena_reset(reader->arena);
    enum cvm_status status = read_value(reader, view->text, &view->value, &reason);
    return status == CVM_OK ? CVM_OK : cvm_record_reader_reject(reader, view, reason.message, err);
}

enum cvm_status cvm_record_reader_next(struct cvm_record_reader *reader,
                                       struct cvm_record_view *out_record, bool *out_has_record,
                                       struct cvm_error *err)
{
    struct cvm_record_view view = {0};
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && view.value == NULL) {
        if (reader->has_block && reader->at < reader->block.length) {
            status = take_record(reader, &view, err);
            continue;
        }
        status = next_block(reader, err);
        if (status == CVM_OK && !reader->has_block) {
            *out_has_record = false;
            return CVM_OK;
        }
    }
    if (status == CVM_OK) {
        *out_record = view;
        *out_has_record = true;
    }
    return status;
}

enum cvm_status cvm_record_reader_finish(struct cvm_record_reader *reader, struct cvm_arena *arena,
                                         struct cvm_record_counts *out_counts,
                                         struct cvm_error *err)
{
    struct cvm_import_report report = {0};
    bool is_written = false;
    enum cvm_status status = cvm_import_rejects_close(reader->rejecting.rejects, &is_written, err);
    if (status == CVM_OK) {
        status = cvm_file_input_report(reader->files, arena, &report, err);
    }
    const char *path = NULL;
    if (status == CVM_OK && is_written) {
        path = cvm_arena_string(arena, reader->rejects_path);
        status = path == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a path") : CVM_OK;
    }
    if (status == CVM_OK) {
        *out_counts = (struct cvm_record_counts){
            .read = reader->read + reader->rejecting.counts[0],
            .rejected = reader->rejected + reader->rejecting.counts[0],
            .rejects_path = path,
            .failed_files = report.failed_files,
            .failed_file_count = report.failed_file_count,
        };
    }
    return status;
}
