#include "storage/import.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"
#include "base/csv.h"
#include "base/date.h"
#include "storage/audit.h"
#include "storage/customers.h"
#include "storage/db_sql.h"
#include "storage/erase.h"
#include "storage/import_file.h"
#include "storage/import_map.h"
#include "storage/import_merge.h"
#include "storage/import_report.h"
#include "storage/import_table.h"
#include "storage/retention.h"

#define RECORD_BYTES_DEFAULT ((size_t)1 << 20)
#define RECORD_BYTES_MAX     ((size_t)256 << 20)
#define MEMORY_BYTES_DEFAULT ((size_t)512 << 20)
#define BLOCK_BYTES_DEFAULT  ((size_t)1 << 20)
#define PLAN_BYTES_MAX       ((size_t)64 << 20)

/* A block on its way from the reader to a worker. */
struct block_slot {
    struct cvm_record_block block;
    uint32_t file;
};

struct worker {
    struct cvm_mapper *mapper;
    struct cvm_sorter *sorter;
    struct cvm_arena *csv_arena;
};

struct importing {
    struct cvm_store *store;
    const struct cvm_catalogue *catalogue;
    struct cvm_import_options options; /* with the defaults filled in */
    struct cvm_pool *pool;
    const struct cvm_context *context;
    struct cvm_record_input *input;

    struct cvm_arena *arena;
    const struct cvm_import_plan *plan;
    struct cvm_import_view view;
    struct cvm_erased_set erased;
    int32_t first_days[CVM_SOURCES_MAX]; /* that are kept */
    struct cvm_import_rejects *rejects;
    struct cvm_import_rejecting rejecting;
    struct worker *workers;
    struct cvm_sorter **sorters;
    size_t worker_count;

    struct block_slot *slots;
    struct cvm_queue *free_slots;
    struct cvm_queue *full_slots;
    struct cvm_column files; /* const char *, by number */
    atomic_bool is_stopped;
    atomic_llong records_read;
    int64_t rejected_later[CVM_SOURCES_MAX]; /* while merging */
    bool is_batch_open;
    double seconds_parse;
    double seconds_store;
    struct cvm_import_seconds merging;
};

enum cvm_status cvm_record_input_reject(struct cvm_record_input *input,
                                        const struct cvm_record_reject *reject,
                                        struct cvm_error *err)
{
    input->rejecting->counts[reject->source]++;
    return cvm_import_rejects_add(input->rejecting->rejects, reject, err);
}

/* ---- reading ---- */

static enum cvm_status number_file(struct importing *im, const char *name, uint32_t *out_number,
                                   struct cvm_error *err)
{
    const char **files = CVM_COLUMN_DATA(&im->files, const char *);
    for (size_t f = im->files.count; f-- > 0;) { /* mostly the last one */
        if (strcmp(files[f], name) == 0) {
            *out_number = (uint32_t)f;
            return CVM_OK;
        }
    }
    void *room = NULL;
    const char *copy = cvm_arena_string(im->arena, name);
    enum cvm_status status = copy == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the names of files")
                                 : cvm_column_extend(&im->files, 1, &room, err);
    if (status == CVM_OK) {
        *(const char **)room = copy;
        *out_number = (uint32_t)(im->files.count - 1);
    }
    return status;
}

static enum cvm_status read_blocks(void *state, struct cvm_error *err)
{
    struct importing *im = state;
    enum cvm_status status = CVM_OK;
    bool has_block = true;
    void *taken = NULL;
    while (status == CVM_OK && has_block && !atomic_load(&im->is_stopped) &&
           cvm_queue_pop(im->free_slots, &taken)) {
        struct block_slot *slot = taken;
        status = im->input->next(im->input, &slot->block, &has_block, err);
        if (status != CVM_OK || !has_block) {
            break;
        }
        status = number_file(im, slot->block.file, &slot->file, err);
        if (status != CVM_OK) {
            im->input->release(im->input, &slot->block);
            break;
        }
        (void)cvm_queue_push(im->full_slots, slot); /* closed below only */
    }
    if (status != CVM_OK) {
        atomic_store(&im->is_stopped, true);
    }
    cvm_queue_close(im->full_slots);
    return status;
}

/* ---- mapping ---- */

static enum cvm_status reject_record(struct importing *im, const struct block_slot *slot,
                                     int64_t number, struct cvm_slice text, const char *reason,
                                     struct cvm_error *err)
{
    struct cvm_record_reject reject = {
        .source = slot->block.source,
        .file = slot->block.file,
        .record = number,
        .reason = reason,
        .text = text.data,
        .length = text.length,
    };
    return cvm_import_rejects_add(im->rejects, &reject, err);
}

static enum cvm_status import_record(struct importing *im, struct worker *worker,
                                     const struct block_slot *slot, int64_t number,
                                     struct cvm_slice text, struct cvm_error *err)
{
    const struct cvm_import_record *record = NULL;
    struct cvm_error reason;
    enum cvm_status status = CVM_OK;
    if (text.length > im->options.record_bytes_max) {
        struct cvm_import_counts *counts = cvm_mapper_counts(worker->mapper, slot->block.source);
        counts->read++;
        counts->rejected++;
        status = CVM_FAIL(&reason, CVM_E_LIMIT, "the record is longer than %zu bytes",
                          im->options.record_bytes_max);
    } else {
        status = cvm_mapper_map(worker->mapper, text.data, text.length, slot->file, number, &record,
                                &reason);
    }
    if (status == CVM_OK) {
        return record == NULL ? CVM_OK : cvm_sorter_add(worker->sorter, record, err);
    }
    if (status == CVM_E_CONFLICT) { /* what may not be kept is not kept in the rejects file */
        struct cvm_record_reject reject = {.source = slot->block.source,
                                           .file = slot->block.file,
                                           .record = number,
                                           .reason = reason.message};
        cvm_import_rejects_tell(im->rejects, &reject);
        return CVM_OK;
    }
    if (status != CVM_E_INVALID && status != CVM_E_LIMIT) {
        if (err != NULL) {
            *err = reason;
        }
        return status;
    }
    return reject_record(im, slot, number, text, reason.message, err);
}

/* A header that cannot be used rejects the records under it, one by one. */
static enum cvm_status import_block(struct importing *im, struct worker *worker,
                                    const struct block_slot *slot, struct cvm_error *err)
{
    const struct cvm_record_block *block = &slot->block;
    struct cvm_import_counts *counts = cvm_mapper_counts(worker->mapper, block->source);
    struct cvm_error header_error;
    enum cvm_status started = cvm_mapper_start(worker->mapper, block, &header_error);
    enum cvm_status status = CVM_OK;
    int64_t number = block->first_record;
    for (size_t at = 0; status == CVM_OK && at < block->length;) {
        struct cvm_slice text = cvm_record_block_next(block, &at);
        if (text.length == 0) {
            continue;
        }
        if (started == CVM_OK) {
            status = import_record(im, worker, slot, number, text, err);
        } else {
            counts->read++;
            counts->rejected++;
            status = reject_record(im, slot, number, text, header_error.message, err);
        }
        number++;
    }
    (void)atomic_fetch_add(&im->records_read, number - block->first_record);
    return status;
}

static void report_reading(const struct importing *im)
{
    if (im->options.on_progress != NULL) {
        double fraction = im->input->progress == NULL ? -1 : im->input->progress(im->input);
        im->options.on_progress(im->options.progress_state, "read", fraction,
                                atomic_load(&im->records_read));
    }
}

/* Each worker takes blocks until there are no more; after a failure it only gives them back. */
static enum cvm_status map_blocks(void *state, size_t item, size_t number, struct cvm_error *err)
{
    struct importing *im = state;
    struct worker *worker = &im->workers[number];
    enum cvm_status status = CVM_OK;
    void *taken = NULL;
    (void)item;
    while (cvm_queue_pop(im->full_slots, &taken)) {
        struct block_slot *slot = taken;
        if (status == CVM_OK && !atomic_load(&im->is_stopped)) {
            status = cvm_context_check(im->context, err);
            status = status == CVM_OK ? import_block(im, worker, slot, err) : status;
        }
        if (status != CVM_OK) {
            atomic_store(&im->is_stopped, true);
        }
        im->input->release(im->input, &slot->block);
        (void)cvm_queue_push(im->free_slots, slot);
        if (number == 0) {
            report_reading(im);
        }
    }
    if (status == CVM_OK) {
        cvm_sorter_finish(worker->sorter);
    }
    return status;
}

static enum cvm_status read_and_map(struct importing *im, struct cvm_error *err)
{
    struct cvm_thread *reader = NULL;
    struct cvm_error reader_error;
    enum cvm_status status = cvm_thread_start(read_blocks, im, &reader, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_pool_run(im->pool, im->worker_count, map_blocks, im, err);
    enum cvm_status reading = cvm_thread_join(reader, &reader_error);
    if (status == CVM_OK && reading != CVM_OK) {
        status = reading;
        if (err != NULL) {
            *err = reader_error;
        }
    }
    return status;
}

/* ---- the batch ---- */

static enum cvm_status put_meta(struct cvm_db *journeys, const char *name, const char *value,
                                struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(name), cvm_db_text(value)};
    return value == NULL ? cvm_db_exec(journeys, cvm_db_sql(journeys, CVM_SQL_IMPORT_META_REMOVE),
                                       params, 1, NULL, err)
                         : cvm_db_exec(journeys, cvm_db_sql(journeys, CVM_SQL_IMPORT_META_PUT),
                                       params, 2, NULL, err);
}

static enum cvm_status add_sources(struct importing *im, struct cvm_error *err)
{
    struct cvm_db *db = im->view.db;
    int32_t highest = 0;
    enum cvm_status status = cvm_import_highest_source(db, &highest, err);
    for (size_t s = 0; status == CVM_OK && s < im->catalogue->source_count; s++) {
        if (im->view.numbers[s] < 0) {
            struct cvm_db_value params[] = {cvm_db_int(++highest),
                                            cvm_db_text(im->catalogue->sources[s].name)};
            status =
                cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_SOURCE_ADD), params, 2, NULL, err);
            im->view.numbers[s] = highest;
        }
    }
    return status;
}

static const char *who_of(const struct importing *im)
{
    return im->options.who == NULL ? "import" : im->options.who;
}

static enum cvm_status insert_batch(struct importing *im, struct cvm_error *err)
{
    struct cvm_db *db = im->view.db;
    int64_t now = cvm_store_now_ms(im->store);
    struct cvm_db_value abandon[] = {cvm_db_int(now)};
    struct cvm_db_value open[] = {cvm_db_int(im->view.batch), cvm_db_int(im->catalogue->version),
                                  cvm_db_int(now), cvm_db_text(who_of(im))};
    enum cvm_status status = cvm_db_begin(db, err);
    if (status == CVM_OK) {
        status =
            cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_BATCH_ABANDON), abandon, 1, NULL, err);
    }
    if (status == CVM_OK) {
        status = add_sources(im, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_BATCH_OPEN), open, 4, NULL, err);
    }
    if (status == CVM_OK) {
        status = cvm_db_commit(db, err);
    }
    if (status != CVM_OK) {
        cvm_db_rollback(db);
    }
    return status;
}

static enum cvm_status mark_building(struct importing *im, struct cvm_error *err)
{
    struct cvm_db *journeys = cvm_store_journeys(im->store);
    char batch[24];
    (void)snprintf(batch, sizeof(batch), "%lld", (long long)im->view.batch);
    enum cvm_status status = cvm_db_begin(journeys, err);
    status = status == CVM_OK ? put_meta(journeys, "building", batch, err) : status;
    status = status == CVM_OK ? cvm_db_commit(journeys, err) : status;
    if (status != CVM_OK) {
        cvm_db_rollback(journeys);
    }
    return status;
}

/* Bodies of this batch are added to what the journey file holds, so that must be right first. */
static enum cvm_status open_batch(struct importing *im, struct cvm_error *err)
{
    bool is_current = false;
    enum cvm_status status = cvm_import_view_open(&im->view, im->store, im->catalogue, err);
    if (status != CVM_OK) {
        return status;
    }
    im->view.batch++;
    im->view.key_bits = im->options.key_bits;
    if (!im->options.allows_erased) {
        status = cvm_erased_set_read(im->store, im->arena, &im->erased, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status =
        cvm_packed_is_current(im->store, im->catalogue, im->view.last_closed, &is_current, err);
    if (status == CVM_OK && !is_current) {
        status = cvm_import_rebuild(im->store, im->catalogue, &im->options, im->context, err);
    }
    if (status == CVM_OK) {
        status = insert_batch(im, err);
    }
    if (status == CVM_OK) {
        im->is_batch_open = true;
        status = mark_building(im, err);
    }
    return status;
}

enum cvm_status cvm_import_journeys_done(struct cvm_db *journeys,
                                         const struct cvm_catalogue *catalogue, int64_t batch,
                                         int64_t changed_ms, struct cvm_error *err)
{
    char number[24];
    char changed[24];
    (void)snprintf(number, sizeof(number), "%lld", (long long)batch);
    (void)snprintf(changed, sizeof(changed), "%lld", (long long)changed_ms);
    enum cvm_status status = cvm_db_begin(journeys, err);
    status = status == CVM_OK ? put_meta(journeys, "batch", number, err) : status;
    status =
        status == CVM_OK ? put_meta(journeys, "data_digest", catalogue->data_digest, err) : status;
    if (status == CVM_OK && changed_ms != 0) {
        status = put_meta(journeys, "changed", changed, err);
    }
    status = status == CVM_OK ? put_meta(journeys, "building", NULL, err) : status;
    status = status == CVM_OK ? cvm_db_commit(journeys, err) : status;
    if (status != CVM_OK) {
        cvm_db_rollback(journeys);
    }
    return status;
}

static enum cvm_status add_audit(struct importing *im, const char *report, struct cvm_error *err)
{
    char object[40];
    (void)snprintf(object, sizeof(object), "batch %lld", (long long)im->view.batch);
    struct cvm_audit_row row = {
        .at_ms = cvm_store_now_ms(im->store),
        .who = who_of(im),
        .action = "import",
        .object = object,
        .why = "import",
        .after = report,
    };
    return cvm_audit_add(im->store, &row, err);
}

/* A first permission record is news of the import; a changed one is a change of its own. */
static enum cvm_status audit_consents(struct importing *im, struct cvm_error *err)
{
    struct cvm_db *db = im->view.db;
    int64_t changed = 0;
    for (size_t s = 0; s < im->catalogue->source_count; s++) {
        if (im->catalogue->sources[s].kind == CVM_SOURCE_CONSENT) {
            changed += im->view.changed[s];
        }
    }
    struct cvm_db_value params[] = {
        cvm_db_int(im->view.batch),
        cvm_db_int(cvm_store_now_ms(im->store)),
        cvm_db_text(who_of(im)),
    };
    return changed == 0 ? CVM_OK
                        : cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_CONSENT_AUDIT), params,
                                      CVM_DB_COUNT(params), NULL, err);
}

struct closing {
    struct importing *im;
    const struct cvm_import_report *report;
    const char *text; /* the report as JSON */
};

static enum cvm_status close_once(void *state, struct cvm_error *err)
{
    const struct closing *closing = state;
    struct importing *im = closing->im;
    struct cvm_db *db = im->view.db;
    int32_t first_day = im->view.first_day;
    int32_t last_day = im->view.last_day;
    struct cvm_db_value params[] = {
        cvm_db_int(im->view.batch),
        cvm_db_int(cvm_store_now_ms(im->store)),
        cvm_db_text(closing->text),
        first_day == CVM_DAY_NONE ? cvm_db_null() : cvm_db_int(first_day),
        last_day == CVM_DAY_NONE ? cvm_db_null() : cvm_db_int(last_day),
        /* What brings nothing new leaves the last batch, and so the same run, as it is. */
        cvm_db_text(closing->report->stored > 0 ? "closed" : "empty"),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_BATCH_CLOSE), params,
                                         CVM_DB_COUNT(params), NULL, err);
    if (status == CVM_OK) {
        status = add_audit(im, closing->text, err);
    }
    return status == CVM_OK ? audit_consents(im, err) : status;
}

static enum cvm_status close_batch(struct importing *im, const struct cvm_import_report *report,
                                   struct cvm_error *err)
{
    struct cvm_text text;
    struct cvm_json_writer writer;
    cvm_text_init(&text, 0);
    cvm_json_init(&writer, &text, false);
    cvm_import_report_write(report, im->catalogue, im->options.today, &writer);
    struct closing closing = {im, report, cvm_text_string(&text)};
    enum cvm_status status = text.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the report")
                                         : cvm_db_transact(im->view.db, close_once, &closing, err);
    cvm_text_finish(&text);
    return status;
}

/* After a failure: what was inserted does not count. Should this fail too, the next import does it.
 */
static void abandon_batch(struct importing *im)
{
    struct cvm_db *db = im->view.db;
    struct cvm_db_value params[] = {cvm_db_int(cvm_store_now_ms(im->store))};
    if (!im->is_batch_open) {
        return;
    }
    cvm_db_rollback(db);
    if (cvm_db_begin(db, NULL) == CVM_OK) {
        if (cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_IMPORT_BATCH_ABANDON), params, 1, NULL, NULL) !=
                CVM_OK ||
            cvm_db_commit(db, NULL) != CVM_OK) {
            cvm_db_rollback(db);
        }
    }
}

/* ---- the stages ---- */

static enum cvm_status merge(struct importing *im, struct cvm_error *err)
{
    struct cvm_sort_merge *sorted = NULL;
    int64_t count = 0;
    for (size_t w = 0; w < im->worker_count; w++) {
        count += cvm_sorter_count(im->sorters[w]);
    }
    if (count == 0) {
        return CVM_OK;
    }
    enum cvm_status status = cvm_sort_merge_open(im->sorters, im->worker_count,
                                                 im->options.memory_bytes / 8, &sorted, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_import_gathering gathering = {
        .merge = sorted,
        .rejects = im->rejects,
        .files = CVM_COLUMN_DATA(&im->files, const char *),
        .rejected = im->rejected_later,
        .erased = im->erased.count > 0 ? &im->erased : NULL,
    };
    struct cvm_import_merge stage = {
        .view = &im->view,
        .journeys = cvm_store_journeys(im->store),
        .plan = im->plan,
        .gathering = &gathering,
        .options = &im->options,
        .context = im->context,
        .record_count = count,
        .out_seconds = &im->merging,
    };
    status = cvm_import_merge_run(&stage, err);
    cvm_sort_merge_close(sorted);
    return status;
}

static enum cvm_status create_workers(struct importing *im, struct cvm_error *err)
{
    size_t slot_count = im->options.queue_blocks;
    struct cvm_mapper_options options = {
        .record_bytes_max = im->options.record_bytes_max,
        .key_bits = im->options.key_bits,
        .window = im->options.window,
        .first_days = im->first_days,
    };
    im->workers = calloc(im->worker_count, sizeof(*im->workers));
    im->sorters = calloc(im->worker_count, sizeof(*im->sorters));
    im->slots = calloc(slot_count, sizeof(*im->slots));
    im->free_slots = cvm_queue_create(slot_count);
    im->full_slots = cvm_queue_create(slot_count);
    im->rejects = cvm_import_rejects_create(im->options.rejects_path);
    im->rejecting.rejects = im->rejects;
    bool is_good = im->workers != NULL && im->sorters != NULL && im->slots != NULL &&
                   im->free_slots != NULL && im->full_slots != NULL && im->rejects != NULL;
    if (is_good) {
        cvm_import_rejects_listen(im->rejects, im->options.on_reject, im->options.reject_state);
    }
    for (size_t s = 0; is_good && s < slot_count; s++) {
        is_good = cvm_queue_push(im->free_slots, &im->slots[s]);
    }
    for (size_t w = 0; is_good && w < im->worker_count; w++) {
        im->workers[w].mapper = cvm_mapper_create(im->plan, &options);
        im->workers[w].sorter = cvm_sorter_create(im->options.memory_bytes / 2 / im->worker_count,
                                                  im->options.temporary_folder);
        im->sorters[w] = im->workers[w].sorter;
        is_good = im->workers[w].mapper != NULL && im->workers[w].sorter != NULL;
    }
    return is_good ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory to import");
}

static struct cvm_import_options with_defaults(const struct cvm_import_work *work)
{
    struct cvm_import_options o = *work->options;
    o.record_bytes_max = o.record_bytes_max == 0 ? RECORD_BYTES_DEFAULT : o.record_bytes_max;
    o.memory_bytes = o.memory_bytes == 0 ? MEMORY_BYTES_DEFAULT : o.memory_bytes;
    o.block_bytes = o.block_bytes == 0 ? BLOCK_BYTES_DEFAULT : o.block_bytes;
    o.queue_blocks =
        o.queue_blocks == 0 ? cvm_pool_thread_count(work->pool) * 2 + 2 : o.queue_blocks;
    o.key_bits = o.key_bits <= 0 || o.key_bits > 63 ? 63 : o.key_bits;
    return o;
}

/* Our own outcomes are always taken: whoever was contacted must not be contacted again. */
static enum cvm_status read_first_days(struct importing *im, struct cvm_error *err)
{
    struct cvm_retention retention;
    enum cvm_status status = cvm_retention_read(im->store, im->catalogue, &retention, err);
    for (size_t s = 0; status == CVM_OK && s < im->catalogue->source_count; s++) {
        im->first_days[s] = im->options.follows_outcomes
                                ? CVM_DAY_NONE
                                : cvm_retention_first_day(&retention, im->catalogue, s);
    }
    return status;
}

static enum cvm_status prepare(struct importing *im, struct cvm_error *err)
{
    struct cvm_import_options *o = &im->options;
    if (o->record_bytes_max > RECORD_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "record_bytes_max is at most %zu", RECORD_BYTES_MAX);
    }
    cvm_column_init(&im->files, sizeof(const char *));
    im->worker_count = cvm_pool_thread_count(im->pool);
    im->arena = cvm_arena_create(PLAN_BYTES_MAX);
    if (im->arena == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to import");
    }
    enum cvm_status status = cvm_import_plan_make(im->arena, im->catalogue, &im->plan, err);
    if (status == CVM_OK) {
        status = read_first_days(im, err);
    }
    return status == CVM_OK ? create_workers(im, err) : status;
}

static void finish(struct importing *im)
{
    for (size_t w = 0; im->workers != NULL && w < im->worker_count; w++) {
        cvm_mapper_destroy(im->workers[w].mapper);
        cvm_sorter_destroy(im->workers[w].sorter);
    }
    free(im->workers);
    free(im->sorters);
    free(im->slots);
    cvm_queue_destroy(im->free_slots);
    cvm_queue_destroy(im->full_slots);
    cvm_import_rejects_destroy(im->rejects);
    cvm_import_view_close(&im->view);
    cvm_column_finish(&im->files);
    cvm_arena_destroy(im->arena);
}

/* ---- the report ---- */

static void add_counts(struct importing *im, struct cvm_import_source_report *out)
{
    int s = out->source;
    size_t fields = im->catalogue->sources[s].field_count;
    out->read += im->rejecting.counts[s];
    out->rejected += im->rejecting.counts[s] + im->rejected_later[s];
    out->stored = im->view.stored[s];
    out->duplicate = im->view.duplicate[s];
    out->changed = im->view.changed[s];
    for (size_t w = 0; w < im->worker_count; w++) {
        const struct cvm_import_counts *counts = cvm_mapper_counts(im->workers[w].mapper, s);
        out->read += counts->read;
        out->rejected += counts->rejected;
        out->outside += counts->outside;
        out->too_old += counts->too_old;
        out->bytes += counts->bytes;
        out->unclear_quiet_hours += counts->unclear_quiet_hours;
        if (counts->first_day != CVM_DAY_NONE &&
            (out->first_day == CVM_DAY_NONE || counts->first_day < out->first_day)) {
            out->first_day = counts->first_day;
        }
        out->last_day = counts->last_day > out->last_day ? counts->last_day : out->last_day;
        for (size_t f = 0; f < fields; f++) {
            out->attribute_missing[f] += counts->missing[f];
        }
    }
}

static enum cvm_status add_source_reports(struct importing *im, struct cvm_arena *arena,
                                          struct cvm_import_report *report, struct cvm_error *err)
{
    report->sources =
        CVM_NEW_ARRAY(arena, im->catalogue->source_count + 1, struct cvm_import_source_report);
    for (size_t s = 0; report->sources != NULL && s < im->catalogue->source_count; s++) {
        struct cvm_import_source_report *out = &report->sources[report->source_count];
        *out = (struct cvm_import_source_report){
            .source = (int)s, .first_day = CVM_DAY_NONE, .last_day = CVM_DAY_NONE};
        out->attribute_missing =
            CVM_NEW_ARRAY(arena, im->catalogue->sources[s].field_count + 1, int64_t);
        if (out->attribute_missing == NULL) {
            report->sources = NULL;
            break;
        }
        add_counts(im, out);
        for (size_t w = 0; w < im->worker_count; w++) {
            report->unmapped_fields +=
                cvm_mapper_counts(im->workers[w].mapper, (int)s)->unmapped_fields;
        }
        report->read += out->read;
        report->stored += out->stored;
        report->duplicate += out->duplicate;
        report->rejected += out->rejected;
        report->outside += out->outside;
        report->too_old += out->too_old;
        report->changed += out->changed;
        report->bytes += out->bytes;
        report->source_count += out->read > 0;
    }
    return report->sources == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for the report")
                                   : CVM_OK;
}

static enum cvm_status make_report(struct importing *im, struct cvm_file_input *files,
                                   struct cvm_arena *arena, struct cvm_import_report *report,
                                   struct cvm_error *err)
{
    bool is_written = false;
    report->batch = im->view.batch;
    report->new_customers = im->view.new_customers;
    report->follows_outcomes = im->options.follows_outcomes;
    report->seconds_parse = im->seconds_parse;
    report->seconds_store = im->seconds_store;
    report->seconds_sort = im->merging.sort;
    report->seconds_insert = im->merging.insert;
    report->seconds_pack = im->merging.pack;
    for (size_t w = 0; w < im->worker_count; w++) {
        report->spilled_bytes += cvm_sorter_spilled_bytes(im->sorters[w]);
    }
    enum cvm_status status = add_source_reports(im, arena, report, err);
    if (status == CVM_OK) {
        status = cvm_customer_count(im->store, &report->customers, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_rejects_close(im->rejects, &is_written, err);
    }
    if (status == CVM_OK && is_written) {
        report->rejects_path = cvm_arena_string(arena, im->options.rejects_path);
    }
    return status == CVM_OK && files != NULL ? cvm_file_input_report(files, arena, report, err)
                                             : status;
}

static enum cvm_status run(struct importing *im, struct cvm_file_input *files,
                           struct cvm_arena *arena, struct cvm_import_report *report,
                           struct cvm_error *err)
{
    enum cvm_status status = prepare(im, err);
    if (status == CVM_OK) {
        status = open_batch(im, err);
    }
    im->input->rejecting = &im->rejecting;
    double started = cvm_context_seconds(im->context);
    if (status == CVM_OK) {
        status = read_and_map(im, err);
    }
    double parsed = cvm_context_seconds(im->context);
    if (status == CVM_OK) {
        status = merge(im, err);
    }
    im->seconds_parse = parsed - started;
    im->seconds_store = cvm_context_seconds(im->context) - parsed;
    if (status == CVM_OK) {
        status = make_report(im, files, arena, report, err);
    }
    if (status == CVM_OK) {
        status = close_batch(im, report, err);
    }
    if (status != CVM_OK) {
        abandon_batch(im);
        return status;
    }
    im->is_batch_open = false;
    bool has_new = report->stored > 0;
    return cvm_import_journeys_done(cvm_store_journeys(im->store), im->catalogue,
                                    has_new ? im->view.batch : im->view.last_closed,
                                    has_new ? cvm_store_now_ms(im->store) : 0, err);
}

static enum cvm_status import(struct importing *im, struct cvm_file_input *files,
                              struct cvm_arena *arena, struct cvm_import_report *out_report,
                              struct cvm_error *err)
{
    struct cvm_import_report report = {0};
    enum cvm_status status = run(im, files, arena, &report, err);
    finish(im);
    if (status == CVM_OK) {
        *out_report = report;
    }
    return status;
}

static struct importing start_of(const struct cvm_import_work *work)
{
    return (struct importing){.store = work->store,
                              .catalogue = work->catalogue,
                              .options = with_defaults(work),
                              .pool = work->pool,
                              .context = work->context};
}

enum cvm_status cvm_import_files(const struct cvm_import_work *work,
                                 const struct cvm_import_paths *paths, struct cvm_arena *arena,
                                 struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct importing im = start_of(work);
    struct cvm_file_input_options file_options = {
        .paths = paths->paths,
        .path_count = paths->count,
        .mapping = paths->mapping,
        .source = paths->source,
        .block_bytes = im.options.block_bytes,
        .record_bytes_max = im.options.record_bytes_max,
        .block_count = im.options.queue_blocks,
    };
    struct cvm_file_input *files = NULL;
    enum cvm_status status = cvm_file_input_open(work->catalogue, &file_options, &files, err);
    if (status == CVM_OK) {
        im.input = cvm_file_input_records(files);
        status = import(&im, files, arena, out_report, err);
    }
    cvm_file_input_close(files);
    return status;
}

enum cvm_status cvm_import_rows(const struct cvm_import_work *work,
                                const struct cvm_import_table *table, struct cvm_arena *arena,
                                struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct importing im = start_of(work);
    struct cvm_table_input_options options = {
        .table = table,
        .catalogue = work->catalogue,
        .window = im.options.window,
        .block_bytes = im.options.block_bytes,
        .record_bytes_max = im.options.record_bytes_max,
        .block_count = im.options.queue_blocks,
        .context = work->context,
    };
    struct cvm_table_input *rows = NULL;
    enum cvm_status status = cvm_table_input_open(&options, &rows, err);
    if (status == CVM_OK) {
        im.input = cvm_table_input_records(rows);
        status = import(&im, NULL, arena, out_report, err);
    }
    cvm_table_input_close(rows);
    return status;
}

enum cvm_status cvm_import_records(const struct cvm_import_work *work,
                                   struct cvm_record_input *input, struct cvm_arena *arena,
                                   struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct importing im = start_of(work);
    im.input = input;
    return import(&im, NULL, arena, out_report, err);
}
