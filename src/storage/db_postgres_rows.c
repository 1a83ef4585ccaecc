/* db_postgres_rows.c - rows from PostgreSQL: queries, whose rows stream one by one, and cursors,
 * whose rows come in parts, so that several may be open on one connection. */
#include "storage/db_postgres.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/columns.h"

/* Rows of one part of a cursor; what is wide comes in fewer. */
#define FETCH_FIRST 16
#define FETCH_ROWS  512
#define FETCH_BYTES ((size_t)4 << 20)

/* ---- queries ---- */

/* Rows of one query. They stream until the connection is wanted for something else (a row's
 * function may ask another question); what is left then is kept in memory. */
struct postgres_rows {
    struct postgres_db *db;
    struct cvm_column kept; /* PGresult * */
    size_t next;
    bool is_streaming;
};

static bool is_row(PGresult *result)
{
    return PQresultStatus(result) == PGRES_SINGLE_TUPLE;
}

static enum cvm_status keep(struct postgres_rows *rows, PGresult *result, struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&rows->kept, 1, &room, err);
    if (status != CVM_OK) {
        PQclear(result);
        return status;
    }
    *(PGresult **)room = result;
    return CVM_OK;
}

enum cvm_status postgres_keep_rows(struct postgres_db *db, struct cvm_error *err)
{
    struct postgres_rows *rows = db->streaming;
    enum cvm_status status = CVM_OK;
    PGresult *result = NULL;
    db->streaming = NULL;
    rows->is_streaming = false;
    while ((result = PQgetResult(db->connection)) != NULL) {
        if (status == CVM_OK) {
            status = keep(rows, result, err); /* a failure too: it is met in its place */
        } else {
            PQclear(result);
        }
    }
    return status;
}

/* NULL at the end. */
static PGresult *next_result(struct postgres_rows *rows)
{
    if (rows->next < rows->kept.count) {
        PGresult **kept = &CVM_COLUMN_DATA(&rows->kept, PGresult *)[rows->next++];
        PGresult *result = *kept;
        *kept = NULL;
        return result;
    }
    return rows->is_streaming ? PQgetResult(rows->db->connection) : NULL;
}

/* What nobody wants any more. */
static void end_rows(struct postgres_rows *rows)
{
    PGresult *result = NULL;
    while ((result = next_result(rows)) != NULL) {
        PQclear(result);
    }
    if (rows->db->streaming == rows) {
        rows->db->streaming = NULL;
    }
    cvm_column_finish(&rows->kept);
}

static enum cvm_status give_rows(struct postgres_rows *rows, cvm_db_row_fn on_row, void *state,
                                 int64_t *count, struct cvm_error *err)
{
    struct cvm_db_value columns[CVM_DB_COLUMNS_MAX];
    enum cvm_status status = CVM_OK;
    PGresult *result = NULL;
    while (status == CVM_OK && (result = next_result(rows)) != NULL) {
        if (!is_row(result)) {
            if (PQresultStatus(result) != PGRES_TUPLES_OK &&
                PQresultStatus(result) != PGRES_COMMAND_OK) {
                return postgres_fail(rows->db, result, err);
            }
            PQclear(result);
            continue;
        }
        status = postgres_decode(result, 0, columns, err);
        if (status == CVM_OK) {
            (*count)++;
            status = on_row(state, columns, (size_t)PQnfields(result), err);
        }
        PQclear(result);
    }
    return status;
}

struct asking {
    const char *sql;
    const struct cvm_db_value *params;
    size_t param_count;
    cvm_db_row_fn on_row;
    void *state;
    int64_t rows;
};

static enum cvm_status ask(struct postgres_db *db, struct asking *asking, struct cvm_error *err)
{
    struct postgres_statement *statement = NULL;
    struct postgres_params encoded;
    struct postgres_rows rows = {.db = db, .is_streaming = true};
    cvm_column_init(&rows.kept, sizeof(PGresult *));
    enum cvm_status status =
        postgres_acquire(db, asking->sql, asking->param_count, &statement, err);
    if (status == CVM_OK) {
        status = postgres_encode(statement, asking->params, &encoded, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    int is_sent =
        statement->kind == POSTGRES_OTHER
            ? PQsendQueryParams(db->connection, statement->text, 0, NULL, NULL, NULL, NULL, 1)
            : PQsendQueryPrepared(db->connection, statement->name, (int)statement->param_count,
                                  encoded.values, encoded.lengths, encoded.formats, 1);
    if (is_sent != 1 || PQsetSingleRowMode(db->connection) != 1) {
        return postgres_fail(db, NULL, err);
    }
    db->streaming = &rows;
    status = give_rows(&rows, asking->on_row, asking->state, &asking->rows, err);
    end_rows(&rows);
    return status;
}

enum cvm_status postgres_query(struct cvm_db *base, const char *sql,
                               const struct cvm_db_value *params, size_t param_count,
                               cvm_db_row_fn on_row, void *state, struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct asking asking = {sql, params, param_count, on_row, state, 0};
    base->gave_way &= base->in_transaction;
    enum cvm_status status = ask(db, &asking, err);
    /* Found out only now that the server had gone, or that a standby wanted the rows away: as long
     * as no row was given, one that is not the only writer may ask again. */
    bool is_retried = status == CVM_E_UNAVAILABLE && (postgres_is_lost(db) || base->gave_way) &&
                      asking.rows == 0 && base->access != CVM_DB_WRITE && !base->in_transaction &&
                      db->cursor_count == 0;
    return is_retried ? ask(db, &asking, err) : status;
}

/* ---- cursors ---- */

struct postgres_cursor {
    struct cvm_db_cursor base;
    struct postgres_db *db;
    char name[32];
    bool is_declared;
    bool is_done;
    PGresult *rows;
    int next;
    int fetch_rows; /* of the next part */
    struct cvm_text declaration;
    struct cvm_text values; /* the texts and blobs, copied */
    size_t param_count;
    Oid types[CVM_DB_PARAMS_MAX];
    struct postgres_params params;
    struct cvm_db_value columns[CVM_DB_COLUMNS_MAX];
};

/* Texts are borrowed from the caller until here. */
static bool copy_values(struct postgres_cursor *cursor)
{
    struct postgres_params *params = &cursor->params;
    size_t offsets[CVM_DB_PARAMS_MAX];
    for (size_t i = 0; i < cursor->param_count; i++) {
        offsets[i] = cursor->values.length;
        if (params->values[i] != NULL) {
            cvm_text_add_bytes(&cursor->values, params->values[i], (size_t)params->lengths[i]);
            cvm_text_add_char(&cursor->values, '\0');
        }
    }
    for (size_t i = 0; !cursor->values.failed && i < cursor->param_count; i++) {
        params->values[i] = params->values[i] == NULL ? NULL : cursor->values.data + offsets[i];
    }
    return !cursor->values.failed;
}

static enum cvm_status begin_for_cursors(struct postgres_db *db, struct cvm_error *err)
{
    if (db->base.in_transaction || db->has_cursor_transaction) {
        return CVM_OK;
    }
    enum cvm_status status = postgres_run(db, "BEGIN", err);
    db->has_cursor_transaction = status == CVM_OK;
    return status;
}

static void end_for_cursors(struct postgres_db *db)
{
    if (db->cursor_count == 0 && db->has_cursor_transaction) {
        db->has_cursor_transaction = false;
        if (!postgres_is_lost(db)) {
            PQclear(PQexec(db->connection, "COMMIT"));
        }
    }
}

/* On the first row, so that a cursor that nobody reads costs nothing. */
static enum cvm_status declare(struct postgres_cursor *cursor, struct cvm_error *err)
{
    struct postgres_db *db = cursor->db;
    enum cvm_status status = begin_for_cursors(db, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct postgres_params *params = &cursor->params;
    PGresult *result = PQexecParams(db->connection, cvm_text_string(&cursor->declaration),
                                    (int)cursor->param_count, cursor->types, params->values,
                                    params->lengths, params->formats, 1);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        status = postgres_fail(db, result, err);
        end_for_cursors(db);
        return status;
    }
    PQclear(result);
    cursor->is_declared = true;
    db->cursor_count++;
    return CVM_OK;
}

static int rows_that_fit(const PGresult *part)
{
    size_t rows = (size_t)PQntuples(part);
    size_t bytes = PQresultMemorySize(part);
    size_t fit = rows == 0 ? FETCH_ROWS : FETCH_BYTES / (bytes / rows + 1);
    return fit < 1 ? 1 : fit > FETCH_ROWS ? FETCH_ROWS : (int)fit;
}

static enum cvm_status fetch(struct postgres_cursor *cursor, struct cvm_error *err)
{
    char sql[80];
    (void)snprintf(sql, sizeof(sql), "FETCH %d FROM %s", cursor->fetch_rows, cursor->name);
    PGresult *result =
        PQexecParams(cursor->db->connection, sql, 0, NULL, NULL, NULL, NULL, 1 /* binary */);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        return postgres_fail(cursor->db, result, err);
    }
    PQclear(cursor->rows);
    cursor->rows = result;
    cursor->next = 0;
    cursor->is_done = PQntuples(result) < cursor->fetch_rows;
    cursor->fetch_rows = rows_that_fit(result);
    return CVM_OK;
}

static enum cvm_status cursor_next(struct cvm_db_cursor *base,
                                   const struct cvm_db_value **out_columns, struct cvm_error *err)
{
    struct postgres_cursor *cursor = (struct postgres_cursor *)base;
    enum cvm_status status = CVM_OK;
    if (!cursor->is_done && (cursor->rows == NULL || cursor->next == PQntuples(cursor->rows))) {
        status = postgres_ready(cursor->db, err);
        if (status == CVM_OK && !cursor->is_declared) {
            status = declare(cursor, err);
        }
        if (status == CVM_OK) {
            status = fetch(cursor, err);
        }
    }
    if (status != CVM_OK) {
        return status;
    }
    if (cursor->rows == NULL || cursor->next == PQntuples(cursor->rows)) {
        *out_columns = NULL;
        return CVM_OK;
    }
    status = postgres_decode(cursor->rows, cursor->next++, cursor->columns, err);
    if (status == CVM_OK) {
        *out_columns = cursor->columns;
    }
    return status;
}

static void cursor_close(struct cvm_db_cursor *base)
{
    struct postgres_cursor *cursor = (struct postgres_cursor *)base;
    struct postgres_db *db = cursor->db;
    if (cursor->is_declared) {
        db->cursor_count--;
        bool ends_all = db->cursor_count == 0 && db->has_cursor_transaction;
        if (!ends_all && postgres_ready(db, NULL) == CVM_OK &&
            PQtransactionStatus(db->connection) == PQTRANS_INTRANS) {
            char sql[64];
            (void)snprintf(sql, sizeof(sql), "CLOSE %s", cursor->name);
            PQclear(PQexec(db->connection, sql));
        }
        end_for_cursors(db);
    }
    PQclear(cursor->rows);
    cvm_text_finish(&cursor->declaration);
    cvm_text_finish(&cursor->values);
    free(cursor);
}

enum cvm_status postgres_scan(struct cvm_db *base, const char *sql,
                              const struct cvm_db_value *params, size_t param_count,
                              struct cvm_db_cursor **out_cursor, struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct postgres_statement *statement = NULL;
    struct postgres_cursor *cursor = calloc(1, sizeof(*cursor));
    if (cursor == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cursor");
    }
    cvm_text_init(&cursor->declaration, 0);
    cvm_text_init(&cursor->values, 0);
    cursor->db = db;
    cursor->base.next = cursor_next;
    cursor->base.close = cursor_close;
    cursor->param_count = param_count;
    cursor->fetch_rows = FETCH_FIRST;
    enum cvm_status status = postgres_acquire(db, sql, param_count, &statement, err);
    if (status == CVM_OK) {
        status = postgres_encode(statement, params, &cursor->params, err);
    }
    if (status == CVM_OK) {
        memcpy(cursor->types, statement->types, sizeof(cursor->types));
        (void)snprintf(cursor->name, sizeof(cursor->name), "cvm_%llu",
                       (unsigned long long)++db->cursors_made);
        cvm_text_add_format(&cursor->declaration, "DECLARE %s NO SCROLL CURSOR FOR %s",
                            cursor->name, sql);
        if (cursor->declaration.failed || !copy_values(cursor)) {
            status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a cursor");
        }
    }
    if (status != CVM_OK) {
        cursor_close(&cursor->base);
        return status;
    }
    *out_cursor = &cursor->base;
    return CVM_OK;
}

/* ---- what the rows will be ---- */

enum cvm_status postgres_describe(struct cvm_db *base, const char *sql,
                                  struct cvm_db_column *columns, size_t *out_count,
                                  struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    enum cvm_status status = postgres_ready(db, err);
    if (status != CVM_OK) {
        return status;
    }
    db->unnamed.is_prepared = false;
    PGresult *result = PQprepare(db->connection, "", sql, 0, NULL);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQdescribePrepared(db->connection, "");
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        return postgres_fail(db, result, err);
    }
    size_t count = (size_t)PQnfields(result);
    if (count > CVM_DB_COLUMNS_MAX) {
        status = CVM_FAIL(err, CVM_E_LIMIT, "there are %zu columns, at most %d are read", count,
                          CVM_DB_COLUMNS_MAX);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        /* The server cuts names at 63 bytes. */
        (void)!snprintf(columns[i].name, sizeof(columns[i].name), "%s", PQfname(result, (int)i));
        columns[i].kind = postgres_kind_of_type(PQftype(result, (int)i));
    }
    PQclear(result);
    if (status == CVM_OK) {
        *out_count = count;
    }
    return status;
}
