/* db_postgres_open.c - connecting to PostgreSQL, and again; the lock of the only writer.
 *
 * Everything that a URL of libpq may say is allowed (several hosts, TLS, options). Passwords come
 * from the URL, PGPASSWORD or ~/.pgpass and are never shown. */
#include "storage/db_postgres.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/store_lock.h"

#define VERSION_MIN     130000
#define MESSAGE_BYTES   300
#define SETTING_BYTES   512
#define APPLICATION_MAX 63 /* the server cuts longer names */

static const char url_hint[] =
    "Write it as postgresql://USER@HOST:PORT/DATABASE; a password may stand in ~/.pgpass.";

/* What a role or a database sets must not change what statements mean, nor end a session that waits
 * for its own process: while a run solves, its transactions are idle. */
static const char session_sql[] =
    "SET cursor_tuple_fraction = 1; SET jit = off; SET client_min_messages = warning; "
    "SET client_encoding = 'UTF8'; SET standard_conforming_strings = on; "
    "SET default_transaction_isolation = 'read committed'; "
    "SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES "
    "('idle_in_transaction_session_timeout', '1h'), ('idle_session_timeout', '0'), "
    "('transaction_timeout', '0')) AS w (name, value) USING (name)";

/* Defaults that the URL, the user or the database may set otherwise: a wait for a lock, or a
 * statement, never lasts for ever; and a server soon sees that a machine is gone, whose lock of the
 * writer it would otherwise keep for hours. */
static const char defaults_sql[] =
    "SELECT set_config(s.name, w.value, false) FROM pg_settings s JOIN (VALUES "
    "('lock_timeout', '30s'), ('statement_timeout', '1h'), ('tcp_keepalives_idle', '30'), "
    "('tcp_keepalives_interval', '10'), ('tcp_keepalives_count', '3'), "
    "('tcp_user_timeout', '60s')) AS w (name, value) USING (name) "
    "WHERE s.setting = '0' OR s.source = 'default'";

/* One store per schema, so one writer per schema. It holds the lock for its session; those that
 * share the store hold it, shared, for a transaction each, so that a writer need not wait for
 * agents that run for days. */
#define WRITER_KEY "hashtextextended('cvm writer of ' || current_schema(), 0)"

/* A server that was there comes back, mostly after a restart: a reader looks for it this long,
 * however often that is. */
static const struct cvm_retry_policy lost_policy = {
    .cap_ms = 3200, .attempts = INT64_MAX, .limit_ms = 20000};

static void ignore_notice(void *state, const char *message)
{
    (void)state;
    (void)message;
}

/* ---- errors ---- */

/* libpq 15 gives no SQLSTATE for a connection that failed, only words. */
static enum cvm_status fail_to_connect(struct postgres_db *db, struct cvm_error *err)
{
    static const struct {
        const char *words;
        enum cvm_status status;
        const char *hint;
    } causes[] = {
        {"authentication failed", CVM_E_DENIED, "Check the user and the password of the URL."},
        {"no password supplied", CVM_E_DENIED,
         "Put the password into ~/.pgpass or PGPASSWORD, or into the URL."},
        {"no pg_hba.conf entry", CVM_E_DENIED, "Let the user in: pg_hba.conf of the server."},
        {"role \"", CVM_E_DENIED, "Make the user with `createuser`, or name another one."},
        {"too many", CVM_E_UNAVAILABLE,
         "The server has no connection left: set `connections` in cvm.yaml, or raise its "
         "max_connections."},
        {"connection slots", CVM_E_UNAVAILABLE,
         "The server has no connection left: set `connections` in cvm.yaml, or raise its "
         "max_connections."},
        {"could not write", CVM_E_UNAVAILABLE, POSTGRES_FULL_HINT},
        {"database \"", CVM_E_NOT_FOUND, "Make the database with `createdb`, then `cvm init`."},
    };
    const char *message = PQerrorMessage(db->connection);
    const char *fatal = strstr(message, "FATAL:");
    const char *text = fatal != NULL ? fatal + strlen("FATAL:") : message;
    text += strspn(text, " ");
    enum cvm_status status = CVM_E_UNAVAILABLE;
    const char *hint = "Check that the server runs and can be reached from here.";
    for (size_t i = 0; fatal != NULL && i < sizeof(causes) / sizeof(causes[0]); i++) {
        if (strstr(text, causes[i].words) != NULL) {
            status = causes[i].status;
            hint = causes[i].hint;
            break;
        }
    }
    status = CVM_FAIL(err, status, "cannot connect to %s: %.*s", db->shown,
                      (int)strcspn(text, "\n"), text);
    return cvm_error_hint(err, status, "%s", hint);
}

/* ---- the writer's lock ---- */

static void read_holder(struct postgres_db *db, char holder[CVM_LOCK_HOLDER_BYTES])
{
    static const char sql[] =
        "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
        "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) AND "
        "((CAST(l.classid AS BIGINT) << 32) | CAST(l.objid AS BIGINT)) = " WRITER_KEY;
    PGresult *result = PQexec(db->connection, sql);
    bool is_known = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0;
    (void)snprintf(holder, CVM_LOCK_HOLDER_BYTES, "%.*s", CVM_LOCK_HOLDER_BYTES - 1,
                   is_known ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
}

/* True when it is taken; *out_status says whether asking went well. */
static bool try_lock(struct postgres_db *db, enum cvm_status *out_status, struct cvm_error *err)
{
    PGresult *result =
        PQexec(db->connection, "SELECT pg_try_advisory_lock(" WRITER_KEY "), pg_backend_pid()");
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        *out_status = postgres_fail(db, result, err);
        return false;
    }
    bool is_taken = PQgetvalue(result, 0, 0)[0] == 't';
    db->locking_backend = strtol(PQgetvalue(result, 0, 1), NULL, 10);
    PQclear(result);
    *out_status = CVM_OK;
    return is_taken;
}

/* The lock belongs to the session: it stays when the transaction ends, and ends with the
 * connection. */
static bool wait_for_lock(struct postgres_db *db)
{
    char sql[SETTING_BYTES];
    (void)snprintf(sql, sizeof(sql),
                   "BEGIN; SET LOCAL lock_timeout = %lld; SELECT pg_advisory_lock(" WRITER_KEY
                   "); COMMIT",
                   (long long)db->lock_wait_ms);
    PGresult *result = PQexec(db->connection, sql);
    bool is_taken = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    if (!is_taken && !postgres_is_lost(db)) {
        PQclear(PQexec(db->connection, "ROLLBACK"));
    }
    return is_taken;
}

static enum cvm_status fail_locked(const char *holder, struct cvm_error *err)
{
    enum cvm_status status =
        CVM_FAIL(err, CVM_E_UNAVAILABLE, "the store is being written by process %s",
                 holder[0] == '\0' ? "(unknown)" : holder);
    return cvm_error_hint(err, status, "Wait until it has ended.");
}

static enum cvm_status take_lock(struct postgres_db *db, struct cvm_error *err)
{
    char holder[CVM_LOCK_HOLDER_BYTES];
    enum cvm_status status = CVM_OK;
    if (try_lock(db, &status, err) || status != CVM_OK) {
        return status;
    }
    if (db->lock_wait_ms > 0 && wait_for_lock(db)) {
        return CVM_OK;
    }
    if (postgres_is_lost(db)) {
        return postgres_fail(db, NULL, err);
    }
    read_holder(db, holder);
    return fail_locked(holder, err);
}

enum cvm_status postgres_begin_shared(struct postgres_db *db, struct cvm_error *err)
{
    char holder[CVM_LOCK_HOLDER_BYTES];
    PGresult *result =
        PQexec(db->connection, "BEGIN; SELECT pg_advisory_xact_lock_shared(" WRITER_KEY ")");
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        PQclear(result);
        return CVM_OK;
    }
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    bool is_locked = state != NULL && strcmp(state, "55P03") == 0;
    enum cvm_status status = postgres_fail(db, result, err);
    if (!postgres_is_lost(db)) {
        PQclear(PQexec(db->connection, "ROLLBACK"));
    }
    if (is_locked) {
        read_holder(db, holder);
        status = fail_locked(holder, err);
    }
    return status;
}

/* ---- the session ---- */

static enum cvm_status prepare_steps(struct postgres_db *db, struct cvm_error *err)
{
    static const struct {
        const char *name;
        const char *sql;
    } steps[] = {
        {POSTGRES_SAVE, "SAVEPOINT cvm"},
        {POSTGRES_RELEASE, "RELEASE cvm"},
        {POSTGRES_UNDO, "ROLLBACK TO cvm"},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        PGresult *result = PQprepare(db->connection, steps[i].name, steps[i].sql, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK) {
            return postgres_fail(db, result, err);
        }
        PQclear(result);
    }
    return CVM_OK;
}

static enum cvm_status check_server(struct postgres_db *db, struct cvm_error *err)
{
    int version = PQserverVersion(db->connection);
    if (version < VERSION_MIN) {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "%s: the server is PostgreSQL %d, at least %d is needed", db->shown,
                        version / 10000, VERSION_MIN / 10000);
    }
    const char *encoding = PQparameterStatus(db->connection, "server_encoding");
    if (encoding == NULL || strcmp(encoding, "UTF8") != 0) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "%s: the database keeps texts as %s, not as UTF8",
                     db->shown, encoding == NULL ? "(unknown)" : encoding);
        return cvm_error_hint(err, status, "Make it with `createdb -E UTF8 -T template0`.");
    }
    PGresult *result =
        PQexec(db->connection, "SELECT current_schema(), current_setting('transaction_read_only')");
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        return postgres_fail(db, result, err);
    }
    bool has_schema = !PQgetisnull(result, 0, 0);
    bool may_write = strcmp(PQgetvalue(result, 0, 1), "off") == 0;
    PQclear(result);
    if (!has_schema) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_NOT_FOUND, "%s: there is no schema of the search path", db->shown);
        return cvm_error_hint(err, status, "Make it with CREATE SCHEMA, then `cvm init`.");
    }
    if (cvm_db_may_write(&db->base) && !may_write) {
        enum cvm_status status = CVM_FAIL(
            err, CVM_E_DENIED, "%s: the server takes no changes from this user", db->shown);
        return cvm_error_hint(err, status,
                              "default_transaction_read_only is on, or the server is a standby: "
                              "name a user, or the server, that may write.");
    }
    return CVM_OK;
}

static enum cvm_status set_up(struct postgres_db *db, struct cvm_error *err)
{
    bool is_writer = cvm_db_may_write(&db->base);
    enum cvm_status status = postgres_run(db, session_sql, err);
    if (status == CVM_OK) {
        status = postgres_run(db, defaults_sql, err);
    }
    if (status == CVM_OK) {
        status = check_server(db, err);
    }
    /* A reader asks for customers by their key: with a plan per question, the server plans for
     * three times as long as it reads. Cursors are planned for their values all the same. */
    if (status == CVM_OK && !is_writer) {
        status = postgres_run(db,
                              "SET default_transaction_read_only = on; "
                              "SET plan_cache_mode = force_generic_plan",
                              err);
    }
    /* A crash of the server may cost the last commits of what can be made again, in their order. */
    if (status == CVM_OK && is_writer && db->is_rebuildable) {
        status = postgres_run(db, "SET synchronous_commit = off", err);
    }
    if (status == CVM_OK && is_writer) {
        status = prepare_steps(db, err);
    }
    if (status == CVM_OK && db->base.access == CVM_DB_WRITE && !db->is_rebuildable) {
        status = take_lock(db, err);
    }
    return status;
}

static enum cvm_status connect_once(struct postgres_db *db, struct cvm_error *err)
{
    char holder[CVM_LOCK_HOLDER_BYTES];
    cvm_store_lock_describe(holder);
    holder[APPLICATION_MAX] = '\0';
    /* What stands in the URL comes later, and so counts. */
    const char *const names[] = {"connect_timeout",  "keepalives_idle", "tcp_user_timeout",
                                 "application_name", "dbname",          NULL};
    const char *const values[] = {"10", "30", "60000", holder, db->url, NULL};
    db->connection = PQconnectdbParams(names, values, 1);
    if (db->connection == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to connect to %s", db->shown);
    }
    (void)PQsetNoticeProcessor(db->connection, ignore_notice, NULL);
    return PQstatus(db->connection) == CONNECTION_OK ? set_up(db, err) : fail_to_connect(db, err);
}

static void forget_statements(struct postgres_db *db)
{
    db->unnamed.is_prepared = false;
    for (size_t i = 0; i < POSTGRES_STATEMENT_SLOTS; i++) {
        db->statements[i].is_prepared = false;
    }
}

/* Again while there is nobody to talk to: refused, full, starting up. What a server that answered
 * says, and the lock of another writer, count at once. */
static enum cvm_status connect_patiently(struct postgres_db *db,
                                         const struct cvm_retry_policy *policy,
                                         struct cvm_error *err)
{
    struct cvm_retry_means means = cvm_retry_means_system();
    struct cvm_retry retry;
    enum cvm_status status = CVM_OK;
    cvm_retry_start(&retry, policy, &means);
    do {
        PQfinish(db->connection);
        db->connection = NULL;
        forget_statements(db);
        status = connect_once(db, err);
    } while (status == CVM_E_UNAVAILABLE && postgres_is_lost(db) && cvm_retry_again(&retry));
    return status;
}

enum cvm_status postgres_reconnect(struct postgres_db *db, struct cvm_error *err)
{
    enum cvm_status status = connect_patiently(db, &lost_policy, err);
    db->is_lost = status != CVM_OK; /* once is enough */
    return status;
}

/* ---- open and close ---- */

static const char *value_of(const PQconninfoOption *options, const char *name)
{
    for (const PQconninfoOption *o = options; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, name) == 0) {
            return o->val == NULL ? "" : o->val;
        }
    }
    return "";
}

/* Where and which, never who and how. */
static enum cvm_status describe(struct postgres_db *db, struct cvm_error *err)
{
    PQconninfoOption *options = PQconninfoParse(db->url, NULL); /* its message may show the URL */
    if (options == NULL) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "the URL of the database is not well formed");
        return cvm_error_hint(err, status, "%s", url_hint);
    }
    const char *port = value_of(options, "port");
    struct cvm_text text;
    cvm_text_init(&text, MESSAGE_BYTES);
    cvm_text_add(&text, "'postgresql://");
    cvm_text_add(&text, value_of(options, "host"));
    cvm_text_add(&text, port[0] == '\0' ? "" : ":");
    cvm_text_add(&text, port);
    cvm_text_add(&text, "/");
    cvm_text_add(&text, value_of(options, "dbname"));
    cvm_text_add(&text, "'");
    PQconninfoFree(options);
    db->shown = strdup(text.failed ? "the database" : cvm_text_string(&text));
    cvm_text_finish(&text);
    return db->shown == NULL ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a URL") : CVM_OK;
}

enum cvm_status postgres_open(const char *location, const struct cvm_db_options *options,
                              struct cvm_db **out_db, struct cvm_error *err)
{
    struct postgres_db *db = calloc(1, sizeof(*db));
    if (db == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to open a database");
    }
    db->base.backend = &cvm_db_postgres;
    db->base.access = options->access;
    db->is_rebuildable = options->is_rebuildable;
    db->lock_wait_ms = options->lock_wait_ms;
    cvm_text_init(&db->encoded, 0);
    enum cvm_status status = CVM_OK;
    if (asprintf(&db->url, "postgresql:%s", location) < 0) {
        db->url = NULL;
        status = CVM_FAIL(err, CVM_E_LIMIT, "no memory for a URL");
    }
    if (status == CVM_OK) {
        status = describe(db, err);
    }
    if (status == CVM_OK) {
        status = connect_patiently(db, &options->retry, err);
    }
    if (status != CVM_OK) {
        postgres_close(&db->base);
        return status;
    }
    *out_db = &db->base;
    return CVM_OK;
}

void postgres_close(struct cvm_db *base)
{
    struct postgres_db *db = (struct postgres_db *)base;
    assert(db->cursor_count == 0); /* a cursor was left open */
    for (size_t i = 0; i < POSTGRES_STATEMENT_SLOTS; i++) {
        free(db->statements[i].text);
        free(db->statements[i].copy);
    }
    free(db->unnamed.text);
    free(db->unnamed.copy);
    cvm_text_finish(&db->encoded);
    PQfinish(db->connection);
    free(db->url);
    free(db->shown);
    free(db);
}
