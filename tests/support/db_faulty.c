#include "support/db_faulty.h"

#include <stdlib.h>

#include "storage/db_backend.h"
#include "storage/store_private.h"

struct faulty_db {
    struct cvm_db base;
    struct cvm_db_backend backend; /* of its own: its dialect is the inner one's */
    struct cvm_db *inner;
    struct db_faults *faults;
    bool is_lost; /* everything fails until the rollback */
};

struct faulty_cursor {
    struct cvm_db_cursor base;
    struct cvm_db_cursor *inner;
};

static enum db_fate fate_of(struct faulty_db *db, enum db_call call)
{
    struct db_faults *faults = db->faults;
    bool is_counted = ++faults->calls == faults->fail_at;
    if (faults->choose != NULL && !is_counted) {
        return faults->choose(faults->choose_state, call, cvm_db_in_transaction(db->inner));
    }
    return is_counted ? DB_FAILS : DB_PASSES;
}

static enum cvm_status pass_call(struct cvm_db *base, enum db_call call, enum db_fate *out_fate,
                                 struct cvm_error *err)
{
    struct faulty_db *db = (struct faulty_db *)base;
    if (db->is_lost) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "the transaction was given up");
    }
    *out_fate = fate_of(db, call);
    if (*out_fate != DB_FAILS) {
        return CVM_OK;
    }
    if (db->faults->loses_transaction) {
        db->is_lost = cvm_db_in_transaction(db->inner);
        cvm_db_rollback(db->inner);
    }
    return CVM_FAIL(err, CVM_E_UNAVAILABLE, "call %lld was made to fail",
                    (long long)db->faults->calls);
}

static enum cvm_status pass(struct cvm_db *base, struct cvm_error *err)
{
    enum db_fate fate = DB_PASSES;
    return pass_call(base, DB_CALL_OTHER, &fate, err);
}

static struct cvm_db *inner_of(struct cvm_db *base)
{
    return ((struct faulty_db *)base)->inner;
}

static void faulty_close(struct cvm_db *base)
{
    cvm_db_close(inner_of(base));
    free(base);
}

static enum cvm_status faulty_begin(struct cvm_db *base, struct cvm_error *err)
{
    enum db_fate fate = DB_PASSES;
    enum cvm_status status = pass_call(base, DB_CALL_BEGIN, &fate, err);
    if (status != CVM_OK) {
        return status;
    }
    return base->is_light ? cvm_db_begin_light(inner_of(base), err)
                          : cvm_db_begin(inner_of(base), err);
}

static enum cvm_status faulty_commit(struct cvm_db *base, struct cvm_error *err)
{
    enum db_fate fate = DB_PASSES;
    enum cvm_status status = pass_call(base, DB_CALL_COMMIT, &fate, err);
    status = status == CVM_OK ? cvm_db_commit(inner_of(base), err) : status;
    return status == CVM_OK && fate == DB_FAILS_KEPT
               ? CVM_FAIL(err, CVM_E_UNAVAILABLE, "the reply of a commit was lost")
               : status;
}

static void faulty_rollback(struct cvm_db *base)
{
    ((struct faulty_db *)base)->is_lost = false;
    cvm_db_rollback(inner_of(base));
}

static enum cvm_status faulty_exec(struct cvm_db *base, const char *sql,
                                   const struct cvm_db_value *params, size_t param_count,
                                   int64_t *out_changed, struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    if (status != CVM_OK) {
        return status;
    }
    return cvm_db_exec(inner_of(base), sql, params, param_count, out_changed, err);
}

static enum cvm_status faulty_query(struct cvm_db *base, const char *sql,
                                    const struct cvm_db_value *params, size_t param_count,
                                    cvm_db_row_fn on_row, void *state, struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    if (status != CVM_OK) {
        return status;
    }
    return cvm_db_query(inner_of(base), sql, params, param_count, on_row, state, err);
}

/* Fails between rows too. */
struct faulty_rows {
    struct cvm_db *base;
    cvm_db_next_fn next_row;
    void *state;
};

static enum cvm_status faulty_next_row(void *state, struct cvm_db_value *params, size_t param_count,
                                       bool *out_has_row, struct cvm_error *err)
{
    struct faulty_rows *rows = state;
    enum cvm_status status = pass(rows->base, err);
    if (status != CVM_OK) {
        return status;
    }
    return rows->next_row(rows->state, params, param_count, out_has_row, err);
}

static enum cvm_status faulty_bulk_load(struct cvm_db *base, const char *sql, size_t param_count,
                                        cvm_db_next_fn next_row, void *state, int64_t *out_rows,
                                        struct cvm_error *err)
{
    struct faulty_rows rows = {.base = base, .next_row = next_row, .state = state};
    return cvm_db_bulk_load(inner_of(base), sql, param_count, faulty_next_row, &rows, out_rows,
                            err);
}

static enum cvm_status faulty_cursor_next(struct cvm_db_cursor *base,
                                          const struct cvm_db_value **out_columns,
                                          struct cvm_error *err)
{
    enum cvm_status status = pass(base->db, err);
    if (status != CVM_OK) {
        return status;
    }
    return cvm_db_cursor_next(((struct faulty_cursor *)base)->inner, out_columns, err);
}

static void faulty_cursor_close(struct cvm_db_cursor *base)
{
    cvm_db_cursor_close(((struct faulty_cursor *)base)->inner);
    free(base);
}

static enum cvm_status faulty_scan(struct cvm_db *base, const char *sql,
                                   const struct cvm_db_value *params, size_t param_count,
                                   struct cvm_db_cursor **out_cursor, struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    struct faulty_cursor *cursor = status == CVM_OK ? calloc(1, sizeof(*cursor)) : NULL;
    if (cursor == NULL) {
        return status == CVM_OK ? CVM_FAIL(err, CVM_E_LIMIT, "no memory") : status;
    }
    cursor->base.next = faulty_cursor_next;
    cursor->base.close = faulty_cursor_close;
    status = cvm_db_scan(inner_of(base), sql, params, param_count, &cursor->inner, err);
    if (status != CVM_OK) {
        free(cursor);
        return status;
    }
    *out_cursor = &cursor->base;
    return CVM_OK;
}

static enum cvm_status faulty_describe(struct cvm_db *base, const char *sql,
                                       struct cvm_db_column *columns, size_t *out_count,
                                       struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    return status == CVM_OK ? cvm_db_describe(inner_of(base), sql, columns, out_count, err)
                            : status;
}

static enum cvm_status faulty_checkpoint(struct cvm_db *base, struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    return status == CVM_OK ? cvm_db_checkpoint(inner_of(base), err) : status;
}

static enum cvm_status faulty_scrub(struct cvm_db *base, struct cvm_error *err)
{
    enum cvm_status status = pass(base, err);
    return status == CVM_OK ? cvm_db_scrub(inner_of(base), err) : status;
}

static enum cvm_status faulty_open(const char *location, const struct cvm_db_options *options,
                                   struct cvm_db **out_db, struct cvm_error *err)
{
    (void)location;
    (void)options;
    (void)out_db;
    return CVM_FAIL(err, CVM_E_INTERNAL, "a faulty database is put over another one");
}

static const struct cvm_db_backend faulty = {
    .scheme = "faulty",
    .open = faulty_open,
    .close = faulty_close,
    .begin = faulty_begin,
    .commit = faulty_commit,
    .rollback = faulty_rollback,
    .exec = faulty_exec,
    .query = faulty_query,
    .bulk_load = faulty_bulk_load,
    .scan = faulty_scan,
    .describe = faulty_describe,
    .checkpoint = faulty_checkpoint,
    .scrub = faulty_scrub,
};

void db_faulty_wrap(struct cvm_store *store, bool journeys, struct db_faults *faults)
{
    struct cvm_db **place = journeys ? &store->journeys : &store->db;
    struct faulty_db *db = calloc(1, sizeof(*db));
    if (db == NULL) {
        abort();
    }
    db->backend = faulty;
    db->backend.dialect = (*place)->backend->dialect;
    db->base.backend = &db->backend;
    db->base.access = (*place)->access;
    db->inner = *place;
    db->faults = faults;
    if (store->db == store->journeys) { /* a reader of a server has one connection for both */
        store->db = store->journeys = &db->base;
    }
    *place = &db->base;
}

void db_faulty_unwrap(struct cvm_store *store)
{
    struct faulty_db *db = (struct faulty_db *)store->db;
    bool is_both = store->db == store->journeys;
    store->db = db->inner;
    if (is_both) {
        store->journeys = db->inner;
    }
    free(db);
}
