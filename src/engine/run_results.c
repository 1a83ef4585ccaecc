#include "engine/run_results.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/file.h"
#include "engine/run_internal.h"
#include "journey/summary.h"

#define ALTERNATIVES 2

struct results_file {
    struct cvm_engine *engine;
    const struct cvm_run_result *result;
    const struct cvm_run_file_options *options;
    const struct cvm_feature_program *program;
    FILE *stream;
    bool is_lines; /* .ndjson */
    int64_t written;
    int64_t stored_customers; /* found in stored blocks */
    /* of the block at hand */
    struct cvm_values_view view;
    struct cvm_text
        *texts; /* per part of the block, so that parts made in parallel are written in order */
};

static const struct cvm_run_decision *find_in(const struct cvm_run_decision *decisions,
                                              size_t count, uint64_t key)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (decisions[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && decisions[low].key == key ? &decisions[low] : NULL;
}

struct offer {
    size_t treatment;
    double value;
    double price;
};

/* The permitted treatments with the best value minus price, without the chosen one; at most
 * ALTERNATIVES. */
static size_t best_alternatives(const struct results_file *file, size_t row, int chosen,
                                struct offer best[ALTERNATIVES])
{
    size_t count = 0;
    const struct cvm_usage_customer user = {
        .margin = (double)cvm_values_margin(&file->view, row),
        .groups = cvm_values_groups(&file->view, row),
    };
    for (size_t t = 0; t < file->view.treatment_count; t++) {
        if ((int)t == chosen || cvm_values_reason(&file->view, row, t) != CVM_REASON_PERMITTED) {
            continue;
        }
        struct offer offer = {
            t, cvm_values_value(&file->view, row, t),
            cvm_usage_price(file->result->catalogue, file->result->prices, t, &user)};
        size_t at = count < ALTERNATIVES ? count++ : ALTERNATIVES;
        while (at > 0 && best[at - 1].value - best[at - 1].price < offer.value - offer.price) {
            if (at < ALTERNATIVES) {
                best[at] = best[at - 1];
            }
            at--;
        }
        if (at < ALTERNATIVES) {
            best[at] = offer;
        }
    }
    return count;
}

/* Why nobody's treatment: what was asked for, else the offer that came closest, else the refusal of
 * the treatment that came furthest through the checks. */
static enum cvm_reason reason_of_nothing(const struct results_file *file, size_t row,
                                         const struct cvm_run_decision *ghost,
                                         const struct offer *best, size_t count)
{
    if (ghost != NULL) {
        return CVM_REASON_HELD_OUT;
    }
    int forced = file->result->forced_treatment;
    if (forced != CVM_INDEX_NONE) {
        unsigned char refusal = cvm_values_reason(&file->view, row, (size_t)forced);
        return refusal == CVM_REASON_PERMITTED ? CVM_REASON_NO_CAPACITY : (enum cvm_reason)refusal;
    }
    if (count > 0) {
        return best[0].value <= 0                   ? CVM_REASON_NO_VALUE
               : best[0].value - best[0].price <= 0 ? CVM_REASON_BELOW_PRICE
                                                    : CVM_REASON_NO_CAPACITY;
    }
    unsigned char reason = 0;
    for (size_t t = 0; t < file->view.treatment_count; t++) {
        unsigned char refusal = cvm_values_reason(&file->view, row, t);
        if (refusal == CVM_REASON_ALREADY_DECIDED || refusal == CVM_REASON_NO_CONSENT_RECORD) {
            return (enum cvm_reason)refusal;
        }
        if (refusal == CVM_REASON_HELD_OUT || refusal == CVM_REASON_HOUSEHOLD) {
            return (enum cvm_reason)refusal; /* it had passed every check */
        }
        bool is_check = refusal <= CVM_REASON_NOT_SUITABLE;
        bool is_further = is_check && (refusal > reason || reason > CVM_REASON_NOT_SUITABLE);
        reason = t == 0 || is_further ? refusal : reason;
    }
    bool is_told = file->view.treatment_count > 0 && reason < CVM_REASON_COUNT;
    return is_told ? (enum cvm_reason)reason : CVM_REASON_NO_VALUE;
}

static double confidence_of(double value, double sd)
{
    return sd > 0 ? 0.5 * erfc(-value / (sd * sqrt(2.0))) : value > 0;
}

static void write_explanation(const struct results_file *file,
                              const struct cvm_run_decision *decision, enum cvm_reason reason,
                              struct cvm_json_writer *json)
{
    struct cvm_text text;
    cvm_text_init(&text, 4096);
    if (decision != NULL) {
        cvm_text_add_format(
            &text, "%s: worth %.2f (sd %.2f) after its costs, price of scarce means %.2f. %s",
            file->result->catalogue->treatments[decision->treatment].display_name, decision->value,
            decision->sd, decision->price, cvm_reason_sentence(reason));
    } else {
        cvm_text_add_format(&text, "%s: %s", file->result->catalogue->ignore.display_name,
                            cvm_reason_sentence(reason));
    }
    cvm_json_key_string(json, "explanation", cvm_text_string(&text));
    cvm_text_finish(&text);
}

static void write_alternatives(const struct results_file *file, const struct offer *best,
                               size_t count, struct cvm_json_writer *json)
{
    cvm_json_key(json, "alternatives");
    cvm_json_array(json);
    for (size_t i = 0; i < count; i++) {
        cvm_json_object(json);
        cvm_json_key_string(json, "treatment",
                            file->result->catalogue->treatments[best[i].treatment].id);
        cvm_json_key_double(json, "value", best[i].value);
        cvm_json_key_double(json, "price", best[i].price);
        cvm_json_key_double(json, "margin", best[i].value - best[i].price);
        cvm_json_object_end(json);
    }
    cvm_json_array_end(json);
}

static enum cvm_status write_journey(const struct results_file *file, const struct cvm_chunk *chunk,
                                     size_t i, struct cvm_arena *arena,
                                     struct cvm_json_writer *json, struct cvm_error *err)
{
    struct cvm_feature_values features = {chunk->features + i, chunk->capacity,
                                          file->result->as_of_day};
    struct cvm_journey_insight *insights = NULL;
    struct cvm_text summary;
    size_t count = 0;
    cvm_arena_reset(arena);
    enum cvm_status status =
        cvm_journey_insights(file->result->catalogue, features, arena, &insights, &count, err);
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&summary, 1 << 16);
    cvm_journey_summary(file->result->catalogue, features, &summary);
    cvm_json_key_string(json, "journey_summary", cvm_text_string(&summary));
    cvm_text_finish(&summary);
    cvm_json_key(json, "journey_insights");
    cvm_json_array(json);
    for (size_t n = 0; n < count; n++) {
        cvm_json_string(json, insights[n].sentence);
    }
    cvm_json_array_end(json);
    return CVM_OK;
}

/* How and when, and the arm of the experiment: also of who was left with nothing for it. */
static void write_contact(const struct cvm_run_decision *decision,
                          const struct cvm_run_decision *ghost, struct cvm_json_writer *json)
{
    char earliest[CVM_MOMENT_TEXT_SIZE];
    char latest[CVM_MOMENT_TEXT_SIZE];
    const struct cvm_run_decision *either = decision != NULL ? decision : ghost;
    bool has_window = decision != NULL && decision->latest_ms != 0;
    cvm_json_key_string(json, "channel",
                        decision == NULL ? NULL : cvm_channel_words[decision->channel]);
    cvm_json_key_string(json, "earliest_at",
                        has_window ? cvm_moment_format(decision->earliest_ms, earliest) : NULL);
    cvm_json_key_string(json, "latest_at",
                        has_window ? cvm_moment_format(decision->latest_ms, latest) : NULL);
    cvm_json_key_string(json, "arm", either == NULL ? NULL : either->arm);
}

/* Customers that the run's trigger does not find have no entries. */
static bool is_unselected(const struct results_file *file, size_t row)
{
    return file->view.treatment_count > 0 &&
           cvm_values_reason(&file->view, row, 0) == CVM_REASON_NOT_SELECTED;
}

static enum cvm_status write_entry(const struct results_file *file, const struct cvm_chunk *chunk,
                                   size_t i, struct cvm_arena *arena, struct cvm_json_writer *json,
                                   struct cvm_error *err)
{
    const struct cvm_run_result *result = file->result;
    const struct cvm_run_decision *decision =
        find_in(result->decisions, result->decision_count, chunk->keys[i]);
    const struct cvm_run_decision *ghost =
        find_in(result->ghosts, result->ghost_count, chunk->keys[i]);
    size_t row = cvm_values_find(&file->view, chunk->keys[i]);
    char decision_id[CVM_DECISION_ID_SIZE];
    char moment[CVM_MOMENT_TEXT_SIZE];
    struct offer best[ALTERNATIVES];
    if (row == SIZE_MAX || (decision == NULL && !file->options->includes_everybody) ||
        is_unselected(file, row)) {
        return CVM_OK;
    }
    size_t count = best_alternatives(file, row, decision == NULL ? -1 : decision->treatment, best);
    enum cvm_reason reason =
        decision != NULL ? decision->reason : reason_of_nothing(file, row, ghost, best, count);
    cvm_json_object(json);
    cvm_json_key_string(json, "customer_id", cvm_chunk_id(chunk, i));
    cvm_json_key_string(json, "selected_treatment",
                        decision == NULL
                            ? file->result->catalogue->ignore.id
                            : file->result->catalogue->treatments[decision->treatment].id);
    cvm_json_key_string(json, "status", "success");
    cvm_json_key_double(json, "value", decision == NULL ? 0 : decision->value);
    cvm_json_key_double(json, "price", decision == NULL ? 0 : decision->price);
    cvm_json_key_string(json, "reason", cvm_reason_name(reason));
    write_explanation(file, decision, reason, json);
    cvm_json_key(json, "confidence");
    if (decision != NULL) {
        cvm_json_double(json, confidence_of(decision->value, decision->sd));
    } else {
        cvm_json_null(json);
    }
    write_alternatives(file, best, count, json);
    enum cvm_status status = write_journey(file, chunk, i, arena, json, err);
    write_contact(decision, ghost, json);
    cvm_json_key_string(
        json, "decision_id",
        decision == NULL ? NULL : cvm_decision_id(result->run_id, chunk->keys[i], decision_id));
    cvm_json_key_string(json, "timestamp", cvm_moment_format(file->result->created_at_ms, moment));
    cvm_json_object_end(json);
    return status;
}

static enum cvm_status write_chunk(void *state, size_t part, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    struct results_file *file = state;
    struct cvm_text *text = &file->texts[part];
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    enum cvm_status status = CVM_OK;
    (void)worker;
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for results");
    }
    for (size_t i = 0; status == CVM_OK && i < chunk->count; i++) {
        struct cvm_json_writer json;
        size_t before = text->length;
        cvm_text_add(text, file->is_lines ? "" : ",\n");
        size_t start = text->length;
        cvm_json_init(&json, text, false);
        status = write_entry(file, chunk, i, arena, &json, err);
        if (text->length == start) {
            text->length = before;
        } else if (file->is_lines) {
            cvm_text_add_char(text, '\n');
        }
    }
    cvm_arena_destroy(arena);
    if (status == CVM_OK && text->failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for results");
    }
    return status;
}

enum cvm_status cvm_run_entry_write(const struct cvm_run_result *result,
                                    const struct cvm_values_view *view,
                                    const struct cvm_chunk *chunk, size_t i,
                                    struct cvm_json_writer *json, struct cvm_error *err)
{
    struct cvm_run_file_options options = {.includes_everybody = true};
    struct results_file file = {.result = result, .options = &options, .view = *view};
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    if (arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a result");
    }
    enum cvm_status status = write_entry(&file, chunk, i, arena, json, err);
    cvm_arena_destroy(arena);
    return status;
}

static enum cvm_status put(struct results_file *file, const char *data, size_t length,
                           struct cvm_error *err)
{
    if (length > 0 && fwrite(data, 1, length, file->stream) != length) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "cannot write '%s': %s", file->options->path,
                        strerror(errno));
    }
    return CVM_OK;
}

/* The entries of one stored block: its key range is cut in as many parts as there are workers. */
static enum cvm_status write_block(void *state, const struct cvm_value_block *block,
                                   struct cvm_error *err)
{
    struct results_file *file = state;
    size_t parts = block->customers > 1 ? file->engine->worker_count : 1;
    struct cvm_shard shards[256];
    if (parts > sizeof(shards) / sizeof(shards[0])) {
        parts = sizeof(shards) / sizeof(shards[0]);
    }
    uint64_t width = (block->last_key - block->first_key) / parts + 1;
    for (size_t i = 0; i < parts; i++) {
        shards[i].first_key = block->first_key + width * i;
        shards[i].last_key =
            i + 1 == parts ? block->last_key : block->first_key + width * (i + 1) - 1;
        cvm_text_clear(&file->texts[i]);
    }
    struct cvm_scan_request scan = {
        .program = file->program,
        .shards = shards,
        .shard_count = parts,
        .on_chunk = write_chunk,
        .state = file,
    };
    enum cvm_status status = cvm_engine_scan(file->engine, &scan, err);
    for (size_t i = 0; status == CVM_OK && i < parts; i++) {
        const char *data = file->texts[i].data;
        size_t length = file->texts[i].length;
        if (!file->is_lines && file->written == 0 && length > 0) {
            data += 2; /* no comma before the first entry */
            length -= 2;
        }
        file->written += (int64_t)length;
        status = put(file, data, length, err);
    }
    return status;
}

static enum cvm_status write_stored_block(void *state, const struct cvm_value_block *block,
                                          struct cvm_error *err)
{
    struct results_file *file = state;
    enum cvm_status status = cvm_values_open(block->body, block->length, &file->view, err);
    file->stored_customers += block->customers;
    return status == CVM_OK ? write_block(state, block, err) : status;
}

/* A run of an earlier day, loaded: its values may have made room for those of newer runs. */
static enum cvm_status write_stored_blocks(struct results_file *file, struct cvm_error *err)
{
    const struct cvm_run_result *result = file->result;
    enum cvm_status status =
        cvm_value_block_scan(file->options->store, result->run_id, write_stored_block, file, err);
    if (status == CVM_OK && file->stored_customers < result->customers) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "run '%s' was done before, and its values are no longer kept for a file",
                          result->run_id);
        return cvm_error_hint(err, status,
                              "Use --replace to decide anew; keep_runs in cvm.yaml says how many "
                              "runs are kept.");
    }
    return status;
}

static enum cvm_status write_blocks(struct results_file *file, struct cvm_error *err)
{
    const struct cvm_run_memory *memory = file->result->memory;
    enum cvm_status status = CVM_OK;
    if (memory->values == NULL) {
        return write_stored_blocks(file, err);
    }
    for (size_t s = 0; status == CVM_OK && s < memory->shard_count; s++) {
        struct cvm_value_block block = {
            .first_key = memory->shards[s].first_key,
            .last_key = memory->shards[s].last_key,
            .customers = (int64_t)memory->values[s].count,
        };
        file->view = cvm_values_view_of(&memory->values[s]);
        if (block.customers > 0) {
            status = write_block(file, &block, err);
        }
    }
    return status;
}

static enum cvm_status write_unknown(struct results_file *file, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < file->result->unknown_count; i++) {
        struct cvm_text text;
        struct cvm_json_writer json;
        cvm_text_init(&text, 1 << 16);
        cvm_text_add(&text, file->is_lines || file->written == 0 ? "" : ",\n");
        cvm_json_init(&json, &text, false);
        cvm_run_unknown_entry(file->result, file->result->unknown_ids[i], &json);
        cvm_text_add(&text, file->is_lines ? "\n" : "");
        file->written += (int64_t)text.length;
        status = put(file, cvm_text_string(&text), text.length, err);
        cvm_text_finish(&text);
    }
    return status;
}

void cvm_run_unknown_entry(const struct cvm_run_result *result, const char *customer_id,
                           struct cvm_json_writer *json)
{
    char moment[CVM_MOMENT_TEXT_SIZE];
    cvm_json_object(json);
    cvm_json_key_string(json, "customer_id", customer_id);
    cvm_json_key_string(json, "selected_treatment", result->catalogue->ignore.id);
    cvm_json_key_string(json, "status", "error");
    cvm_json_key_double(json, "value", 0);
    cvm_json_key_double(json, "price", 0);
    cvm_json_key_string(json, "reason", cvm_reason_name(CVM_REASON_NOT_FOUND));
    cvm_json_key_string(json, "explanation", cvm_reason_sentence(CVM_REASON_NOT_FOUND));
    cvm_json_key(json, "confidence");
    cvm_json_null(json);
    cvm_json_key(json, "alternatives");
    cvm_json_array(json);
    cvm_json_array_end(json);
    cvm_json_key_string(json, "journey_summary", NULL);
    cvm_json_key(json, "journey_insights");
    cvm_json_array(json);
    cvm_json_array_end(json);
    cvm_json_key_string(json, "arm", NULL);
    cvm_json_key_string(json, "decision_id", NULL);
    cvm_json_key_string(json, "timestamp", cvm_moment_format(result->created_at_ms, moment));
    cvm_json_object_end(json);
}

static enum cvm_status write_contents(struct results_file *file, struct cvm_error *err)
{
    struct cvm_text summary;
    struct cvm_json_writer json;
    const char *open = file->is_lines ? "" : "{\"results\":[\n";
    enum cvm_status status = put(file, open, strlen(open), err);
    if (status == CVM_OK) {
        status = write_blocks(file, err);
    }
    if (status == CVM_OK) {
        status = write_unknown(file, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    cvm_text_init(&summary, 0);
    cvm_text_add(&summary, file->is_lines ? "{\"summary\":" : "\n],\n\"summary\":");
    cvm_json_init(&json, &summary, false);
    cvm_run_summary_write(file->result, &json);
    cvm_text_add(&summary, "}\n");
    status = summary.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a summary")
                            : put(file, summary.data, summary.length, err);
    cvm_text_finish(&summary);
    return status;
}

static enum cvm_status write_whole(struct results_file *file, struct cvm_error *err)
{
    struct cvm_file_out *out = NULL;
    enum cvm_status status = cvm_file_out_open(file->options->path, &out, err);
    if (status == CVM_OK) {
        file->stream = cvm_file_out_stream(out);
        status = write_contents(file, err);
    }
    if (status == CVM_OK) {
        status = cvm_file_out_commit(out, err);
    }
    cvm_file_out_close(out);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

#define DOCUMENT_CUSTOMERS_MAX 100000

enum cvm_status cvm_run_write_file(struct cvm_engine *engine, const struct cvm_run_result *result,
                                   const struct cvm_run_file_options *options,
                                   struct cvm_error *err)
{
    struct results_file file = {.engine = engine, .result = result, .options = options};
    struct cvm_feature_program *program = NULL;
    size_t entries =
        options->includes_everybody ? (size_t)result->customers : result->decision_count;
    file.is_lines = ends_with(options->path, ".ndjson");
    if (!file.is_lines && entries > DOCUMENT_CUSTOMERS_MAX) {
        enum cvm_status limit =
            CVM_FAIL(err, CVM_E_LIMIT, "%zu entries are too many for one JSON document", entries);
        return cvm_error_hint(err, limit, "Use a path that ends in .ndjson.");
    }
    file.texts = calloc(engine->worker_count + 1, sizeof(*file.texts));
    enum cvm_status status =
        file.texts == NULL
            ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for results")
            : cvm_feature_program_create(
                  engine->catalogue,
                  (struct cvm_feature_window){result->as_of_day, result->since_day, NULL}, &program,
                  err);
    if (status == CVM_OK) {
        file.program = program;
        for (size_t i = 0; i < engine->worker_count; i++) {
            cvm_text_init(&file.texts[i], 0);
        }
        const struct cvm_pending *lent = engine->pending;
        engine->pending = &result->memory->pending;
        status = write_whole(&file, err);
        engine->pending = lent;
        for (size_t i = 0; i < engine->worker_count; i++) {
            cvm_text_finish(&file.texts[i]);
        }
    }
    cvm_feature_program_destroy(program);
    free(file.texts);
    return status;
}
