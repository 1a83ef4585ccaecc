#include "cli/world_input.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define BLOCK_BYTES   ((size_t)1 << 20)
#define PADDING_BYTES 64
#define NAME_SIZE     64
#define PATH_SIZE     4096
#define CHECK_EVERY   1024

struct cvm_world_input {
    struct cvm_record_input records; /* first: the import knows only this */
    struct cvm_world_input_options options;
    int sources[CVM_WORLD_SOURCE_COUNT]; /* in the catalogue */
    char names[CVM_WORLD_SOURCE_COUNT][NAME_SIZE];
    struct cvm_text texts[CVM_WORLD_SOURCE_COUNT]; /* being filled */
    int64_t next_record[CVM_WORLD_SOURCE_COUNT];
    struct cvm_text truth;
    atomic_llong customer; /* next one to make */
};

static enum cvm_status write_stream(FILE *stream, struct cvm_text *text, const char *what,
                                    struct cvm_error *err)
{
    if (text->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %s", what);
    }
    if (text->length > 0 && fwrite(text->data, 1, text->length, stream) != text->length) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write %s: %s", what, strerror(errno));
    }
    cvm_text_clear(text);
    return CVM_OK;
}

static enum cvm_status add_truth(const struct cvm_world_input_options *options, int64_t customer,
                                 struct cvm_text *truth, struct cvm_error *err)
{
    if (options->truth == NULL) {
        return CVM_OK;
    }
    if (customer == 0) {
        cvm_world_truth_header(truth);
    }
    cvm_world_truth_rows(&options->world, customer, truth);
    bool is_last = customer + 1 == options->world.customers;
    return truth->length >= BLOCK_BYTES || is_last
               ? write_stream(options->truth, truth, "the truth file", err)
               : CVM_OK;
}

/* ---- as an input of the import ---- */

static int64_t count_lines(const struct cvm_text *text)
{
    int64_t count = 0;
    const char *end = text->data + text->length;
    for (const char *at = text->data; at < end; count++) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        at = line_end == NULL ? end : line_end + 1;
    }
    return count;
}

/* The block takes the text's memory along; release() frees it. */
static enum cvm_status hand_over(struct cvm_world_input *input, int source,
                                 struct cvm_record_block *out_block, struct cvm_error *err)
{
    static const char padding[PADDING_BYTES] = {0};
    struct cvm_text *text = &input->texts[source];
    size_t length = text->length;
    cvm_text_add_bytes(text, padding, sizeof(padding));
    if (text->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for generated records");
    }
    text->length = length;
    *out_block = (struct cvm_record_block){
        .source = input->sources[source],
        .file = input->names[source],
        .first_record = input->next_record[source],
        .format = CVM_RECORDS_NDJSON,
        .data = text->data,
        .length = length,
    };
    input->next_record[source] += count_lines(text);
    cvm_text_init(text, 0);
    return CVM_OK;
}

static int find_block(const struct cvm_world_input *input, size_t length_min)
{
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        if (input->texts[source].length >= length_min) {
            return source;
        }
    }
    return -1;
}

static enum cvm_status next_block(struct cvm_record_input *records,
                                  struct cvm_record_block *out_block, bool *out_has_block,
                                  struct cvm_error *err)
{
    struct cvm_world_input *input = (struct cvm_world_input *)records;
    int64_t customer = atomic_load_explicit(&input->customer, memory_order_relaxed);
    enum cvm_status status = CVM_OK;
    int source = find_block(input, BLOCK_BYTES);
    for (; source < 0 && status == CVM_OK && customer < input->options.world.customers;
         customer++) {
        cvm_world_customer(&input->options.world, customer, input->texts);
        status = add_truth(&input->options, customer, &input->truth, err);
        if (status == CVM_OK && customer % CHECK_EVERY == 0) {
            status = cvm_context_check(input->options.context, err);
        }
        source = find_block(input, BLOCK_BYTES);
    }
    atomic_store_explicit(&input->customer, customer, memory_order_relaxed);
    if (status != CVM_OK) {
        return status;
    }
    source = source < 0 ? find_block(input, 1) : source;
    if (source >= 0) {
        status = hand_over(input, source, out_block, err);
    }
    if (status == CVM_OK) {
        *out_has_block = source >= 0;
    }
    return status;
}

static void release_block(struct cvm_record_input *records, struct cvm_record_block *block)
{
    struct cvm_text text = {.data = block->data};
    (void)records;
    cvm_text_finish(&text);
    block->data = NULL;
}

static double progress(const struct cvm_record_input *records)
{
    const struct cvm_world_input *input = (const struct cvm_world_input *)records;
    int64_t customer = atomic_load_explicit(&input->customer, memory_order_relaxed);
    return (double)customer / (double)input->options.world.customers;
}

static enum cvm_status find_sources(struct cvm_world_input *input, struct cvm_error *err)
{
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        const char *name = cvm_world_source_names[source];
        input->sources[source] = cvm_catalogue_source(input->options.catalogue, name);
        if (input->sources[source] == CVM_INDEX_NONE) {
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_NOT_FOUND, "the catalogue has no source '%s'", name);
            return cvm_error_hint(err, status,
                                  "Generated bases need the telecom mapping that `cvm init` "
                                  "writes, or --out DIR.");
        }
        (void)snprintf(input->names[source], NAME_SIZE, "generated/%s.ndjson", name);
        input->next_record[source] = 1;
        cvm_text_init(&input->texts[source], 0);
    }
    return CVM_OK;
}

enum cvm_status cvm_world_input_create(const struct cvm_world_input_options *options,
                                       struct cvm_world_input **out_input, struct cvm_error *err)
{
    struct cvm_world_input *input = calloc(1, sizeof(*input));
    if (input == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a generated base");
    }
    input->records.next = next_block;
    input->records.release = release_block;
    input->records.progress = progress;
    input->options = *options;
    cvm_text_init(&input->truth, 0);
    enum cvm_status status = find_sources(input, err);
    if (status != CVM_OK) {
        cvm_world_input_destroy(input);
        return status;
    }
    *out_input = input;
    return CVM_OK;
}

void cvm_world_input_destroy(struct cvm_world_input *input)
{
    if (input == NULL) {
        return;
    }
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        cvm_text_finish(&input->texts[source]);
    }
    cvm_text_finish(&input->truth);
    free(input);
}

struct cvm_record_input *cvm_world_input_records(struct cvm_world_input *input)
{
    return &input->records;
}

/* ---- as files ---- */

struct world_files {
    const struct cvm_world_input_options *options;
    FILE *streams[CVM_WORLD_SOURCE_COUNT];
    struct cvm_text texts[CVM_WORLD_SOURCE_COUNT];
    struct cvm_text truth;
    int64_t records;
};

static enum cvm_status open_files(struct world_files *files, const char *folder,
                                  struct cvm_error *err)
{
    char path[PATH_SIZE];
    enum cvm_status status = cvm_folder_create(folder, err);
    for (int source = 0; status == CVM_OK && source < CVM_WORLD_SOURCE_COUNT; source++) {
        int length =
            snprintf(path, sizeof(path), "%s/%s.ndjson", folder, cvm_world_source_names[source]);
        if (length < 0 || (size_t)length >= sizeof(path)) {
            return CVM_FAIL(err, CVM_E_INVALID, "the path '%s' is too long", folder);
        }
        files->streams[source] = fopen(path, "wb");
        if (files->streams[source] == NULL) {
            return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", path, strerror(errno));
        }
    }
    return status;
}

static enum cvm_status write_customer(struct world_files *files, int64_t customer,
                                      struct cvm_error *err)
{
    bool is_last = customer + 1 == files->options->world.customers;
    cvm_world_customer(&files->options->world, customer, files->texts);
    enum cvm_status status = add_truth(files->options, customer, &files->truth, err);
    for (int source = 0; status == CVM_OK && source < CVM_WORLD_SOURCE_COUNT; source++) {
        struct cvm_text *text = &files->texts[source];
        if (text->length > 0 && (is_last || text->length >= BLOCK_BYTES)) {
            files->records += count_lines(text);
            status = write_stream(files->streams[source], text, "generated records", err);
        }
    }
    return status;
}

enum cvm_status cvm_world_write_files(const struct cvm_world_input_options *options,
                                      const char *folder,
                                      void (*on_progress)(void *, const char *, double, int64_t),
                                      void *progress_state, int64_t *out_records,
                                      struct cvm_error *err)
{
    struct world_files files = {.options = options};
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        cvm_text_init(&files.texts[source], 0);
    }
    cvm_text_init(&files.truth, 0);
    enum cvm_status status = open_files(&files, folder, err);
    for (int64_t customer = 0; status == CVM_OK && customer < options->world.customers;
         customer++) {
        status = write_customer(&files, customer, err);
        if (status == CVM_OK && customer % CHECK_EVERY == 0) {
            status = cvm_context_check(options->context, err);
            if (on_progress != NULL) {
                on_progress(progress_state, "generate",
                            (double)customer / (double)options->world.customers, files.records);
            }
        }
    }
    for (int source = 0; source < CVM_WORLD_SOURCE_COUNT; source++) {
        if (files.streams[source] != NULL && fclose(files.streams[source]) != 0 &&
            status == CVM_OK) {
            status = CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write generated records: %s",
                              strerror(errno));
        }
        cvm_text_finish(&files.texts[source]);
    }
    cvm_text_finish(&files.truth);
    if (status == CVM_OK) {
        *out_records = files.records;
    }
    return status;
}
