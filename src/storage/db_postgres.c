/* db_postgres.c - PostgreSQL behind db_backend.h: statements prepared once per connection, values
 * and rows in the binary format.
 *
 * A failed statement costs PostgreSQL the whole transaction. The contract is that a refused one
 * does not, so a change inside a transaction runs between SAVEPOINT and RELEASE, all three in one
 * round trip. */
#include "storage/db_postgres.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hash.h"
#include "storage/sql_names.h"

#include "storage/sql_postgres.h"

static const struct cvm_sql_dialect dialect = {
    .statements = postgres_statements,
    .store = store_migrations,
    .journeys = journeys_migrations,
};

/* ---- errors ---- */

#define SERIALIZATION_FAILURE "40001"
#define DEADLOCK_DETECTED     "40P01"

struct meaning {
    const char *prefix; /* of the SQLSTATE; the first that fits counts */
    enum cvm_status status;
    const char *hint;
};

#define POOLER_HINT                                                                                \
    "A pooler gave the connection away in between: name the server itself in the URL, or pool by " \
    "session."

static const struct meaning meanings[] = {
    {"23", CVM_E_CONFLICT, NULL},
    {"22", CVM_E_CONFLICT, NULL},
    {"25006", CVM_E_DENIED, NULL},
    {"25P02", CVM_E_UNAVAILABLE, NULL},
    {"25P03", CVM_E_UNAVAILABLE,
     "The server ended a session that waited for its own process; nothing of the transaction was "
     "kept: run the command again."},
    {"26", CVM_E_UNAVAILABLE, POOLER_HINT},
    {"28", CVM_E_DENIED, "Check the user and the password of the URL."},
    {"3D000", CVM_E_NOT_FOUND, NULL},
    {"40", CVM_E_UNAVAILABLE, "Other work was in the way; nothing was changed: try again."},
    {"42501", CVM_E_DENIED, "Grant the user what it needs, or name another one in the URL."},
    {"42P05", CVM_E_UNAVAILABLE, POOLER_HINT},
    {"42", CVM_E_INTERNAL, NULL},
    {"53100", CVM_E_UNAVAILABLE, POSTGRES_FULL_HINT},
    {"53300", CVM_E_UNAVAILABLE,
     "The server has no connection left: set `connections` in cvm.yaml, or raise its "
     "max_connections."},
    {"53", CVM_E_UNAVAILABLE, "The server lacks memory or disk; nothing was changed."},
    {"54", CVM_E_LIMIT, NULL},
    {"55P03", CVM_E_UNAVAILABLE, "Something else has the table locked: try again."},
    {"57014", CVM_E_UNAVAILABLE,
     "The server ended a statement that took longer than its statement_timeout; nothing was "
     "changed. Set more in the URL: ?options=-cstatement_timeout%3D1h."},
    {"57P05", CVM_E_UNAVAILABLE,
     "The server ended a session that waited for its own process: run the command again."},
    {"57", CVM_E_UNAVAILABLE, "The server was stopped: try again when it is back."},
    {"58", CVM_E_UNAVAILABLE, "Check the disk of the server."},
    {"08", CVM_E_UNAVAILABLE, NULL},
    {"XX001", CVM_E_CORRUPT, "Restore the database from a backup."},
    {"XX002", CVM_E_CORRUPT, "Restore the database from a backup."},
};

#define LOST_HINT "run the command again when the server is back; it goes on from what is there."

bool postgres_is_lost(const struct postgres_db *db)
{
    return PQstatus(db->connection) != CONNECTION_OK;
}

static enum cvm_status fail_lost(struct postgres_db *db, struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE, "%s: the connection to the server was lost", db->shown);
    return cvm_error_hint(err, status, "%s",
                          db->base.in_transaction
                              ? "Nothing of the transaction was kept: " LOST_HINT
                              : "What was committed is kept: " LOST_HINT);
}

static const char *trimmed(const char *message, size_t *out_length)
{
    size_t length = strcspn(message, "\n");
    *out_length = length;
    return message;
}

enum cvm_status postgres_fail(struct postgres_db *db, PGresult *result, struct cvm_error *err)
{
    const char *state = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = result == NULL ? NULL : PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const struct meaning *meaning = NULL;
    /* libpq's own words: it is told that the server has gone when it reads again. */
    for (int i = 0; i < 3 && state == NULL && !postgres_is_lost(db); i++) {
        (void)PQconsumeInput(db->connection);
    }
    for (size_t i = 0; state != NULL && i < sizeof(meanings) / sizeof(meanings[0]); i++) {
        if (strncmp(state, meanings[i].prefix, strlen(meanings[i].prefix)) == 0) {
            meaning = &meanings[i];
            break;
        }
    }
    enum cvm_status status = CVM_E_INTERNAL;
    if (meaning == NULL && postgres_is_lost(db)) {
        status = fail_lost(db, err);
    } else {
        size_t length = 0;
        const char *message =
            trimmed(text != NULL ? text : PQerrorMessage(db->connection), &length);
        enum cvm_status found = meaning == NULL ? CVM_E_INTERNAL : meaning->status;
        status = CVM_FAIL(err, found, "%s: %.*s", db->shown, (int)length, message);
        if (meaning != NULL && meaning->hint != NULL) {
            status = cvm_error_hint(err, status, "%s", meaning->hint);
        }
    }
    db->base.gave_way |= state != NULL && (strcmp(state, SERIALIZATION_FAILURE) == 0 ||
                                           strcmp(state, DEADLOCK_DETECTED) == 0);
    PQclear(result);
    return status;
}

/* ---- statements ---- */

enum cvm_status postgres_run(struct postgres_db *db, const char *sql, struct cvm_error *err)
{
    PGresult *result = PQexec(db->connection, sql);
    ExecStatusType state = PQresultStatus(result);
    if (state != PGRES_COMMAND_OK && state != PGRES_TUPLES_OK) {
        return postgres_fail(db, result, err);
    }
    PQclear(result);
    return CVM_OK;
}

enum cvm_status postgres_step(struct postgres_db *db, const char *name, struct cvm_error *err)
{
    PGresult *result = PQexecPrepared(db->connection, name, 0, NULL, NULL, NULL, 1);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        return postgres_fail(db, result, err);
    }
    PQclear(result);
    return CVM_OK;
}

enum cvm_status postgres_ready(struct postgres_db *db, struct cvm_error *err)
{
    if (db->streaming != NULL) {
        enum cvm_status status = postgres_keep_rows(db, err);
        if (status != CVM_OK) {
            return status;
        }
    }
    if (!postgres_is_lost(db)) {
        return CVM_OK;
    }
    /* The only writer had the lock, which went with its connection: another one may have written
     * since, so what this process knows of the store may be old. It ends, and is started again. One
     * that shares the store knows nothing across its transactions. */
    bool may_return = db->base.access != CVM_DB_WRITE && !db->base.in_transaction &&
                      db->cursor_count == 0 && !db->is_lost;
    return may_return ? postgres_reconnect(db, err) : fail_lost(db, err);
}

static enum postgres_kind kind_of(const char *sql)
{
    static const struct {
        const char *word;
        enum postgres_kind kind;
    } words[] = {
        {"SELECT", POSTGRES_READS},   {"WITH", POSTGRES_READS},     {"VALUES", POSTGRES_READS},
        {"INSERT", POSTGRES_CHANGES}, {"UPDATE", POSTGRES_CHANGES}, {"DELETE", POSTGRES_CHANGES},
    };
    const char *at = sql + strspn(sql, " \t\r\n");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t length = strlen(words[i].word);
        if (strncasecmp(at, words[i].word, length) == 0 && !isalpha((unsigned char)at[length])) {
            return words[i].kind;
        }
    }
    return POSTGRES_OTHER;
}

static struct postgres_statement *slot_of(struct postgres_db *db, const char *sql)
{
    size_t at = (size_t)cvm_hash_mix((uint64_t)(uintptr_t)sql, 0);
    for (;; at++) {
        struct postgres_statement *slot = &db->statements[at % POSTGRES_STATEMENT_SLOTS];
        if (slot->sql == NULL || slot->sql == sql) {
            return slot; /* there is always a free one: POSTGRES_STATEMENTS_MAX */
        }
    }
}

static enum cvm_status describe(struct postgres_db *db, struct postgres_statement *statement,
                                struct cvm_error *err)
{
    PGresult *result = PQdescribePrepared(db->connection, statement->name);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        return postgres_fail(db, result, err);
    }
    int params = PQnparams(result);
    int columns = PQnfields(result);
    for (int i = 0; i < params && i < CVM_DB_PARAMS_MAX; i++) {
        statement->types[i] = PQparamtype(result, i);
    }
    PQclear(result);
    if (params > CVM_DB_PARAMS_MAX || columns > CVM_DB_COLUMNS_MAX) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "not one statement of at most %d columns: %.60s",
                        CVM_DB_COLUMNS_MAX, statement->text);
    }
    statement->param_count = (size_t)params;
    statement->is_prepared = true;
    return CVM_OK;
}

static enum cvm_status prepare(struct postgres_db *db, struct postgres_statement *statement,
                               struct cvm_error *err)
{
    PGresult *result =
        PQprepare(db->connection, statement->name, statement->text, 0, NULL /* the server knows */);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        return postgres_fail(db, result, err);
    }
    PQclear(result);
    return describe(db, statement, err);
}

/* The slot of the text, new or known; the one without a name where another text has its address. */
static enum cvm_status find_statement(struct postgres_db *db, const char *sql,
                                      struct postgres_statement **out_statement,
                                      struct cvm_error *err)
{
    struct postgres_statement *slot = slot_of(db, sql);
    if (slot->sql != NULL && strcmp(slot->text, sql) == 0) {
        *out_statement = slot;
        return CVM_OK;
    }
    enum postgres_kind kind = kind_of(sql);
    bool is_kept = slot->sql == NULL && kind != POSTGRES_OTHER &&
                   db->statement_count < POSTGRES_STATEMENTS_MAX;
    struct postgres_statement *statement = is_kept ? slot : &db->unnamed;
    char *text = strdup(sql);
    if (text == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a statement");
    }
    if (!is_kept) {
        free(statement->text);
        free(statement->copy);
    }
    *statement = (struct postgres_statement){.sql = sql, .text = text, .kind = kind};
    if (is_kept) {
        (void)snprintf(statement->name, sizeof(statement->name), "cvm%zu", db->statement_count++);
    }
    *out_statement = statement;
    return CVM_OK;
}

enum cvm_status postgres_acquire(struct postgres_db *db, const char *sql, size_t param_count,
                                 struct postgres_statement **out_statement, struct cvm_error *err)
{
    struct postgres_statement *statement = NULL;
    enum cvm_status status = postgres_ready(db, err);
    if (status == CVM_OK) {
        status = find_statement(db, sql, &statement, err);
    }
    if (status == CVM_OK && statement->kind != POSTGRES_OTHER && !statement->is_prepared) {
        status = prepare(db, statement, err);
    }
    if (status == CVM_OK && statement->param_count != param_count) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "%zu values for %zu parameters: %.60s", param_count,
                        statement->param_count, sql);
    }
    if (status == CVM_OK) {
        *out_statement = statement;
    }
    return status;
}

/* ---- transactions ---- */

/* A pooler by transaction may go on with another process of the server, where the lock is not. */
static enum cvm_status begin_to_write(struct postgres_db *db, struct cvm_error *err)
{
    PGresult *result = PQexec(
        db->connection, db->base.is_light
                            ? "BEGIN; SET LOCAL synchronous_commit = off; SELECT pg_backend_pid()"
                            : "BEGIN; SELECT pg_backend_pid()");
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        return postgres_fail(db, result, err);
    }
    long backend = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    PQclear(result);
    if (db->locking_backend == 0 || backend == db->locking_backend) {
        return CVM_OK;
    }
    PQclear(PQexec(db->connection, "ROLLBACK"));
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE, "%s: the lock of the only writer was lost", db->shown);
    return cvm_error_hint(err, status, "%s", POOLER_HINT);
}

static enum cvm_status begin_to_read(struct postgres_db *db, struct cvm_error *err)
{
    /* The snapshot is taken by the first read. */
    static const char sql[] = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1";
    enum cvm_status status = postgres_run(db, sql, err);
    if (status != CVM_OK && postgres_is_lost(db)) { /* nothing was done yet */
        status = postgres_ready(db, err);
        status = status == CVM_OK ? postgres_run(db, sql, err) : status;
    }
    return status;
}

static enum cvm_status begin_to_share(struct postgres_db *db, struct cvm_error *err)
{
    enum cvm_status status = postgres_begin_shared(db, err);
    if (status != CVM_OK && postgres_is_lost(db)) { /* nothing was done yet */
        status = postgres_ready(db, err);
        status = status == CVM_OK ? postgres_begin_shared(db, err) : status;
    }
    return status;
}

static enum cvm_status postgres_begin(struct cvm_db *base, struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    enum cvm_status status = postgres_ready(db, err);
    if (status == CVM_OK && db->has_cursor_transaction) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "a transaction may not begin while a cursor is open");
    }
    if (status != CVM_OK) {
        return status;
    }
    switch (base->access) {
    case CVM_DB_WRITE:
        return begin_to_write(db, err);
    case CVM_DB_SHARED:
        return begin_to_share(db, err);
    case CVM_DB_READ:
    default:
        return begin_to_read(db, err);
    }
}

static enum cvm_status postgres_commit(struct cvm_db *base, struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    enum cvm_status status = postgres_ready(db, err);
    if (status != CVM_OK) {
        return status;
    }
    PGresult *result = PQexec(db->connection, "COMMIT");
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        status = postgres_fail(db, result, err);
        return postgres_is_lost(db)
                   ? cvm_error_hint(err, status,
                                    "Whether the last change was kept is not known: " LOST_HINT)
                   : status;
    }
    /* A transaction that failed before ends with the answer "ROLLBACK". */
    bool is_kept = strcmp(PQcmdStatus(result), "COMMIT") == 0;
    PQclear(result);
    return is_kept
               ? CVM_OK
               : CVM_FAIL(err, CVM_E_UNAVAILABLE,
                          "%s: the transaction was given up after an earlier failure", db->shown);
}

static void postgres_rollback(struct cvm_db *base)
{
    struct postgres_db *db = (struct postgres_db *)base;
    if (db->streaming != NULL) {
        (void)postgres_keep_rows(db, NULL);
    }
    if (!postgres_is_lost(db) && PQtransactionStatus(db->connection) != PQTRANS_IDLE) {
        PQclear(PQexec(db->connection, "ROLLBACK"));
    }
}

/* The server folds its own log. */
static enum cvm_status postgres_checkpoint(struct cvm_db *base, struct cvm_error *err)
{
    return postgres_ready((struct postgres_db *)base, err);
}

/* ---- statements without rows ---- */

static void note_changed(PGresult *result, int64_t *out_changed)
{
    if (out_changed != NULL) {
        *out_changed = strtoll(PQcmdTuples(result), NULL, 10);
    }
}

static bool is_done(PGresult *result)
{
    ExecStatusType state = PQresultStatus(result);
    return state == PGRES_COMMAND_OK || state == PGRES_TUPLES_OK;
}

static PGresult *execute(struct postgres_db *db, const struct postgres_statement *statement,
                         const struct postgres_params *params)
{
    return statement->kind == POSTGRES_OTHER
               ? PQexecParams(db->connection, statement->text, 0, NULL, NULL, NULL, NULL, 1)
               : PQexecPrepared(db->connection, statement->name, (int)statement->param_count,
                                params->values, params->lengths, params->formats, 1);
}

static bool send_guarded(struct postgres_db *db, const struct postgres_statement *statement,
                         const struct postgres_params *params)
{
    PGconn *c = db->connection;
    return PQsendQueryPrepared(c, POSTGRES_SAVE, 0, NULL, NULL, NULL, 1) == 1 &&
           PQsendQueryPrepared(c, statement->name, (int)statement->param_count, params->values,
                               params->lengths, params->formats, 1) == 1 &&
           PQsendQueryPrepared(c, POSTGRES_RELEASE, 0, NULL, NULL, NULL, 1) == 1 &&
           PQpipelineSync(c) == 1;
}

/* The results of send_guarded(): that of the statement is kept. */
static PGresult *take_guarded(struct postgres_db *db)
{
    PGresult *kept = NULL;
    int number = 0;
    for (;;) {
        PGresult *result = PQgetResult(db->connection);
        if (result == NULL) { /* ends each statement */
            if (postgres_is_lost(db) || ++number > 3) {
                return kept;
            }
            continue;
        }
        ExecStatusType state = PQresultStatus(result);
        bool is_failure = state == PGRES_FATAL_ERROR && (kept == NULL || is_done(kept));
        if ((number == 1 && kept == NULL) || is_failure) {
            PQclear(kept);
            kept = result;
        } else {
            PQclear(result);
        }
        if (state == PGRES_PIPELINE_SYNC) {
            return kept;
        }
    }
}

/* A change in a transaction: undone alone when it is refused. */
static enum cvm_status exec_guarded(struct postgres_db *db,
                                    const struct postgres_statement *statement,
                                    const struct postgres_params *params, int64_t *out_changed,
                                    struct cvm_error *err)
{
    if (PQenterPipelineMode(db->connection) != 1) {
        return postgres_fail(db, NULL, err);
    }
    bool is_sent = send_guarded(db, statement, params);
    PGresult *result = is_sent ? take_guarded(db) : NULL;
    (void)PQexitPipelineMode(db->connection);
    if (result != NULL && is_done(result)) {
        note_changed(result, out_changed);
        PQclear(result);
        return CVM_OK;
    }
    enum cvm_status status = postgres_fail(db, result, err);
    if (!postgres_is_lost(db)) {
        (void)postgres_step(db, POSTGRES_UNDO, NULL);
        (void)postgres_step(db, POSTGRES_RELEASE, NULL);
    }
    return status;
}

enum cvm_status postgres_exec(struct cvm_db *base, const char *sql,
                              const struct cvm_db_value *params, size_t param_count,
                              int64_t *out_changed, struct cvm_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct postgres_statement *statement = NULL;
    struct postgres_params encoded;
    enum cvm_status status = postgres_acquire(db, sql, param_count, &statement, err);
    if (status == CVM_OK) {
        status = postgres_encode(statement, params, &encoded, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    if (base->access == CVM_DB_SHARED && !base->in_transaction) {
        return CVM_FAIL(err, CVM_E_INTERNAL, "a change beside others needs a transaction: %.60s",
                        sql);
    }
    if (base->in_transaction && statement->kind != POSTGRES_OTHER) {
        return exec_guarded(db, statement, &encoded, out_changed, err);
    }
    PGresult *result = execute(db, statement, &encoded);
    if (!is_done(result)) {
        return postgres_fail(db, result, err);
    }
    note_changed(result, out_changed);
    PQclear(result);
    return CVM_OK;
}

const struct cvm_db_backend cvm_db_postgres = {
    .scheme = "postgresql",
    .short_scheme = "postgres",
    .dialect = &dialect,
    .open = postgres_open,
    .close = postgres_close,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .exec = postgres_exec,
    .query = postgres_query,
    .bulk_load = postgres_bulk_load,
    .scan = postgres_scan,
    .describe = postgres_describe,
    .checkpoint = postgres_checkpoint,
};
