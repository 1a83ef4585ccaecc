#include "support/import_support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hash.h"
#include "support/config_files.h"

#define ARENA_BYTES ((size_t)256 << 20)

static struct cvm_arena *arena;
static const struct cvm_catalogue *catalogue;
static char folder[256];

static const char mapping[] =
    "mapping: tests\n"
    "sources:\n"
    "  - source: tickets\n"
    "    files: [\"tickets*\"]\n"
    "    kind: events\n"
    "    rank: 5\n"
    "    customer: [customer_id]\n"
    "    date: [date]\n"
    "    identity: [ticket]\n"
    "    attributes:\n"
    "      test.size: {type: number, fields: [size]}\n"
    "  - source: notes\n"
    "    files: [\"notes*\"]\n"
    "    kind: events\n"
    "    rank: 6\n"
    "    customer: [customer_id, id]\n"
    "    date: [date]\n"
    "    attributes:\n"
    "      test.size: {type: number, fields: [size, {field: kilo, scale: 1000}]}\n"
    "      test.note: {type: text, fields: [note]}\n"
    "      test.secret: {type: label, fields: [secret], personal: true}\n"
    "      test.parts: {type: number, fields: [\"parts[].size\"], list: sum}\n"
    "      test.deep: {type: number, fields: [a.b.c]}\n"
    "      test.color: {type: word, words: {red: [rouge], blue: []}, fields: [color]}\n"
    "      test.due: {type: date, fields: [due]}\n"
    "      test.open: {type: boolean, fields: [open]}\n"
    "      test.name: {type: label, fields: [name]}\n"
    "    ignored: [skip]\n"
    "  - source: plans\n"
    "    files: [\"plans*\"]\n"
    "    kind: attributes\n"
    "    customer: [customer_id]\n"
    "    attributes:\n"
    "      test.plan: {type: label, fields: [plan]}\n"
    "  - source: texts\n"
    "    files: [\"texts*\"]\n"
    "    kind: events\n"
    "    rank: 7\n"
    "    customer: [customer_id]\n"
    "    date: [date]\n"
    "    attributes:\n"
    "      test.mood: {type: word, words: [good, bad], fields: [mood], required: true}\n";

/* ---- files ---- */

static void remove_folder(void)
{
    DIR *listing = opendir(folder);
    char path[600];
    for (struct dirent *entry = listing == NULL ? NULL : readdir(listing); entry != NULL;
         entry = readdir(listing)) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            (void)unlink(path);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    (void)rmdir(folder);
}

void import_start(void)
{
    struct config_files config;
    arena = cvm_arena_create(ARENA_BYTES);
    assert_non_null(arena);
    config = config_load(arena, 100000);
    config_add(&config, "mappings/tests.yaml", mapping);
    ASSERT_OK(config_read(arena, &config, &catalogue, ERR));
    (void)snprintf(folder, sizeof(folder), "%s/in", support_folder());
    remove_folder();
    assert_int_equal(mkdir(folder, 0700), 0);
}

void import_stop(void)
{
    char path[300];
    remove_folder();
    (void)snprintf(path, sizeof(path), "%s/rejects.ndjson", support_folder());
    (void)unlink(path);
    cvm_arena_destroy(arena);
    arena = NULL;
    catalogue = NULL;
}

const struct cvm_catalogue *import_catalogue(void)
{
    return catalogue;
}

const char *import_path(const char *name)
{
    static char path[600];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

void import_write(const char *name, const char *text, size_t length)
{
    FILE *file = fopen(import_path(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

void import_text(const char *name, const char *text)
{
    import_write(name, text, strlen(text));
}

/* ---- imports ---- */

static const char *rejects_path(void)
{
    static char path[300];
    (void)snprintf(path, sizeof(path), "%s/rejects.ndjson", support_folder());
    return path;
}

enum cvm_status import_try(struct cvm_store *store, const struct import_settings *settings,
                           struct cvm_import_report *out_report, struct cvm_error *err)
{
    struct cvm_import_options options = {
        .who = "test",
        .rejects_path = rejects_path(),
        .temporary_folder = support_folder(),
        .record_bytes_max = settings->record_bytes_max,
        .memory_bytes = settings->memory_bytes,
        .block_bytes = settings->block_bytes,
        .key_bits = settings->key_bits,
        .window = settings->window,
        .queue_blocks = settings->queue_blocks,
        .on_progress = settings->on_progress,
        .progress_state = settings->progress_state,
        .today = 19802, /* 2024-03-20 */
    };
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    struct cvm_pool *pool = NULL;
    const char *path = settings->path == NULL ? folder : settings->path;
    (void)unlink(rejects_path());
    ASSERT_OK(cvm_pool_create(settings->threads == 0 ? 1 : settings->threads, &pool, ERR));
    struct cvm_import_work work = {store, catalogue, &options, pool, &context};
    struct cvm_import_paths paths = {&path, 1, settings->mapping, NULL};
    enum cvm_status status = settings->table == NULL
                                 ? cvm_import_files(&work, &paths, arena, out_report, err)
                                 : cvm_import_rows(&work, settings->table, arena, out_report, err);
    cvm_pool_destroy(pool);
    return status;
}

struct cvm_import_report import_run(struct cvm_store *store, const struct import_settings *settings)
{
    struct cvm_import_report report = {0};
    ASSERT_OK(import_try(store, settings, &report, ERR));
    assert_int_equal(report.read,
                     report.stored + report.duplicate + report.rejected + report.outside);
    bool is_current = false;
    int64_t last_batch = 0;
    ASSERT_OK(cvm_batch_last(store, &last_batch, ERR));
    assert_true(last_batch == report.batch || report.stored == 0);
    ASSERT_OK(cvm_packed_is_current(store, catalogue, last_batch, &is_current, ERR));
    assert_true(is_current);
    return report;
}

void import_rebuild(struct cvm_store *store)
{
    struct cvm_import_options options = {.who = "test"};
    struct cvm_context context = {.clock = cvm_clock_fixed(&support_now_ms)};
    ASSERT_OK(cvm_import_rebuild(store, catalogue, &options, &context, ERR));
}

const char *import_rejects(void)
{
    char *text = NULL;
    size_t length = 0;
    enum cvm_status status =
        cvm_file_read(arena, rejects_path(), (size_t)64 << 20, &text, &length, NULL);
    return status == CVM_OK ? text : "";
}

/* ---- what is in the store ---- */

static enum cvm_status add_row(void *state, const struct cvm_db_value *columns, size_t column_count,
                               struct cvm_error *err)
{
    struct cvm_digest *digest = state;
    (void)err;
    for (size_t c = 0; c < column_count; c++) {
        cvm_digest_add(digest, &columns[c].type, sizeof(columns[c].type));
        if (columns[c].type == CVM_DB_INT) {
            cvm_digest_add(digest, &columns[c].integer, sizeof(columns[c].integer));
        } else if (columns[c].type != CVM_DB_NULL) {
            cvm_digest_add(digest, &columns[c].bytes.length, sizeof(columns[c].bytes.length));
            cvm_digest_add(digest, columns[c].bytes.data, columns[c].bytes.length);
        }
    }
    return CVM_OK;
}

const char *import_digest(struct cvm_store *store)
{
    static char texts[8][CVM_DIGEST_TEXT_SIZE];
    static size_t next;
    static const char *const rows[] = {
        "SELECT customer_key, customer_id FROM customer c JOIN batch b USING (batch) WHERE state = "
        "'closed' ORDER BY 1",
        "SELECT e.customer_key, day, s.name, identity, version, second, content, attributes, "
        "private "
        "FROM event e JOIN source s USING (source) JOIN batch b USING (batch) WHERE state = "
        "'closed' ORDER BY 1, 2, 3, 4, 5",
        "SELECT c.customer_key, version, s.name, content, recorded, granted, updated_day, "
        "quiet_start_min, quiet_end_min, preferred_time, language, private FROM consent c JOIN "
        "source s USING (source) JOIN batch b USING (batch) WHERE state = 'closed' ORDER BY 1, 2"};
    struct cvm_digest digest;
    char *text = texts[next++ % 8];
    cvm_digest_init(&digest);
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        ASSERT_OK(cvm_db_query(cvm_store_db(store), rows[r], NULL, 0, add_row, &digest, ERR));
    }
    ASSERT_OK(cvm_db_query(cvm_store_journeys(store),
                           "SELECT customer_key, period, body FROM packed ORDER BY 1, 2", NULL, 0,
                           add_row, &digest, ERR));
    cvm_digest_finish(&digest, text);
    return text;
}

static enum cvm_status copy_text(void *state, const struct cvm_db_value *columns,
                                 size_t column_count, struct cvm_error *err)
{
    char *text = state;
    (void)column_count;
    (void)err;
    if (text[0] == '\0' && columns[0].type != CVM_DB_NULL) {
        (void)snprintf(text, 4096, "%.*s", (int)columns[0].bytes.length,
                       (const char *)columns[0].bytes.data);
    }
    return CVM_OK;
}

const char *import_string(struct cvm_db *db, const char *sql)
{
    static char text[4096];
    text[0] = '\0';
    ASSERT_OK(cvm_db_query(db, sql, NULL, 0, copy_text, text, ERR));
    return text;
}

const char *import_shared(const char *name)
{
    static char path[1024];
    const char *shared = getenv("CVM_SHARED");
    (void)snprintf(path, sizeof(path), "%s/data/%s",
                   shared == NULL || shared[0] == '\0' ? CVM_SHARED_DEFAULT : shared, name);
    if (cvm_file_exists(path) || cvm_file_is_folder(path)) {
        return path;
    }
    (void)fprintf(stderr, "skipped: '%s' is not there (CVM_SHARED names the folder)\n", path);
    return NULL;
}
