/* Bare loading, and SQLite without cvm. */
#include "cli/bench_bare.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/paths.h"

#define SLICE_ROWS  50000
#define SLICE_BYTES ((size_t)256 << 20)

/* ---- slices of the store's rows ---- */

struct slice {
    struct cvm_text bytes;
    struct cvm_db_value *values;
    size_t count;
};

/* Texts move while they are gathered: until the slice is whole, data holds their place. */
static void add_row(struct slice *slice, const struct cvm_db_value *columns)
{
    struct cvm_db_value *row = slice->values + slice->count++ * CVM_BARE_COLUMNS;
    for (size_t c = 0; c < CVM_BARE_COLUMNS; c++) {
        row[c] = columns[c];
        if (row[c].type == CVM_DB_TEXT || row[c].type == CVM_DB_BLOB) {
            cvm_text_add_bytes(&slice->bytes, row[c].bytes.data, row[c].bytes.length);
        }
    }
}

static void place_texts(struct slice *slice)
{
    const char *at = slice->bytes.data;
    for (size_t v = 0; v < slice->count * CVM_BARE_COLUMNS; v++) {
        struct cvm_db_value *value = &slice->values[v];
        if (value->type == CVM_DB_TEXT || value->type == CVM_DB_BLOB) {
            value->bytes.data = at;
            at += value->bytes.length;
        }
    }
}

static enum cvm_status fill(struct slice *slice, struct cvm_db_cursor *cursor,
                            struct cvm_error *err)
{
    const struct cvm_db_value *columns = NULL;
    enum cvm_status status = CVM_OK;
    cvm_text_clear(&slice->bytes);
    slice->count = 0;
    do {
        status = cvm_db_cursor_next(cursor, &columns, err);
        if (status == CVM_OK && columns != NULL) {
            add_row(slice, columns);
        }
    } while (status == CVM_OK && columns != NULL && slice->count < SLICE_ROWS);
    if (status == CVM_OK && slice->bytes.failed) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for rows to load");
    }
    place_texts(slice);
    return status;
}

static enum cvm_status load_all(struct cvm_bare *bare, struct cvm_db *store, struct slice *slice,
                                int64_t *out_rows, double *out_seconds, struct cvm_error *err)
{
    static const char sql[] =
        "SELECT customer_key, day, source, identity, version, second, batch, content, attributes, "
        "private, key_id FROM event ORDER BY customer_key, day, source, identity, version";
    struct cvm_db_cursor *cursor = NULL;
    enum cvm_status status = cvm_db_scan(store, sql, NULL, 0, &cursor, err);
    *out_rows = 0;
    *out_seconds = 0;
    while (status == CVM_OK) {
        double seconds = 0;
        status = fill(slice, cursor, err);
        if (status != CVM_OK || slice->count == 0) {
            break;
        }
        status = bare->kind->load(bare, slice->values, slice->count, &seconds, err);
        *out_rows += (int64_t)slice->count;
        *out_seconds += seconds;
    }
    cvm_db_cursor_close(cursor);
    return status;
}

enum cvm_status cvm_bench_bare_load(struct cvm_bench *bench, struct cvm_bench_sample *sample,
                                    struct cvm_error *err)
{
    static const char *const names[] = {"bare_load", "bare_load_without_key"};
    const char *url = bench->session->config.store_url;
    struct cvm_db_options options = {.access = CVM_DB_READ};
    struct cvm_db *store = NULL;
    struct cvm_bare *bare = NULL;
    struct slice slice = {.values =
                              calloc((size_t)SLICE_ROWS * CVM_BARE_COLUMNS, sizeof(*slice.values))};
    cvm_text_init(&slice.bytes, SLICE_BYTES);
    enum cvm_status status = slice.values == NULL
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for rows to load")
                                 : cvm_db_open(url, &options, &store, err);
    if (status == CVM_OK) {
        status = cvm_bare_open(url, bench->folder, &bare, err);
    }
    for (size_t i = 0; status == CVM_OK && i < sizeof(names) / sizeof(names[0]); i++) {
        double seconds = 0;
        status = bare->kind->make_table(bare, i == 0, err);
        if (status == CVM_OK) {
            status = load_all(bare, store, &slice, &sample->bare_rows, &seconds, err);
        }
        cvm_bench_add_stage(sample, names[i], seconds);
    }
    cvm_bare_close(bare);
    cvm_db_close(store);
    cvm_text_finish(&slice.bytes);
    free(slice.values);
    return status;
}

/* ---- which ---- */

enum cvm_status cvm_bare_open(const char *store_url, const char *folder, struct cvm_bare **out_bare,
                              struct cvm_error *err)
{
    if (!cvm_store_is_server(store_url)) {
        return cvm_bare_sqlite.open(store_url, folder, out_bare, err);
    }
#ifdef CVM_HAS_POSTGRES
    return cvm_bare_postgres.open(store_url, folder, out_bare, err);
#else
    return CVM_FAIL(err, CVM_E_INVALID, "this cvm was built without PostgreSQL");
#endif
}

void cvm_bare_close(struct cvm_bare *bare)
{
    if (bare != NULL) {
        bare->kind->close(bare);
    }
}

/* ---- SQLite ---- */

struct bare_sqlite {
    struct cvm_bare base;
    char *journeys;
    char *path;       /* of the file that is loaded */
    sqlite3 *loaded;  /* NULL until a table is made */
    sqlite3 *reading; /* NULL until the first read */
    sqlite3_stmt *insert;
    sqlite3_stmt *select;
};

static enum cvm_status fail(sqlite3 *handle, struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare SQLite: %s", sqlite3_errmsg(handle));
}

static void bare_close(struct cvm_bare *base)
{
    struct bare_sqlite *bare = (struct bare_sqlite *)base;
    (void)sqlite3_finalize(bare->insert);
    (void)sqlite3_finalize(bare->select);
    (void)sqlite3_close_v2(bare->loaded);
    (void)sqlite3_close_v2(bare->reading);
    free(bare->journeys);
    free(bare->path);
    free(bare);
}

static enum cvm_status bare_open(const char *store_url, const char *folder,
                                 struct cvm_bare **out_bare, struct cvm_error *err)
{
    const char *file = strchr(store_url, ':') + 1;
    size_t stem = strlen(file);
    struct bare_sqlite *bare = calloc(1, sizeof(*bare));
    stem -= stem > 3 && strcmp(file + stem - 3, ".db") == 0 ? 3 : 0;
    if (bare != NULL) {
        bare->base.kind = &cvm_bare_sqlite;
        if (asprintf(&bare->journeys, "%.*s-journeys.db", (int)stem, file) < 0) {
            bare->journeys = NULL;
        }
        if (asprintf(&bare->path, "%s/bare.db", folder == NULL ? "." : folder) < 0) {
            bare->path = NULL;
        }
    }
    if (bare == NULL || bare->journeys == NULL || bare->path == NULL) {
        if (bare != NULL) {
            bare_close(&bare->base);
        }
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    *out_bare = &bare->base;
    return CVM_OK;
}

/* As the store's own: the same pages, log and durability. */
static enum cvm_status bare_make_table(struct cvm_bare *base, bool has_key, struct cvm_error *err)
{
    struct bare_sqlite *bare = (struct bare_sqlite *)base;
    static const char columns[] =
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
        "PRAGMA cache_size = -65536; DROP TABLE IF EXISTS bare; CREATE TABLE bare ("
        "customer_key INTEGER NOT NULL, day INTEGER NOT NULL, source INTEGER NOT NULL, "
        "identity INTEGER NOT NULL, version INTEGER NOT NULL, second INTEGER NOT NULL, "
        "batch INTEGER NOT NULL, content INTEGER NOT NULL, attributes TEXT NOT NULL, private BLOB, "
        "key_id INTEGER NOT NULL";
    char sql[1024];
    (void)snprintf(sql, sizeof(sql), "%s%s", columns,
                   has_key
                       ? ", PRIMARY KEY (customer_key, day, source, identity, version)) STRICT, "
                         "WITHOUT ROWID"
                       : ") STRICT");
    int code = SQLITE_OK;
    (void)sqlite3_finalize(bare->insert);
    bare->insert = NULL;
    if (bare->loaded == NULL) {
        code = sqlite3_open(bare->path, &bare->loaded);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(bare->loaded, sql, NULL, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_prepare_v3(bare->loaded,
                                  "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", -1,
                                  SQLITE_PREPARE_PERSISTENT, &bare->insert, NULL);
    }
    return code == SQLITE_OK ? CVM_OK : fail(bare->loaded, err);
}

static int bind(sqlite3_stmt *statement, int at, const struct cvm_db_value *value)
{
    switch (value->type) {
    case CVM_DB_INT:
        return sqlite3_bind_int64(statement, at, value->integer);
    case CVM_DB_TEXT:
        return sqlite3_bind_text(statement, at, value->bytes.data, (int)value->bytes.length,
                                 SQLITE_STATIC);
    case CVM_DB_BLOB:
        return sqlite3_bind_blob(statement, at, value->bytes.data, (int)value->bytes.length,
                                 SQLITE_STATIC);
    case CVM_DB_DOUBLE: /* `event` has none */
    case CVM_DB_NULL:
    default:
        return sqlite3_bind_null(statement, at);
    }
}

static enum cvm_status bare_load(struct cvm_bare *base, const struct cvm_db_value *rows,
                                 size_t row_count, double *out_seconds, struct cvm_error *err)
{
    struct bare_sqlite *bare = (struct bare_sqlite *)base;
    int64_t start = cvm_clock_system.steady_ns(cvm_clock_system.state);
    int code = sqlite3_exec(bare->loaded, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    for (size_t r = 0; code == SQLITE_OK && r < row_count; r++) {
        const struct cvm_db_value *row = rows + r * CVM_BARE_COLUMNS;
        for (int c = 0; code == SQLITE_OK && c < CVM_BARE_COLUMNS; c++) {
            code = bind(bare->insert, c + 1, &row[c]);
        }
        if (code == SQLITE_OK) {
            (void)sqlite3_step(bare->insert);
            code = sqlite3_reset(bare->insert);
        }
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(bare->loaded, "COMMIT", NULL, NULL, NULL);
    }
    int64_t end = cvm_clock_system.steady_ns(cvm_clock_system.state);
    *out_seconds = (double)(end - start) / 1e9;
    return code == SQLITE_OK ? CVM_OK : fail(bare->loaded, err);
}

static enum cvm_status prepare_read(struct bare_sqlite *bare, struct cvm_error *err)
{
    int code = sqlite3_open_v2(bare->journeys, &bare->reading,
                               SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
    if (code == SQLITE_OK) { /* as the store opens it */
        code = sqlite3_exec(bare->reading,
                            "PRAGMA mmap_size = 68719476736; PRAGMA cache_size = -32768", NULL,
                            NULL, NULL);
    }
    if (code == SQLITE_OK) {
        (void)sqlite3_busy_timeout(bare->reading, 5000);
        code = sqlite3_prepare_v3(bare->reading,
                                  "SELECT period, body FROM packed WHERE customer_key = ?1 AND "
                                  "(period = 0 OR period BETWEEN ?2 AND ?3) ORDER BY period",
                                  -1, SQLITE_PREPARE_PERSISTENT, &bare->select, NULL);
    }
    return code == SQLITE_OK ? CVM_OK : fail(bare->reading, err);
}

static enum cvm_status bare_read(struct cvm_bare *base, const struct cvm_packed_range *range,
                                 size_t *out_bytes, struct cvm_error *err)
{
    struct bare_sqlite *bare = (struct bare_sqlite *)base;
    if (bare->select == NULL) {
        enum cvm_status status = prepare_read(bare, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    sqlite3_stmt *select = bare->select;
    int code = sqlite3_bind_int64(select, 1, (int64_t)range->first_key);
    code = code == SQLITE_OK ? sqlite3_bind_int(select, 2, range->first_period) : code;
    code = code == SQLITE_OK ? sqlite3_bind_int(select, 3, range->last_period) : code;
    *out_bytes = 0;
    while (code == SQLITE_OK && sqlite3_step(select) == SQLITE_ROW) {
        const unsigned char *body = sqlite3_column_blob(select, 1);
        *out_bytes += (size_t)sqlite3_column_bytes(select, 1) + (body != NULL ? body[0] & 1U : 0);
    }
    code = code == SQLITE_OK ? sqlite3_reset(select) : code;
    return code == SQLITE_OK ? CVM_OK : fail(bare->reading, err);
}

const struct cvm_bare_kind cvm_bare_sqlite = {
    .open = bare_open,
    .close = bare_close,
    .make_table = bare_make_table,
    .load = bare_load,
    .read = bare_read,
};
