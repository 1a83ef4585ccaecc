#include "storage/import_table.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_reader.h"
#include "base/json_writer.h"
#include "base/threads.h"
#include "storage/import_table_sql.h"

#define PLAN_BYTES_MAX    ((size_t)64 << 20)
#define READERS_DEFAULT   4
#define READERS_MAX       64
#define RANGES_PER_READER 8
#define ROWS_PER_LOOK     1024 /* between two looks whether to stop */
/* Records are numbered by range and place in it, so that they have an order whoever reads first. */
#define RANGE_NUMBERS INT64_C(10000000000)

/* One that reads: a thread with a connection. */
struct reader {
    struct cvm_table_input *input;
    struct cvm_thread *thread;
    struct cvm_db *db; /* NULL = not connected */
    struct cvm_retry retry;
    struct cvm_text sql;
    struct cvm_text line;

    /* the range at hand */
    struct cvm_table_range range; /* what is left of it */
    int64_t number;               /* of the first record in `rows` */
    struct cvm_text rows;         /* records that were not handed over yet */
    int64_t row_count;
    size_t whole_length; /* of `rows`: up to the last key all of whose rows are there */
    int64_t whole_count;
    struct cvm_text key_text; /* of `key` */
    struct cvm_db_value key;  /* of the last row; NULL = none yet */
    struct cvm_text done_text;
    struct cvm_db_value done; /* the last key all of whose rows are there */
    bool is_split;            /* rows of `key` were handed over, others are still to come */
};

struct cvm_table_input {
    struct cvm_record_input records; /* first: a pointer to it is one to us */
    struct cvm_table_input_options options;
    struct cvm_arena *arena;
    struct cvm_table_plan plan;
    int source;
    struct reader *readers;
    size_t reader_count;
    atomic_size_t range_next;
    atomic_size_t ranges_done;
    atomic_size_t readers_left;
    atomic_bool is_stopped;
    size_t block_bytes_max;
    struct cvm_record_block *blocks;
    struct cvm_queue *free_blocks; /* struct cvm_record_block *, with their buffers */
    struct cvm_queue *full_blocks;
};

/* ---- a row to a record ---- */

static enum cvm_status fail_binary(const struct cvm_table_input *input,
                                   const struct cvm_db_column *column, struct cvm_error *err)
{
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "column '%s' of %s holds binary data",
                                      column->name, input->plan.name);
    return cvm_error_hint(err, status, "Name the other columns: --query 'SELECT ...'.");
}

static enum cvm_status add_value(const struct cvm_table_input *input,
                                 const struct cvm_db_column *column,
                                 const struct cvm_db_value *value, struct cvm_json_writer *json,
                                 struct cvm_error *err)
{
    if (value->type == CVM_DB_NULL) {
        return CVM_OK;
    }
    cvm_json_key(json, column->name);
    switch (value->type) {
    case CVM_DB_INT:
        if (column->kind == CVM_DB_COLUMN_BOOLEAN) {
            cvm_json_bool(json, value->integer != 0);
        } else {
            cvm_json_int(json, value->integer);
        }
        break;
    case CVM_DB_DOUBLE:
        cvm_json_double(json, value->number);
        break;
    case CVM_DB_TEXT:
        if (cvm_table_is_json(column->kind)) {
            cvm_json_raw(json, value->bytes.data, value->bytes.length);
        } else {
            cvm_json_string_n(json, value->bytes.data, value->bytes.length);
        }
        break;
    default:
        return fail_binary(input, column, err);
    }
    return CVM_OK;
}

static enum cvm_status make_line(struct reader *reader, const struct cvm_db_value *values,
                                 struct cvm_error *err)
{
    const struct cvm_table_input *input = reader->input;
    struct cvm_json_writer json;
    enum cvm_status status = CVM_OK;
    cvm_text_clear(&reader->line);
    cvm_json_init(&json, &reader->line, false);
    cvm_json_object(&json);
    for (size_t c = 0; status == CVM_OK && c < input->plan.column_count; c++) {
        status = add_value(input, &input->plan.columns[c], &values[c], &json, err);
    }
    cvm_json_object_end(&json);
    if (status == CVM_OK && reader->line.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a row of %s", input->plan.name);
    }
    return status;
}

/* ---- blocks ---- */

static bool is_stopped(struct cvm_table_input *input)
{
    return atomic_load(&input->is_stopped);
}

/* The first `count` records go on their way; what is behind them stays. False when nobody wants
 * them any more. */
static bool hand_over(struct reader *reader, size_t length, int64_t count)
{
    struct cvm_table_input *input = reader->input;
    void *taken = NULL;
    if (length == 0) {
        return true;
    }
    if (!cvm_queue_pop(input->free_blocks, &taken)) {
        return false;
    }
    struct cvm_record_block *block = taken;
    assert(length <= input->block_bytes_max);
    memcpy(block->data, reader->rows.data, length);
    block->length = length;
    block->first_record = reader->number;
    memmove(reader->rows.data, reader->rows.data + length, reader->rows.length - length);
    reader->rows.length -= length;
    reader->row_count -= count;
    reader->number += count;
    return cvm_queue_push(input->full_blocks, block);
}

/* Whole keys if there are any: then a range that breaks off can go on behind the last of them. */
static bool hand_over_whole_keys(struct reader *reader)
{
    size_t length = reader->whole_length;
    int64_t count = reader->whole_count;
    if (length == 0) {
        reader->is_split = true;
        length = reader->rows.length;
        count = reader->row_count;
    }
    reader->whole_length = 0;
    reader->whole_count = 0;
    return hand_over(reader, length, count);
}

/* ---- keys ---- */

static bool is_same_key(const struct cvm_db_value *a, const struct cvm_db_value *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case CVM_DB_INT:
        return a->integer == b->integer;
    case CVM_DB_DOUBLE:
        return a->number == b->number;
    case CVM_DB_TEXT:
        return a->bytes.length == b->bytes.length &&
               memcmp(a->bytes.data, b->bytes.data, a->bytes.length) == 0;
    default:
        return false;
    }
}

static enum cvm_status keep_key(struct cvm_db_value *to, struct cvm_text *text,
                                const struct cvm_db_value *from, struct cvm_error *err)
{
    *to = *from;
    if (from->type == CVM_DB_BLOB) {
        return CVM_FAIL(err, CVM_E_INVALID, "the key holds binary data");
    }
    if (from->type == CVM_DB_TEXT) {
        cvm_text_clear(text);
        cvm_text_add_bytes(text, from->bytes.data, from->bytes.length);
        *to = cvm_db_text_n(cvm_text_string(text), from->bytes.length);
    }
    return text->failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a key") : CVM_OK;
}

/* All rows of the key before are there once another one comes. */
static enum cvm_status take_key(struct reader *reader, const struct cvm_db_value *key,
                                struct cvm_error *err)
{
    if (is_same_key(&reader->key, key)) {
        return CVM_OK;
    }
    enum cvm_status status = CVM_OK;
    if (reader->key.type != CVM_DB_NULL) {
        status = keep_key(&reader->done, &reader->done_text, &reader->key, err);
        reader->whole_length = reader->rows.length;
        reader->whole_count = reader->row_count;
        reader->is_split = false;
        if (reader->retry.failures > 0) {
            cvm_retry_progress(&reader->retry);
        }
    }
    return status == CVM_OK ? keep_key(&reader->key, &reader->key_text, key, err) : status;
}

/* ---- ranges ---- */

static enum cvm_status take_row(struct reader *reader, const struct cvm_db_value *values,
                                struct cvm_error *err)
{
    struct cvm_table_input *input = reader->input;
    bool has_key = input->plan.key != NULL;
    enum cvm_status status = CVM_OK;
    if (has_key && !reader->range.has_no_key) {
        status = take_key(reader, &values[0], err);
    }
    if (status == CVM_OK) {
        status = make_line(reader, values + (has_key ? 1 : 0), err);
    }
    if (status != CVM_OK) {
        return status;
    }
    /* One byte more than a record may have: it is rejected for its length, with its begin. */
    size_t most = input->options.record_bytes_max + 1;
    size_t length = reader->line.length < most ? reader->line.length : most;
    cvm_text_add_bytes(&reader->rows, reader->line.data, length);
    cvm_text_add_char(&reader->rows, '\n');
    reader->row_count++;
    if (reader->rows.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for rows of %s", input->plan.name);
    }
    while (reader->rows.length >= input->options.block_bytes && !is_stopped(input)) {
        if (!hand_over_whole_keys(reader)) {
            atomic_store(&input->is_stopped, true);
        }
    }
    return CVM_OK;
}

static enum cvm_status read_rows(struct reader *reader, struct cvm_error *err)
{
    struct cvm_table_input *input = reader->input;
    struct cvm_db_cursor *cursor = NULL;
    const struct cvm_db_value *values = NULL;
    enum cvm_status status =
        cvm_table_scan(&input->plan, reader->db, &reader->range, &reader->sql, &cursor, err);
    for (int64_t rows = 0; status == CVM_OK && !is_stopped(input); rows++) {
        status = cvm_db_cursor_next(cursor, &values, err);
        if (status != CVM_OK || values == NULL) {
            break;
        }
        status = take_row(reader, values, err);
        if (status == CVM_OK && rows % ROWS_PER_LOOK == 0) {
            status = cvm_context_check(input->options.context, err);
        }
    }
    cvm_db_cursor_close(cursor);
    return status;
}

/* What was read of keys that are not complete is forgotten, and read again. */
static enum cvm_status step_back(struct reader *reader, struct cvm_error *err)
{
    if (reader->is_split) {
        enum cvm_status status = cvm_error_context(
            err, CVM_E_UNAVAILABLE,
            reader->input->plan.key == NULL ? "%s broke off, and without --key nothing says where"
                                            : "%s broke off among more rows of one key than a "
                                              "block holds",
            reader->input->plan.name);
        return cvm_error_hint(err, status,
                              "Import again: what is there already is stored once. --key COLUMN "
                              "names a column with few rows per value to go on from.");
    }
    reader->rows.length = reader->whole_length;
    reader->row_count = reader->whole_count;
    reader->key = cvm_db_null();
    if (reader->done.type != CVM_DB_NULL) {
        reader->range.first = reader->done;
        reader->range.is_after_first = true;
    }
    return CVM_OK;
}

static enum cvm_status connect_once(struct reader *reader, struct cvm_error *err)
{
    static const struct cvm_retry_policy once = {.attempts = 1}; /* read_range() repeats */
    return reader->db != NULL ? CVM_OK
                              : cvm_table_connect(&reader->input->plan, &once, &reader->db, err);
}

static enum cvm_status read_range(struct reader *reader, size_t number, struct cvm_error *err)
{
    struct cvm_table_input *input = reader->input;
    enum cvm_status status = CVM_OK;
    reader->range = input->plan.ranges[number];
    reader->number = (int64_t)number * RANGE_NUMBERS + 1;
    cvm_text_clear(&reader->rows);
    reader->row_count = 0;
    reader->whole_length = 0;
    reader->whole_count = 0;
    reader->key = cvm_db_null();
    reader->done = cvm_db_null();
    reader->is_split = false;
    cvm_retry_progress(&reader->retry);
    for (;;) {
        status = connect_once(reader, err);
        if (status == CVM_OK) {
            status = read_rows(reader, err);
        }
        if (status != CVM_E_UNAVAILABLE || is_stopped(input)) {
            break;
        }
        cvm_db_close(reader->db);
        reader->db = NULL;
        if (step_back(reader, err) != CVM_OK || !cvm_retry_again(&reader->retry)) {
            break;
        }
    }
    if (status == CVM_OK && !is_stopped(input)) {
        (void)hand_over(reader, reader->rows.length, reader->row_count);
        (void)atomic_fetch_add(&input->ranges_done, 1);
    }
    return status;
}

static enum cvm_status read_ranges(void *state, struct cvm_error *err)
{
    struct reader *reader = state;
    struct cvm_table_input *input = reader->input;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && !is_stopped(input)) {
        size_t number = atomic_fetch_add(&input->range_next, 1);
        if (number >= input->plan.range_count) {
            break;
        }
        status = read_range(reader, number, err);
    }
    cvm_db_close(reader->db);
    reader->db = NULL;
    if (status != CVM_OK) {
        atomic_store(&input->is_stopped, true);
    }
    if (atomic_fetch_sub(&input->readers_left, 1) == 1 || status != CVM_OK) {
        cvm_queue_close(input->full_blocks);
        cvm_queue_close(input->free_blocks);
    }
    return status;
}

/* ---- the input ---- */

static enum cvm_status join(struct cvm_table_input *input, struct cvm_error *err)
{
    enum cvm_status first = CVM_OK;
    for (size_t r = 0; r < input->reader_count; r++) {
        struct cvm_error failure;
        enum cvm_status status = cvm_thread_join(input->readers[r].thread, &failure);
        input->readers[r].thread = NULL;
        if (first == CVM_OK && status != CVM_OK) {
            first = status;
            if (err != NULL) {
                *err = failure;
            }
        }
    }
    return first;
}

static enum cvm_status next_block(struct cvm_record_input *records,
                                  struct cvm_record_block *out_block, bool *out_has_block,
                                  struct cvm_error *err)
{
    struct cvm_table_input *input = (struct cvm_table_input *)records;
    void *taken = NULL;
    if (cvm_queue_pop(input->full_blocks, &taken)) {
        *out_block = *(struct cvm_record_block *)taken;
        *out_has_block = true;
        return CVM_OK;
    }
    enum cvm_status status = join(input, err);
    if (status == CVM_OK) {
        *out_has_block = false;
    }
    return status;
}

static void release_block(struct cvm_record_input *records, struct cvm_record_block *block)
{
    struct cvm_table_input *input = (struct cvm_table_input *)records;
    for (size_t b = 0; b < input->options.block_count; b++) {
        if (input->blocks[b].data == block->data) {
            (void)cvm_queue_push(input->free_blocks, &input->blocks[b]);
            return;
        }
    }
}

static double progress(const struct cvm_record_input *records)
{
    const struct cvm_table_input *input = (const struct cvm_table_input *)records;
    return input->plan.range_count < 2
               ? -1
               : (double)atomic_load(&input->ranges_done) / (double)input->plan.range_count;
}

/* ---- life ---- */

static enum cvm_status create_blocks(struct cvm_table_input *input, struct cvm_error *err)
{
    const struct cvm_table_input_options *options = &input->options;
    /* A block is handed over when the row that filled it is in it. */
    input->block_bytes_max = options->block_bytes + options->record_bytes_max + 2;
    input->blocks = calloc(options->block_count, sizeof(*input->blocks));
    input->free_blocks = cvm_queue_create(options->block_count);
    input->full_blocks = cvm_queue_create(options->block_count);
    bool is_good =
        input->blocks != NULL && input->free_blocks != NULL && input->full_blocks != NULL;
    for (size_t b = 0; is_good && b < options->block_count; b++) {
        input->blocks[b] = (struct cvm_record_block){
            .source = input->source,
            .file = input->plan.name,
            .format = CVM_RECORDS_NDJSON,
            .data = calloc(1, input->block_bytes_max + CVM_JSON_PADDING),
        };
        is_good =
            input->blocks[b].data != NULL && cvm_queue_push(input->free_blocks, &input->blocks[b]);
    }
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory to read %s", input->plan.name);
}

static enum cvm_status make_plan(struct cvm_table_input *input, size_t readers,
                                 struct cvm_error *err)
{
    struct cvm_table_plan connecting = {.table = input->options.table};
    struct cvm_db *db = NULL;
    enum cvm_status status = cvm_table_connect(&connecting, &input->options.table->retry, &db, err);
    if (status == CVM_OK) {
        status = cvm_table_plan_make(&input->options, db, input->arena, &input->plan, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_table_plan_cut(&input->plan, db, input->arena, readers * RANGES_PER_READER, err);
    }
    cvm_db_close(db);
    return status;
}

static enum cvm_status start_readers(struct cvm_table_input *input, struct cvm_error *err)
{
    struct cvm_retry_means means = cvm_retry_means_system();
    enum cvm_status status = CVM_OK;
    means.cancelled = input->options.context->cancelled;
    input->readers = calloc(input->reader_count, sizeof(*input->readers));
    if (input->readers == NULL) {
        input->reader_count = 0;
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read %s", input->plan.name);
    }
    atomic_init(&input->readers_left, input->reader_count);
    for (size_t r = 0; r < input->reader_count; r++) {
        struct reader *reader = &input->readers[r];
        reader->input = input;
        means.seed++;
        cvm_retry_start(&reader->retry, &input->options.table->retry, &means);
        cvm_text_init(&reader->sql, 0);
        cvm_text_init(&reader->line, 0);
        cvm_text_init(&reader->rows, 0);
        cvm_text_init(&reader->key_text, 0);
        cvm_text_init(&reader->done_text, 0);
    }
    for (size_t r = 0; status == CVM_OK && r < input->reader_count; r++) {
        status = cvm_thread_start(read_ranges, &input->readers[r], &input->readers[r].thread, err);
    }
    return status;
}

enum cvm_status cvm_table_input_open(const struct cvm_table_input_options *options,
                                     struct cvm_table_input **out_input, struct cvm_error *err)
{
    size_t readers = options->table->readers == 0 ? READERS_DEFAULT : options->table->readers;
    struct cvm_table_input *input = calloc(1, sizeof(*input));
    if (input == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a table");
    }
    input->records = (struct cvm_record_input){
        .next = next_block, .release = release_block, .progress = progress};
    input->options = *options;
    readers = readers < READERS_MAX ? readers : READERS_MAX;
    input->arena = cvm_arena_create(PLAN_BYTES_MAX);
    enum cvm_status status = input->arena == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a table")
                                 : make_plan(input, readers, err);
    if (status == CVM_OK) {
        input->source = cvm_catalogue_source(options->catalogue, options->table->source);
        input->reader_count = readers < input->plan.range_count ? readers : input->plan.range_count;
        status = create_blocks(input, err);
    }
    if (status == CVM_OK) {
        status = start_readers(input, err);
    }
    if (status != CVM_OK) {
        cvm_table_input_close(input);
        return status;
    }
    *out_input = input;
    return CVM_OK;
}

void cvm_table_input_close(struct cvm_table_input *input)
{
    if (input == NULL) {
        return;
    }
    atomic_store(&input->is_stopped, true);
    if (input->readers != NULL) {
        cvm_queue_close(input->free_blocks);
        cvm_queue_close(input->full_blocks);
        (void)join(input, NULL);
    }
    for (size_t r = 0; input->readers != NULL && r < input->reader_count; r++) {
        cvm_text_finish(&input->readers[r].sql);
        cvm_text_finish(&input->readers[r].line);
        cvm_text_finish(&input->readers[r].rows);
        cvm_text_finish(&input->readers[r].key_text);
        cvm_text_finish(&input->readers[r].done_text);
    }
    free(input->readers);
    for (size_t b = 0; input->blocks != NULL && b < input->options.block_count; b++) {
        free(input->blocks[b].data);
    }
    free(input->blocks);
    cvm_queue_destroy(input->free_blocks);
    cvm_queue_destroy(input->full_blocks);
    cvm_arena_destroy(input->arena);
    free(input);
}

struct cvm_record_input *cvm_table_input_records(struct cvm_table_input *input)
{
    return &input->records;
}
