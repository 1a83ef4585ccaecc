/* PostgreSQL without cvm: COPY in the binary format, and a prepared statement by libpq. */
#include <endian.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cli/bench_bare.h"

#define PART_BYTES_MAX ((size_t)512 << 20)
#define READ_NAME      "bare_read"

struct bare_postgres {
    struct cvm_bare base;
    PGconn *connection;
    struct cvm_text part; /* rows as COPY wants them */
    bool is_prepared;
};

static enum cvm_status fail(const struct bare_postgres *bare, PGresult *result,
                            struct cvm_error *err)
{
    const char *message = PQerrorMessage(bare->connection);
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE, "bare libpq: %.*s", (int)strcspn(message, "\n"), message);
    PQclear(result);
    return status;
}

static enum cvm_status run(struct bare_postgres *bare, const char *sql, ExecStatusType wanted,
                           struct cvm_error *err)
{
    PGresult *result = PQexec(bare->connection, sql);
    if (PQresultStatus(result) != wanted) {
        return fail(bare, result, err);
    }
    PQclear(result);
    return CVM_OK;
}

static void bare_close(struct cvm_bare *base)
{
    struct bare_postgres *bare = (struct bare_postgres *)base;
    PQfinish(bare->connection);
    cvm_text_finish(&bare->part);
    free(bare);
}

static enum cvm_status bare_open(const char *store_url, const char *folder,
                                 struct cvm_bare **out_bare, struct cvm_error *err)
{
    struct bare_postgres *bare = calloc(1, sizeof(*bare));
    (void)folder;
    if (bare == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a bench");
    }
    bare->base.kind = &cvm_bare_postgres;
    cvm_text_init(&bare->part, PART_BYTES_MAX);
    bare->connection = PQconnectdb(store_url);
    enum cvm_status status =
        PQstatus(bare->connection) == CONNECTION_OK
            ? run(bare, "SET client_min_messages = warning", PGRES_COMMAND_OK, err)
            : fail(bare, NULL, err);
    if (status != CVM_OK) {
        bare_close(&bare->base);
        return status;
    }
    *out_bare = &bare->base;
    return CVM_OK;
}

/* One table, not eight. */
static enum cvm_status bare_make_table(struct cvm_bare *base, bool has_key, struct cvm_error *err)
{
    return run((struct bare_postgres *)base,
               has_key ? "DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE event INCLUDING ALL)"
                       : "DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE event)",
               PGRES_COMMAND_OK, err);
}

static void add_value(struct cvm_text *part, const struct cvm_db_value *value)
{
    uint32_t length = UINT32_MAX; /* null */
    if (value->type == CVM_DB_INT) {
        uint64_t number = htobe64((uint64_t)value->integer);
        length = htobe32(sizeof(number));
        cvm_text_add_bytes(part, &length, sizeof(length));
        cvm_text_add_bytes(part, &number, sizeof(number));
    } else if (value->type == CVM_DB_NULL) {
        cvm_text_add_bytes(part, &length, sizeof(length));
    } else {
        length = htobe32((uint32_t)value->bytes.length);
        cvm_text_add_bytes(part, &length, sizeof(length));
        cvm_text_add_bytes(part, value->bytes.data, value->bytes.length);
    }
}

static enum cvm_status copy_part(struct bare_postgres *bare, struct cvm_error *err)
{
    PGconn *c = bare->connection;
    enum cvm_status status =
        run(bare, "BEGIN; COPY bare FROM STDIN (FORMAT binary)", PGRES_COPY_IN, err);
    if (status != CVM_OK) {
        return status;
    }
    if (PQputCopyData(c, bare->part.data, (int)bare->part.length) != 1 ||
        PQputCopyEnd(c, NULL) != 1) {
        return fail(bare, NULL, err);
    }
    for (PGresult *result = NULL; (result = PQgetResult(c)) != NULL;) {
        if (PQresultStatus(result) != PGRES_COMMAND_OK && status == CVM_OK) {
            status = fail(bare, result, err);
        } else {
            PQclear(result);
        }
    }
    return status == CVM_OK ? run(bare, "COMMIT", PGRES_COMMAND_OK, err) : status;
}

static enum cvm_status bare_load(struct cvm_bare *base, const struct cvm_db_value *rows,
                                 size_t row_count, double *out_seconds, struct cvm_error *err)
{
    struct bare_postgres *bare = (struct bare_postgres *)base;
    static const char header[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
    static const char trailer[2] = {'\377', '\377'};
    uint16_t columns = htobe16(CVM_BARE_COLUMNS);
    cvm_text_clear(&bare->part);
    cvm_text_add_bytes(&bare->part, header, sizeof(header));
    for (size_t r = 0; r < row_count; r++) {
        cvm_text_add_bytes(&bare->part, &columns, sizeof(columns));
        for (size_t c = 0; c < CVM_BARE_COLUMNS; c++) {
            add_value(&bare->part, &rows[r * CVM_BARE_COLUMNS + c]);
        }
    }
    cvm_text_add_bytes(&bare->part, trailer, sizeof(trailer));
    if (bare->part.failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for rows to load");
    }
    int64_t start = cvm_clock_system.steady_ns(cvm_clock_system.state);
    enum cvm_status status = copy_part(bare, err);
    int64_t end = cvm_clock_system.steady_ns(cvm_clock_system.state);
    *out_seconds = (double)(end - start) / 1e9;
    return status;
}

static enum cvm_status prepare_read(struct bare_postgres *bare, struct cvm_error *err)
{
    enum cvm_status status =
        run(bare, "SET plan_cache_mode = force_generic_plan", PGRES_COMMAND_OK, err);
    PGresult *result =
        status == CVM_OK
            ? PQprepare(bare->connection, READ_NAME,
                        "SELECT period, body FROM packed WHERE customer_key = $1::bigint AND "
                        "(period = 0 OR period BETWEEN $2::bigint AND $3::bigint) ORDER BY period",
                        3, NULL)
            : NULL;
    if (status == CVM_OK && PQresultStatus(result) != PGRES_COMMAND_OK) {
        return fail(bare, result, err);
    }
    PQclear(result);
    bare->is_prepared = status == CVM_OK;
    return status;
}

static enum cvm_status bare_read(struct cvm_bare *base, const struct cvm_packed_range *range,
                                 size_t *out_bytes, struct cvm_error *err)
{
    struct bare_postgres *bare = (struct bare_postgres *)base;
    enum cvm_status status = bare->is_prepared ? CVM_OK : prepare_read(bare, err);
    uint64_t numbers[] = {htobe64(range->first_key), htobe64((uint64_t)range->first_period),
                          htobe64((uint64_t)range->last_period)};
    const char *const values[] = {(const char *)&numbers[0], (const char *)&numbers[1],
                                  (const char *)&numbers[2]};
    static const int lengths[] = {8, 8, 8};
    static const int formats[] = {1, 1, 1};
    if (status != CVM_OK) {
        return status;
    }
    PGresult *result = PQexecPrepared(bare->connection, READ_NAME, 3, values, lengths, formats, 1);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        return fail(bare, result, err);
    }
    *out_bytes = 0;
    for (int row = 0; row < PQntuples(result); row++) {
        *out_bytes += (size_t)PQgetlength(result, row, 1);
    }
    PQclear(result);
    return CVM_OK;
}

const struct cvm_bare_kind cvm_bare_postgres = {
    .open = bare_open,
    .close = bare_close,
    .make_table = bare_make_table,
    .load = bare_load,
    .read = bare_read,
};
