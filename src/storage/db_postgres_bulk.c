/* db_postgres_bulk.c - many rows into PostgreSQL: by COPY in the binary format where the statement
 * is a plain insert of its values, else by one statement per row, sent without waiting for answers.
 *
 * Rows are gathered in parts, encoded as COPY wants them. A statement with ON CONFLICT tries COPY
 * too: rows are rarely there before. Where some are, the same bytes go row by row. */
#include "storage/db_postgres.h"

#include <ctype.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PART_BYTES ((size_t)1 << 20)
/* Answers wait in the socket meanwhile: some 40 bytes each. */
#define ROWS_IN_FLIGHT 500
/* Parts that go row by row after one whose rows were there. */
#define COPIES_TO_SKIP 50

/* Signature, no flags, no extension. */
static const char copy_header[19] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0";
static const char copy_trailer[2] = {'\377', '\377'};

/* ---- what can be copied ---- */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

static const char *skip_word(const char *at, const char *word)
{
    size_t length = strlen(word);
    bool is_there = at != NULL && strncasecmp(at, word, length) == 0;
    return is_there ? skip_blanks(at + length) : NULL;
}

/* After "($1, $2, ..., $n)"; NULL when it is anything else. */
static const char *skip_values(const char *at, size_t param_count)
{
    at = skip_word(at, "(");
    for (size_t i = 1; at != NULL && i <= param_count; i++) {
        char *end = NULL;
        if (*at != '$' || strtoul(at + 1, &end, 10) != i) {
            return NULL;
        }
        at = skip_word(skip_blanks(end), i < param_count ? "," : ")");
    }
    return at;
}

char *postgres_copy_of(const char *sql, size_t param_count, bool *out_replaces)
{
    const char *table = skip_word(skip_blanks(sql), "INSERT INTO ");
    const char *columns = table == NULL ? NULL : strchr(table, '(');
    const char *end = columns == NULL ? NULL : strchr(columns, ')');
    const char *values = end == NULL ? NULL : skip_word(skip_blanks(end + 1), "VALUES");
    const char *rest = values == NULL || param_count == 0 ? NULL : skip_values(values, param_count);
    if (rest == NULL) {
        return NULL;
    }
    bool replaces = skip_word(rest, "ON CONFLICT") != NULL;
    if (*rest != '\0' && !replaces) {
        return NULL;
    }
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, "SAVEPOINT cvm; COPY ");
    cvm_text_add_bytes(&text, table, (size_t)(end + 1 - table));
    cvm_text_add(&text, " FROM STDIN (FORMAT binary); RELEASE cvm");
    if (text.failed) { /* it is slower without */
        cvm_text_finish(&text);
        return NULL;
    }
    *out_replaces = replaces;
    return text.data;
}

/* ---- parts ---- */

struct loading {
    struct postgres_db *db;
    struct postgres_statement *statement;
    struct cvm_text *part; /* rows as COPY wants them: count, then length and bytes of each value */
    size_t part_rows;
};

static void add_row(struct loading *l, const struct postgres_params *params)
{
    uint16_t count = htobe16((uint16_t)l->statement->param_count);
    cvm_text_add_bytes(l->part, &count, sizeof(count));
    for (size_t i = 0; i < l->statement->param_count; i++) {
        bool is_null = params->values[i] == NULL;
        uint32_t length = htobe32(is_null ? UINT32_MAX : (uint32_t)params->lengths[i]);
        cvm_text_add_bytes(l->part, &length, sizeof(length));
        if (!is_null) {
            cvm_text_add_bytes(l->part, params->values[i], (size_t)params->lengths[i]);
        }
    }
    l->part_rows++;
}

/* The row at `at`, whose values stay where they are; the place after it. */
static size_t read_row(const struct loading *l, size_t at, struct postgres_params *params)
{
    const char *data = l->part->data;
    at += sizeof(uint16_t);
    for (size_t i = 0; i < l->statement->param_count; i++) {
        uint32_t length = 0;
        memcpy(&length, data + at, sizeof(length));
        length = be32toh(length);
        at += sizeof(length);
        params->formats[i] = 1;
        params->values[i] = length == UINT32_MAX ? NULL : data + at;
        params->lengths[i] = length == UINT32_MAX ? 0 : (int)length;
        at += length == UINT32_MAX ? 0 : length;
    }
    return at;
}

/* ---- by COPY ---- */

/* True when the part is in; false with *out_result, the answer, when it was refused. Savepoint and
 * release go with it: each wait for the server costs more than the rows of a small part. */
static bool copy_part(struct loading *l, PGresult **out_result)
{
    PGconn *c = l->db->connection;
    PGresult *result = PQexec(c, l->statement->copy);
    if (PQresultStatus(result) != PGRES_COPY_IN) {
        *out_result = result;
        return false;
    }
    PQclear(result);
    bool is_sent = PQputCopyData(c, copy_header, sizeof(copy_header)) == 1 &&
                   PQputCopyData(c, l->part->data, (int)l->part->length) == 1 &&
                   PQputCopyData(c, copy_trailer, sizeof(copy_trailer)) == 1;
    (void)PQputCopyEnd(c, is_sent ? NULL : "not all was sent");
    result = PQgetResult(c);
    for (PGresult *more = NULL; (more = PQgetResult(c)) != NULL;) {
        PQclear(more);
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        *out_result = result;
        return false;
    }
    PQclear(result);
    return true;
}

static bool is_unique_violation(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return state != NULL && strcmp(state, "23505") == 0;
}

/* Refused, or with rows that are there: nothing of it stays, and the transaction goes on. */
static enum cvm_status try_copy(struct loading *l, bool *out_is_in, struct cvm_error *err)
{
    PGresult *result = NULL;
    if (copy_part(l, &result)) {
        *out_is_in = true;
        return CVM_OK;
    }
    if (!l->statement->replaces || !is_unique_violation(result)) {
        enum cvm_status status = postgres_fail(l->db, result, err);
        if (!postgres_is_lost(l->db)) {
            (void)postgres_step(l->db, POSTGRES_UNDO, NULL);
            (void)postgres_step(l->db, POSTGRES_RELEASE, NULL);
        }
        return status;
    }
    PQclear(result);
    enum cvm_status status = postgres_step(l->db, POSTGRES_UNDO, err);
    return status == CVM_OK ? postgres_step(l->db, POSTGRES_RELEASE, err) : status;
}

/* ---- row by row ---- */

static enum cvm_status take_answers(struct postgres_db *db, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (;;) {
        PGresult *result = PQgetResult(db->connection);
        ExecStatusType state = PQresultStatus(result);
        if (result == NULL && !postgres_is_lost(db)) {
            continue; /* ends each statement */
        }
        if (result == NULL || state == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            return result == NULL && status == CVM_OK ? postgres_fail(db, NULL, err) : status;
        }
        if (state == PGRES_FATAL_ERROR && status == CVM_OK) {
            status = postgres_fail(db, result, err);
        } else {
            PQclear(result);
        }
    }
}

static enum cvm_status send_rows(struct loading *l, struct cvm_error *err)
{
    PGconn *c = l->db->connection;
    struct postgres_params params;
    enum cvm_status status = CVM_OK;
    size_t at = 0;
    size_t in_flight = 0;
    while (status == CVM_OK && at < l->part->length) {
        at = read_row(l, at, &params);
        if (PQsendQueryPrepared(c, l->statement->name, (int)l->statement->param_count,
                                params.values, params.lengths, params.formats, 1) != 1) {
            return postgres_fail(l->db, NULL, err);
        }
        if (++in_flight == ROWS_IN_FLIGHT || at == l->part->length) {
            in_flight = 0;
            status =
                PQpipelineSync(c) == 1 ? take_answers(l->db, err) : postgres_fail(l->db, NULL, err);
        }
    }
    return status;
}

static enum cvm_status load_rows(struct loading *l, struct cvm_error *err)
{
    if (PQenterPipelineMode(l->db->connection) != 1) {
        return postgres_fail(l->db, NULL, err);
    }
    enum cvm_status status = send_rows(l, err);
    (void)PQexitPipelineMode(l->db->connection);
    return status;
}

/* ---- all of it ---- */

static enum cvm_status end_part(struct loading *l, struct cvm_error *err)
{
    struct postgres_statement *statement = l->statement;
    bool is_in = false;
    enum cvm_status status = CVM_OK;
    if (l->part->failed) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for rows to load");
    }
    if (l->part_rows == 0) {
        return CVM_OK;
    }
    if (statement->copies_to_skip > 0) {
        statement->copies_to_skip--;
    } else if (statement->copy != NULL) {
        status = try_copy(l, &is_in, err);
        statement->copies_to_skip = status == CVM_OK && !is_in ? COPIES_TO_SKIP : 0;
    }
    if (status == CVM_OK && !is_in) {
        status = load_rows(l, err);
    }
    cvm_text_clear(l->part);
    l->part_rows = 0;
    return status;
}

static void find_copy(struct postgres_statement *statement)
{
    /* The statement without a name would not outlive the COPY. */
    bool is_kept = statement->kind == POSTGRES_CHANGES && statement->name[0] != '\0';
    if (is_kept && !statement->is_tried) {
        statement->copy =
            postgres_copy_of(statement->text, statement->param_count, &statement->replaces);
        statement->is_tried = true;
    }
}

enum cvm_status postgres_bulk_load(struct cvm_db *base, const char *sql, size_t param_count,
                                   cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                   struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct loading l = {.db = db, .part = &db->encoded};
    struct cvm_db_value params[CVM_DB_PARAMS_MAX];
    struct postgres_params encoded;
    bool has_row = true;
    enum cvm_status status = postgres_acquire(db, sql, param_count, &l.statement, err);
    if (status != CVM_OK) {
        return status;
    }
    find_copy(l.statement);
    cvm_text_clear(l.part);
    while (status == CVM_OK && has_row) {
        status = next_row(state, params, param_count, &has_row, err);
        if (status == CVM_OK && has_row) {
            status = postgres_encode(l.statement, params, &encoded, err);
        }
        if (status == CVM_OK && has_row) {
            add_row(&l, &encoded);
            (*out_rows)++;
        }
        if (status == CVM_OK && (!has_row || l.part->length >= PART_BYTES)) {
            status = end_part(&l, err);
        }
    }
    return status;
}
