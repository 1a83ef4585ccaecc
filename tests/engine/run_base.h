/* run_base.h - a generated base in a real store, for tests of the engine: made, imported, run. */
#ifndef CVM_TESTS_RUN_BASE_H
#define CVM_TESTS_RUN_BASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/date.h"
#include "engine/run.h"
#include "storage/catalogue_store.h"
#include "storage/import.h"
#include "storage/ledger.h"
#include "support/config_files.h"
#include "world/world.h"

#define AS_OF  19802 /* 2024-03-20 */
#define NOW_MS (INT64_C(19802) * 86400000)

struct base {
    char folder[64];
    char url[256];
    struct cvm_arena *arena;
    const struct cvm_catalogue *catalogue;
    struct cvm_context context;
    struct cvm_store *store; /* the writer */
    int64_t customers;
    int64_t now_ms;
};

/* A change of the shipped catalogue before it is stored. */
typedef void (*base_edit)(struct cvm_arena *arena, struct config_files *config);

static inline void must(enum cvm_status status, const struct cvm_error *err)
{
    if (status != CVM_OK) {
        (void)fprintf(stderr, "%s (%s; %s:%d)\n", err->message, err->where, err->file, err->line);
    }
    assert_int_equal(status, CVM_OK);
}

/* Customers first .. first + count - 1 of the world, imported as one batch. */
static inline void base_import(struct base *base, int64_t first, int64_t count)
{
    struct cvm_world_options world = {
        .customers = first + count, .events_per_customer = 25, .seed = 11, .until_day = AS_OF};
    struct cvm_text records[CVM_WORLD_SOURCE_COUNT];
    const char *paths[CVM_WORLD_SOURCE_COUNT];
    char names[CVM_WORLD_SOURCE_COUNT][192];
    struct cvm_error err;
    for (size_t s = 0; s < CVM_WORLD_SOURCE_COUNT; s++) {
        cvm_text_init(&records[s], 0);
    }
    for (int64_t customer = first; customer < first + count; customer++) {
        cvm_world_customer(&world, customer, records);
    }
    for (size_t s = 0; s < CVM_WORLD_SOURCE_COUNT; s++) {
        (void)snprintf(names[s], sizeof(names[s]), "%s/%s_%lld.ndjson", base->folder,
                       cvm_world_source_names[s], (long long)first);
        must(cvm_file_write(names[s], cvm_text_string(&records[s]), records[s].length, &err), &err);
        cvm_text_finish(&records[s]);
        paths[s] = names[s];
    }
    struct cvm_pool *pool = NULL;
    struct cvm_import_report report;
    struct cvm_import_options options = {.who = "test", .today = AS_OF};
    char rejects[128];
    (void)snprintf(rejects, sizeof(rejects), "%s/rejects.ndjson", base->folder);
    options.rejects_path = rejects;
    must(cvm_pool_create(2, &pool, &err), &err);
    struct cvm_import_work work = {base->store, base->catalogue, &options, pool, &base->context};
    struct cvm_import_paths all = {paths, CVM_WORLD_SOURCE_COUNT, NULL};
    must(cvm_import_files(&work, &all, base->arena, &report, &err), &err);
    cvm_pool_destroy(pool);
    assert_int_equal(report.rejected, 0);
    assert_int_equal(report.customers, first + count);
}

static inline void base_put_catalogue(struct base *base, base_edit edit)
{
    struct config_files config = config_load(base->arena, base->customers);
    const struct cvm_catalogue *read = NULL;
    int64_t version = 0;
    struct cvm_error err;
    if (edit != NULL) {
        edit(base->arena, &config);
    }
    struct cvm_catalogue_files files = {config.files, config.count};
    must(config_read(base->arena, &config, &read, &err), &err);
    struct cvm_catalogue_change_note note = {"test", "first", "[]"};
    must(cvm_catalogue_store_add(base->store, &files, read->digest, &note, &version, &err), &err);
    must(cvm_catalogue_store_load(base->store, base->arena, 0, &base->catalogue, &err), &err);
}

/* A file in the base's folder, or a schema of its own on the server that STORE_URL names. */
static inline void base_name_store(struct base *base)
{
    const char *server = getenv("STORE_URL");
    struct cvm_db *db = NULL;
    struct cvm_db_options options = {.access = CVM_DB_WRITE, .is_rebuildable = true};
    struct cvm_error err = {0};
    char sql[96];
    if (server == NULL || server[0] == '\0') {
        (void)snprintf(base->url, sizeof(base->url), "sqlite:%s/cvm.db", base->folder);
        return;
    }
    const char *schema = strrchr(base->folder, '-') + 1;
    (void)snprintf(sql, sizeof(sql), "CREATE SCHEMA \"t%s\"", schema);
    must(cvm_db_open(server, &options, &db, &err), &err);
    must(cvm_db_exec(db, sql, NULL, 0, NULL, &err), &err);
    cvm_db_close(db);
    (void)snprintf(base->url, sizeof(base->url), "%s&options=-c%%20search_path%%3D\"t%s\"", server,
                   schema);
}

static inline struct base *base_create(int64_t customers, base_edit edit)
{
    struct base *base = calloc(1, sizeof(*base));
    struct cvm_error err = {0};
    assert_non_null(base);
    base->customers = customers;
    base->now_ms = NOW_MS;
    (void)snprintf(base->folder, sizeof(base->folder), "/tmp/cvm-run-test-XXXXXX");
    assert_non_null(mkdtemp(base->folder));
    base_name_store(base);
    base->arena = cvm_arena_create((size_t)256 << 20);
    base->context.clock = cvm_clock_fixed(&base->now_ms);
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .may_create = true, .clock = base->context.clock};
    must(cvm_store_open(base->url, &options, &base->store, &err), &err);
    base_put_catalogue(base, edit);
    base_import(base, 0, customers);
    return base;
}

static inline void base_destroy(struct base *base)
{
    cvm_store_close(base->store);
    cvm_arena_destroy(base->arena);
    struct cvm_arena *arena = cvm_arena_create(1 << 20);
    struct cvm_file_list list;
    if (cvm_folder_list(arena, base->folder, 0, &list, NULL) == CVM_OK) {
        for (size_t i = 0; i < list.count; i++) {
            char path[256];
            (void)snprintf(path, sizeof(path), "%s/%s", base->folder, list.paths[i]);
            (void)unlink(path);
        }
    }
    cvm_arena_destroy(arena);
    (void)rmdir(base->folder);
    free(base);
}

static inline struct cvm_run_request ordinary(void)
{
    return (struct cvm_run_request){
        .as_of_day = AS_OF,
        .since_day = CVM_DAY_NONE,
        .forced_treatment = CVM_INDEX_NONE,
        .allowed = UINT64_MAX,
        .must_release = true,
        .keep_runs = 3,
        .who = "test",
    };
}

static inline struct cvm_engine *open_engine(const struct base *base, size_t threads,
                                             size_t chunk_size)
{
    struct cvm_engine *engine = NULL;
    struct cvm_error err;
    struct cvm_engine_options options = {.store_url = base->url,
                                         .catalogue = base->catalogue,
                                         .context = &base->context,
                                         .thread_count = threads,
                                         .chunk_size = chunk_size};
    must(cvm_engine_open(&options, &engine, &err), &err);
    return engine;
}

static inline struct cvm_run_result *run(const struct base *base,
                                         const struct cvm_run_request *request, size_t threads,
                                         size_t chunk_size)
{
    struct cvm_engine *engine = open_engine(base, threads, chunk_size);
    struct cvm_run_result *result = NULL;
    struct cvm_error err;
    must(cvm_run(engine, request->is_dry ? NULL : base->store, request, base->arena, &result, &err),
         &err);
    cvm_engine_close(engine);
    return result;
}

#endif
