#include "cli/work.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/date.h"
#include "base/suggest.h"
#include "cli/catalogue_folder.h"
#include "cli/paths.h"
#include "model/rule_scope.h"
#include "storage/batches.h"
#include "storage/cache.h"
#include "storage/catalogue_store.h"
#include "storage/import.h"
#include "storage/retention.h"

#define THREADS_MAX 256
#define LIMIT_MAX   100000

enum cvm_status cvm_session_rejects_folder(struct cvm_session *session, const char **out_folder,
                                           struct cvm_error *err)
{
    const struct cvm_config *config = &session->config;
    if (cvm_store_is_server(config->store_url) && config->path != NULL) {
        return cvm_path_folder(session->arena, config->path, out_folder, err);
    }
    return cvm_store_folder(session->arena, config->store_url, out_folder, err);
}

enum cvm_status cvm_session_import_options(struct cvm_session *session, const char *rejects_path,
                                           struct cvm_import_options *out_options,
                                           struct cvm_error *err)
{
    const char *folder = NULL;
    char name[64];
    const char *store_url = session->config.store_url;
    enum cvm_status status = cvm_session_rejects_folder(session, &folder, err);
    if (status == CVM_OK && rejects_path == NULL) {
        (void)snprintf(name, sizeof(name), "rejects-%lld.ndjson",
                       (long long)cvm_context_now_ms(&session->context));
        status = cvm_path_join(session->arena, folder, name, &rejects_path, err);
    }
    if (status == CVM_OK) {
        *out_options = (struct cvm_import_options){
            .who = session->who,
            .rejects_path = rejects_path,
            .record_bytes_max = (size_t)session->config.record_bytes_max,
            .memory_bytes = (size_t)session->config.import_memory_mb << 20,
            .temporary_folder = cvm_store_is_server(store_url) ? cvm_temporary_folder() : folder,
            .queue_blocks = (size_t)session->config.import_queue_blocks,
            .key_bits = 63,
            .today = cvm_session_today(session),
            .on_progress = cvm_session_progress,
            .progress_state = session,
        };
    }
    return status;
}

/* ---- journeys up to date ---- */

static enum cvm_status are_current(const struct cvm_work *work, bool *out_are_current,
                                   struct cvm_error *err)
{
    int64_t last_batch = 0;
    enum cvm_status status = cvm_batch_last(work->store, &last_batch, err);
    return status == CVM_OK ? cvm_packed_is_current(work->store, work->catalogue, last_batch,
                                                    out_are_current, err)
                            : status;
}

static enum cvm_status rebuild(struct cvm_work *work, struct cvm_error *err)
{
    struct cvm_session *session = work->session;
    struct cvm_store *writer = NULL;
    struct cvm_import_options options;
    bool owns_writer = cvm_db_access_of(cvm_store_db(work->store)) != CVM_DB_WRITE;
    bool is_current = false;
    enum cvm_status status = cvm_session_import_options(session, NULL, &options, err);
    if (status == CVM_OK && owns_writer) {
        status = cvm_session_store(session, CVM_DB_WRITE, &writer, err);
    }
    if (status == CVM_OK && owns_writer) { /* whoever wrote while this waited may have built them */
        status = are_current(work, &is_current, err);
    }
    if (status == CVM_OK && !is_current) {
        if (!session->is_quiet && !session->is_json) {
            fputs("Building journeys anew: the mappings or the data have changed.\n", session->err);
        }
        status = cvm_import_rebuild(owns_writer ? writer : work->store, work->catalogue, &options,
                                    &session->context, err);
    }
    cvm_session_progress_end(session);
    cvm_store_close(writer);
    return status;
}

static enum cvm_status make_current(struct cvm_work *work, struct cvm_error *err)
{
    bool is_current = false;
    enum cvm_status status = are_current(work, &is_current, err);
    return status == CVM_OK && !is_current ? rebuild(work, err) : status;
}

/* Journeys are numbered by the sources in force: an older version is good for reading them only if
 * its sources are the same. Topics may have come or gone at the end: those of rules do. */
static enum cvm_status use_version(struct cvm_work *work, int64_t version, struct cvm_error *err)
{
    const struct cvm_catalogue *older = NULL;
    if (version == 0 || version == work->catalogue->version) {
        return CVM_OK;
    }
    enum cvm_status status =
        cvm_catalogue_store_load(work->store, work->session->arena, version, &older, err);
    if (status == CVM_OK && !cvm_catalogue_reads_journeys_of(older, work->catalogue)) {
        status = CVM_FAIL(err, CVM_E_CONFLICT,
                          "the sources of catalogue version %lld are no longer those in force",
                          (long long)version);
        return cvm_error_hint(err, status, "Run again with the catalogue in force: `cvm run`.");
    }
    if (status == CVM_OK) {
        work->catalogue = older;
    }
    return status;
}

/* Stores on one server do not see each other's entries, nor does one that was made anew in the
 * place of another. */
static enum cvm_status open_cache(struct cvm_work *work, struct cvm_error *err)
{
    char prefix[40];
    int64_t created_ms = 0;
    enum cvm_status status = cvm_store_created_ms(work->store, &created_ms, err);
    if (status == CVM_OK) {
        (void)snprintf(prefix, sizeof(prefix), "cvm:%llx:", (unsigned long long)created_ms);
        status = cvm_cache_open(work->session->config.cache_url,
                                &(struct cvm_cache_options){.prefix = prefix}, &work->cache, err);
    }
    if (status == CVM_OK) {
        work->engine->cache = work->cache;
    }
    return status;
}

/* Where an import keeps its temporary files: there is room for what is as large as the journeys. */
static enum cvm_status name_snapshot(struct cvm_work *work, const char *folder, int64_t last_batch,
                                     const char **out_url, struct cvm_error *err)
{
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add_format(&text, "sqlite:%s/cvm-snapshot-%lld-%ld.db", folder, (long long)last_batch,
                        (long)getpid());
    const char *url = cvm_arena_string(work->session->arena, cvm_text_string(&text));
    cvm_text_finish(&text);
    if (url == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a file name");
    }
    *out_url = url;
    work->snapshot_path = url + strlen("sqlite:");
    return CVM_OK;
}

/* Journeys of an earlier batch, in a file of their own for as long as the command runs. */
static enum cvm_status make_snapshot(struct cvm_work *work, int64_t last_batch,
                                     const char **out_url, struct cvm_error *err)
{
    struct cvm_session *session = work->session;
    struct cvm_import_options options;
    struct cvm_db *journeys = NULL;
    struct cvm_import_rebuild how = {
        .catalogue = work->catalogue, .options = &options, .context = &session->context};
    enum cvm_status status = cvm_session_import_options(session, NULL, &options, err);
    if (status == CVM_OK) {
        status = name_snapshot(work, options.temporary_folder, last_batch, out_url, err);
    }
    if (status == CVM_OK) {
        status =
            cvm_journeys_create(*out_url, cvm_context_now_ms(&session->context), &journeys, err);
    }
    if (status == CVM_OK) {
        status = cvm_import_rebuild_at(work->store, journeys, last_batch, &how, err);
    }
    cvm_session_progress_end(session);
    cvm_db_close(journeys);
    return status;
}

/* Nothing to do for a batch that is the last one. */
static enum cvm_status use_snapshot(struct cvm_work *work, int64_t batch,
                                    struct cvm_engine_options *engine, struct cvm_error *err)
{
    int64_t last_batch = 0;
    int64_t newest = 0;
    enum cvm_status status = cvm_batch_pin(work->store, batch, &last_batch, err);
    if (status == CVM_OK) {
        status = cvm_batch_last(work->store, &newest, err);
    }
    if (status == CVM_OK && last_batch == 0) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "up to batch %lld nothing was imported",
                          (long long)batch);
    }
    if (status == CVM_OK && last_batch != newest) {
        engine->last_batch = last_batch;
        status = make_snapshot(work, last_batch, &engine->journeys_url, err);
    }
    return status;
}

static void remove_snapshot(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    for (size_t i = 0; path != NULL && i < sizeof(endings) / sizeof(endings[0]); i++) {
        struct cvm_text text;
        cvm_text_init(&text, 0);
        cvm_text_add_format(&text, "%s%s", path, endings[i]);
        (void)unlink(cvm_text_string(&text));
        cvm_text_finish(&text);
    }
}

static enum cvm_status open_engine(struct cvm_work *work, const struct cvm_work_options *options,
                                   struct cvm_error *err)
{
    struct cvm_session *session = work->session;
    struct cvm_engine_options engine = {
        .store_url = session->config.store_url,
        .privacy = session->config.privacy,
        .context = &session->context,
        .thread_count = (size_t)(options->threads > 0 ? options->threads : session->config.threads),
        .chunk_size =
            (size_t)(options->chunk_size > 0 ? options->chunk_size : session->config.chunk_size),
        .connections_max = (size_t)session->config.connections,
        .retry = session->config.retry,
    };
    enum cvm_status status = make_current(work, err);
    if (status == CVM_OK) {
        status = use_version(work, options->catalogue_version, err);
    }
    if (status == CVM_OK && options->snapshot != 0) {
        status = use_snapshot(work, options->snapshot, &engine, err);
    }
    engine.catalogue = work->catalogue;
    if (status == CVM_OK) {
        status = cvm_engine_open(&engine, &work->engine, err);
    }
    if (status == CVM_OK) { /* its readers have it open: a kill from here on leaves no file */
        remove_snapshot(work->snapshot_path);
    }
    return status == CVM_OK && options->uses_cache ? open_cache(work, err) : status;
}

enum cvm_status cvm_work_open(struct cvm_session *session, const struct cvm_work_options *options,
                              struct cvm_work *out_work, struct cvm_error *err)
{
    struct cvm_work work = {.session = session};
    enum cvm_status status = cvm_session_store(session, options->access, &work.store, err);
    if (status == CVM_OK) {
        status = cvm_session_catalogue(session, work.store, &work.catalogue, err);
    }
    if (status == CVM_OK && options->needs_engine) {
        status = open_engine(&work, options, err);
    }
    if (status != CVM_OK) {
        cvm_work_close(&work);
        return status;
    }
    *out_work = work;
    return CVM_OK;
}

enum cvm_status cvm_work_warn_of_gone(const struct cvm_work *work, int32_t as_of_day,
                                      struct cvm_error *err)
{
    struct cvm_retention retention;
    struct cvm_missing_data missing;
    char first[CVM_DAY_TEXT_SIZE];
    char gone[CVM_DAY_TEXT_SIZE];
    enum cvm_status status = cvm_retention_read(work->store, work->catalogue, &retention, err);
    if (status == CVM_OK &&
        cvm_retention_misses(&retention, work->catalogue, as_of_day, CVM_DAY_NONE, &missing)) {
        cvm_session_warn(work->session,
                         "feature '%s' looks at events of '%s' from %s on; those before %s are "
                         "gone: a purge has removed them",
                         missing.feature->name, missing.source->name,
                         cvm_day_format(missing.first_day, first),
                         cvm_day_format(missing.gone_before, gone));
    }
    return status;
}

enum cvm_status cvm_work_day(const struct cvm_work *work, const struct cvm_arguments *arguments,
                             int32_t *out_day, struct cvm_error *err)
{
    int32_t today = cvm_session_today(work->session);
    int32_t first_day = CVM_DAY_NONE;
    int32_t last_day = CVM_DAY_NONE;
    if (cvm_argument_given(arguments, "--as-of")) {
        enum cvm_status given =
            cvm_session_usage(work->session, cvm_argument_day(arguments, "--as-of", out_day, err));
        return given == CVM_OK ? cvm_work_warn_of_gone(work, *out_day, err) : given;
    }
    enum cvm_status status = cvm_event_days(work->store, &first_day, &last_day, err);
    if (status == CVM_OK) {
        bool is_old = last_day != CVM_DAY_NONE && last_day <= today - work->catalogue->history_days;
        *out_day = is_old ? last_day : today;
    }
    return status;
}

void cvm_work_close(struct cvm_work *work)
{
    cvm_engine_close(work->engine);
    cvm_cache_close(work->cache);
    cvm_store_close(work->store);
    remove_snapshot(work->snapshot_path);
    work->snapshot_path = NULL;
    work->engine = NULL;
    work->cache = NULL;
    work->store = NULL;
}

struct change {
    struct cvm_store *store;
    cvm_change_fn body;
    void *state;
};

static enum cvm_status make_change(void *state, struct cvm_error *err)
{
    struct change *change = state;
    return change->body(change->state, change->store, err);
}

enum cvm_status cvm_session_change(struct cvm_session *session, cvm_change_fn body, void *state,
                                   struct cvm_error *err)
{
    struct change change = {.body = body, .state = state};
    enum cvm_status status = cvm_session_store(session, CVM_DB_SHARED, &change.store, err);
    if (status == CVM_OK) {
        status = cvm_db_transact(cvm_store_db(change.store), make_change, &change, err);
    }
    cvm_store_close(change.store);
    return status;
}

enum cvm_status cvm_session_page(struct cvm_session *session, const struct cvm_arguments *arguments,
                                 int64_t *limit, int64_t *before, struct cvm_error *err)
{
    enum cvm_status status = cvm_argument_int(arguments, "--limit", 1, LIMIT_MAX, limit, err);
    if (status == CVM_OK) {
        status = cvm_argument_int(arguments, "--before", 1, INT64_MAX, before, err);
    }
    return status == CVM_OK ? CVM_OK : cvm_session_usage(session, status);
}

enum cvm_status cvm_argument_key(const struct cvm_arguments *arguments, const char *name,
                                 uint64_t *out_key, struct cvm_error *err)
{
    const char *text = cvm_argument(arguments, name);
    if (text == NULL) {
        *out_key = 0;
        return CVM_OK;
    }
    bool is_key = strlen(text) == 16 && strspn(text, "0123456789abcdef") == 16 && text[0] < '8';
    if (!is_key) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "option '%s': found '%s', the next_cursor of the last list is allowed",
                        name, text);
    }
    *out_key = strtoull(text, NULL, 16);
    return CVM_OK;
}

const char *cvm_key_cursor(uint64_t key, char cursor[CVM_KEY_CURSOR_SIZE])
{
    (void)snprintf(cursor, CVM_KEY_CURSOR_SIZE, "%016" PRIx64, key);
    return cursor;
}

enum cvm_status cvm_session_threads(struct cvm_session *session,
                                    const struct cvm_arguments *arguments, int64_t *out_threads,
                                    struct cvm_error *err)
{
    int64_t threads = session->config.threads;
    enum cvm_status status =
        cvm_argument_int(arguments, "--threads", 0, THREADS_MAX, &threads, err);
    if (status == CVM_OK) {
        *out_threads = threads;
    }
    return status;
}

/* ---- treatments by name ---- */

enum cvm_status cvm_find_treatment(const struct cvm_catalogue *catalogue, const char *id,
                                   int *out_treatment, struct cvm_error *err)
{
    int found = cvm_catalogue_treatment(catalogue, id);
    if (found != CVM_INDEX_NONE || strcmp(id, catalogue->ignore.id) == 0) {
        *out_treatment = found;
        return CVM_OK;
    }
    struct cvm_suggestion suggestion = {.typed = id};
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        cvm_suggestion_try(&suggestion, catalogue->treatments[t].id);
    }
    enum cvm_status status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no treatment '%s'", id);
    return suggestion.best == NULL
               ? cvm_error_hint(err, status, "`cvm treatment list` shows what there is.")
               : cvm_error_hint(err, status, "Did you mean '%s'?", suggestion.best);
}

enum cvm_status cvm_find_treatments(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                                    const char *list, uint64_t *out_bits, struct cvm_error *err)
{
    const char *const *ids = NULL;
    size_t count = 0;
    uint64_t bits = 0;
    if (list == NULL) {
        *out_bits = UINT64_MAX;
        return CVM_OK;
    }
    enum cvm_status status = cvm_argument_list(arena, list, &ids, &count, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        int treatment = CVM_INDEX_NONE;
        status = cvm_find_treatment(catalogue, ids[i], &treatment, err);
        bits |= treatment == CVM_INDEX_NONE ? 0 : UINT64_C(1) << treatment;
    }
    if (status == CVM_OK) {
        *out_bits = bits;
    }
    return status;
}

const char *cvm_reason_words(const char *name, char words[CVM_REASON_WORDS_SIZE])
{
    size_t length = strnlen(name, CVM_REASON_WORDS_SIZE - 1);
    memcpy(words, name, length);
    words[length] = '\0';
    for (size_t i = 0; i < length; i++) {
        words[i] = words[i] == '_' ? ' ' : words[i];
    }
    return words;
}
