/* record_fuzz.c - any bytes as a file of records: what is read of outcomes, and what every import
 * maps. The first line of the input names source and ending, "contact_history.csv"; the rest is the
 * file. */
#include "fuzz.h"

#include <string.h>
#include <unistd.h>

#include "storage/import_file.h"
#include "storage/import_map.h"
#include "storage/import_reject.h"
#include "storage/record_reader.h"
#include "support/config_files.h"

#define ARENA_BYTES      ((size_t)64 << 20)
#define RECORD_BYTES_MAX ((size_t)2000)
#define INPUT_BYTES_MAX  ((size_t)1 << 16)
#define BLOCK_BYTES      ((size_t)4096) /* small: records lie across blocks */

static const char *const endings[] = {"csv", "tsv", "ndjson", "json", "txt"};
#define ENDINGS (sizeof(endings) / sizeof(endings[0]))

static struct {
    struct cvm_arena *arena; /* the catalogue and its plan */
    struct cvm_arena *file_arena;
    const struct cvm_catalogue *catalogue;
    const struct cvm_import_plan *plan;
    struct cvm_mapper *mapper;
    char folder[64];
    char paths[ENDINGS][96];
} fuzz;

static void stop(void)
{
    for (size_t e = 0; e < ENDINGS; e++) {
        (void)unlink(fuzz.paths[e]);
    }
    (void)rmdir(fuzz.folder);
    cvm_mapper_destroy(fuzz.mapper);
    cvm_arena_destroy(fuzz.file_arena);
    cvm_arena_destroy(fuzz.arena);
}

static void start(void)
{
    struct cvm_error err;
    const struct cvm_mapper_options options = {.record_bytes_max = RECORD_BYTES_MAX,
                                               .key_bits = 63};
    fuzz.arena = cvm_arena_create(ARENA_BYTES);
    fuzz.file_arena = cvm_arena_create(ARENA_BYTES);
    REQUIRE(fuzz.arena != NULL && fuzz.file_arena != NULL);
    struct config_files config = config_load(fuzz.arena, 1000);
    REQUIRE(config_read(fuzz.arena, &config, &fuzz.catalogue, &err) == CVM_OK);
    REQUIRE(cvm_import_plan_make(fuzz.arena, fuzz.catalogue, &fuzz.plan, &err) == CVM_OK);
    fuzz.mapper = cvm_mapper_create(fuzz.plan, &options);
    REQUIRE(fuzz.mapper != NULL);
    (void)snprintf(fuzz.folder, sizeof(fuzz.folder), "/tmp/cvm-record-fuzz-XXXXXX");
    REQUIRE(mkdtemp(fuzz.folder) != NULL);
    for (size_t e = 0; e < ENDINGS; e++) {
        (void)snprintf(fuzz.paths[e], sizeof(fuzz.paths[e]), "%s/in.%s", fuzz.folder, endings[e]);
    }
    REQUIRE(atexit(stop) == 0);
}

static void write_file(const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");
    REQUIRE(file != NULL && fwrite(text, 1, length, file) == length && fclose(file) == 0);
}

/* As outcomes are read; every second record is refused. */
static void read_records(const char *path)
{
    const struct cvm_record_files files = {&path, 1, NULL, RECORD_BYTES_MAX};
    struct cvm_record_reader *reader = NULL;
    struct cvm_record_counts counts;
    struct cvm_record_view view = {0};
    struct cvm_error err;
    int64_t taken = 0;
    int64_t refused = 0;
    int64_t before = 0;
    bool has_record = true;
    REQUIRE(cvm_record_reader_open(&files, &reader, &err) == CVM_OK);
    while (has_record) {
        REQUIRE(cvm_record_reader_next(reader, &view, &has_record, &err) == CVM_OK);
        if (has_record) {
            REQUIRE(view.value->type == CVM_JSON_OBJECT && view.number > before);
            REQUIRE(view.text.length > 0 && view.text.length <= RECORD_BYTES_MAX);
            before = view.number;
            taken++;
        }
        if (has_record && taken % 2 == 0) {
            REQUIRE(cvm_record_reader_reject(reader, &view, "no", &err) == CVM_OK);
            refused++;
        }
    }
    REQUIRE(cvm_record_reader_finish(reader, fuzz.file_arena, &counts, &err) == CVM_OK);
    REQUIRE(counts.read >= taken && counts.rejected == counts.read - taken + refused);
    cvm_record_reader_close(reader);
}

/* It is one run of bytes, as long as it says, with texts that end. */
static void check_record(const struct cvm_import_record *record)
{
    const char *end = cvm_import_record_private(record) + record->private_length;
    REQUIRE(record->length % 8 == 0 && end <= (const char *)record + record->length);
    REQUIRE(record->id_length > 0 && strlen(cvm_import_record_id(record)) == record->id_length);
    REQUIRE(cvm_import_record_attributes(record)[record->attributes_length] == '\0');
}

static void map_block(const struct cvm_record_block *block)
{
    struct cvm_error err;
    const struct cvm_import_record *record = NULL;
    if (cvm_mapper_start(fuzz.mapper, block, &err) != CVM_OK) {
        return;
    }
    for (size_t at = 0; at < block->length;) {
        struct cvm_slice text = cvm_record_block_next(block, &at);
        if (text.length == 0 || text.length > RECORD_BYTES_MAX) {
            continue;
        }
        err.message[0] = '\0';
        if (cvm_mapper_map(fuzz.mapper, text.data, text.length, 0, 1, &record, &err) == CVM_OK) {
            check_record(record);
        } else {
            REQUIRE(err.message[0] != '\0');
        }
    }
}

static void map_records(const char *path, const char *source)
{
    const struct cvm_file_input_options options = {.paths = &path,
                                                   .path_count = 1,
                                                   .source = source,
                                                   .block_bytes = BLOCK_BYTES,
                                                   .record_bytes_max = RECORD_BYTES_MAX,
                                                   .block_count = 2};
    struct cvm_file_input *files = NULL;
    struct cvm_record_block block;
    struct cvm_error err;
    bool has_block = true;
    struct cvm_import_rejecting rejecting = {.rejects = cvm_import_rejects_create(NULL)};
    REQUIRE(rejecting.rejects != NULL);
    REQUIRE(cvm_file_input_open(fuzz.catalogue, &options, &files, &err) == CVM_OK);
    struct cvm_record_input *input = cvm_file_input_records(files);
    input->rejecting = &rejecting;
    while (has_block) {
        REQUIRE(input->next(input, &block, &has_block, &err) == CVM_OK);
        if (has_block) {
            map_block(&block);
            input->release(input, &block);
        }
    }
    cvm_file_input_close(files);
    cvm_import_rejects_destroy(rejecting.rejects);
}

/* Source and ending of "contact_history.csv"; of what is no such name the first ones. */
static void read_name(const char *name, size_t length, const char **out_source, size_t *out_ending)
{
    *out_source = "contact_history";
    *out_ending = 0;
    for (size_t s = 0; s < fuzz.catalogue->source_count; s++) {
        const char *source = fuzz.catalogue->sources[s].name;
        for (size_t e = 0; e < ENDINGS; e++) {
            char whole[128];
            (void)snprintf(whole, sizeof(whole), "%s.%s", source, endings[e]);
            if (strlen(whole) == length && memcmp(whole, name, length) == 0) {
                *out_source = source;
                *out_ending = e;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size == 0 ? NULL : memchr(text, '\n', size);
    size_t head = end == NULL ? size : (size_t)(end - text) + 1;
    const char *source = NULL;
    size_t ending = 0;
    if (fuzz.arena == NULL) {
        start();
    }
    if (end == NULL || size > INPUT_BYTES_MAX) {
        return 0;
    }
    cvm_arena_reset(fuzz.file_arena);
    read_name(text, head - 1, &source, &ending);
    write_file(fuzz.paths[ending], text + head, size - head);
    read_records(fuzz.paths[ending]);
    map_records(fuzz.paths[ending], source);
    return 0;
}
