#include "storage/ledger.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/date.h"
#include "storage/db_sql.h"

/* ISO 8601: a week belongs to the year of its Thursday. */
static void week_name(int32_t day, char name[CVM_PERIOD_NAME_SIZE])
{
    int32_t thursday = day - cvm_day_weekday(day) + 3;
    int32_t year = cvm_date_from_day(thursday).year;
    int32_t first = cvm_day_from_date((struct cvm_date){.year = year, .month = 1, .day = 1});
    (void)snprintf(name, CVM_PERIOD_NAME_SIZE, "%04d-W%02d", year, (thursday - first) / 7 + 1);
}

void cvm_ledger_period(enum cvm_period period, int32_t day, const char *run_id,
                       char name[CVM_PERIOD_NAME_SIZE])
{
    struct cvm_date date = cvm_date_from_day(day);
    switch (period) {
    case CVM_PERIOD_RUN:
        /* A decision of a run counts in the period of the run: "<run_id>.<key>". */
        assert(run_id != NULL);
        (void)snprintf(name, CVM_PERIOD_NAME_SIZE, "run:%.*s", (int)strcspn(run_id, "."), run_id);
        break;
    case CVM_PERIOD_WEEK:
        week_name(day, name);
        break;
    case CVM_PERIOD_MONTH:
        (void)snprintf(name, CVM_PERIOD_NAME_SIZE, "%04d-%02d", date.year, date.month);
        break;
    case CVM_PERIOD_DAY:
    default:
        (void)snprintf(name, CVM_PERIOD_NAME_SIZE, "%04d-%02d-%02d", date.year, date.month,
                       date.day);
    }
}

/* ---- rows ---- */

struct found_row {
    bool is_there;
    struct cvm_ledger_row row;
};

static enum cvm_status read_row(void *state, const struct cvm_db_value *columns,
                                size_t column_count, struct cvm_error *err)
{
    struct found_row *found = state;
    (void)column_count;
    (void)err;
    found->is_there = true;
    found->row.granted = columns[0].integer;
    found->row.held = columns[1].integer;
    found->row.confirmed = columns[2].integer;
    return CVM_OK;
}

static enum cvm_status find_row(struct cvm_db *db, const char *constraint_id,
                                struct found_row *found, struct cvm_error *err)
{
    struct cvm_db_value params[] = {cvm_db_text(constraint_id), cvm_db_text(found->row.period)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_LEDGER_GET), params, CVM_DB_COUNT(params),
                        read_row, found, err);
}

enum cvm_status cvm_ledger_row(struct cvm_store *store, const struct cvm_constraint *constraint,
                               int32_t day, const char *run_id, struct cvm_ledger_row *out_row,
                               struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct found_row found = {0};
    int64_t limit = constraint->limit;
    cvm_ledger_period(constraint->period, day, run_id, found.row.period);
    if (limit < 0) {
        found.row.granted = INT64_MAX;
        *out_row = found.row;
        return CVM_OK;
    }
    enum cvm_status status = find_row(db, constraint->id, &found, err);
    if (status != CVM_OK) {
        return status;
    }
    int64_t taken = found.row.held + found.row.confirmed;
    int64_t granted = limit > taken ? limit : taken;
    bool is_changed = !found.is_there || granted != found.row.granted;
    if (is_changed && cvm_db_may_write(db)) { /* a reader only looks */
        struct cvm_db_value params[] = {
            cvm_db_text(constraint->id),
            cvm_db_text(found.row.period),
            cvm_db_int(limit),
        };
        enum cvm_sql sql = found.is_there ? CVM_SQL_LEDGER_GRANT : CVM_SQL_LEDGER_ADD;
        status = cvm_db_exec(db, cvm_db_sql(db, sql), params, CVM_DB_COUNT(params), NULL, err);
    }
    if (status == CVM_OK) {
        found.row.granted = granted;
        *out_row = found.row;
    }
    return status;
}

/* ---- all or nothing ---- */

static enum cvm_status run_sql(struct cvm_db *db, enum cvm_sql sql, struct cvm_error *err)
{
    return cvm_db_exec(db, cvm_db_sql(db, sql), NULL, 0, NULL, err);
}

/* Ends what began with the savepoint: kept, or undone without touching the caller's transaction, so
 * that after a refusal the caller may try something else in it. */
static enum cvm_status settle(struct cvm_db *db, enum cvm_status status, struct cvm_error *err)
{
    if (status == CVM_OK) {
        return run_sql(db, CVM_SQL_LEDGER_SAVEPOINT_END, err);
    }
    if (run_sql(db, CVM_SQL_LEDGER_SAVEPOINT_UNDO, NULL) != CVM_OK ||
        run_sql(db, CVM_SQL_LEDGER_SAVEPOINT_END, NULL) != CVM_OK) {
        /* No longer a refusal that a caller may pass over: half of the change may stand. */
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "a change of the ledger could not be undone");
    }
    return status;
}

/* ---- holds ---- */

/* Where the store is shared, two processes that stand for one holder take turns: the epoch that is
 * read counts until the commit. */
static enum cvm_status lock_holder(struct cvm_db *db, const char *holder, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_text(holder);
    int64_t ignored = 0;
    return cvm_db_access_of(db) == CVM_DB_SHARED
               ? cvm_db_get_int(db, CVM_SQL_LEDGER_LOCK_HOLDER, &param, 1, &ignored, err)
               : CVM_OK;
}

static enum cvm_status check_epoch(struct cvm_db *db, const struct cvm_ledger_holder *holder,
                                   struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_text(holder->holder);
    int64_t stored = 0;
    enum cvm_status status = lock_holder(db, holder->holder, err);
    if (status == CVM_OK) {
        status = cvm_db_get_int(db, CVM_SQL_LEDGER_HOLD_EPOCH, &param, 1, &stored, err);
    }
    if (status == CVM_OK && stored > holder->epoch) {
        return CVM_FAIL(err, CVM_E_CONFLICT,
                        "'%s' was taken over by another process (epoch %" PRId64 ", not %" PRId64
                        ")",
                        holder->holder, stored, holder->epoch);
    }
    return status;
}

static enum cvm_status release_all(struct cvm_db *db, const char *holder, struct cvm_error *err)
{
    struct cvm_db_value param = cvm_db_text(holder);
    enum cvm_status status =
        cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_RELEASE), &param, 1, NULL, err);
    if (status == CVM_OK) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_HOLD_DELETE), &param, 1, NULL, err);
    }
    return status;
}

static enum cvm_status check_amount(const struct cvm_constraint *constraint, int64_t amount,
                                    struct cvm_error *err)
{
    if (amount < 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "a negative amount of '%s'", constraint->id);
    }
    return CVM_OK;
}

static enum cvm_status hold_amount(struct cvm_store *store, const struct cvm_constraint *constraint,
                                   int32_t day, const struct cvm_ledger_holder *holder,
                                   int64_t amount, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_ledger_row row;
    enum cvm_status status = check_amount(constraint, amount, err);
    if (status != CVM_OK || amount == 0 || constraint->limit < 0) {
        return status;
    }
    status = cvm_ledger_row(store, constraint, day, holder->holder, &row, err);
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value take[] = {
        cvm_db_text(constraint->id),
        cvm_db_text(row.period),
        cvm_db_int(amount),
    };
    int64_t changed = 0;
    status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_HOLD), take, CVM_DB_COUNT(take),
                         &changed, err);
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_LIMIT,
                        "no availability of '%s' in %s: %" PRId64 " asked, %" PRId64 " left",
                        constraint->id, row.period, amount, row.granted - row.held - row.confirmed);
    }
    if (status != CVM_OK) {
        return status;
    }
    struct cvm_db_value hold[] = {
        cvm_db_text(holder->holder), cvm_db_text(constraint->id), cvm_db_text(row.period),
        cvm_db_int(amount),          cvm_db_int(holder->epoch),   cvm_db_int(holder->expires_at_ms),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_HOLD_ADD), hold, CVM_DB_COUNT(hold), NULL,
                       err);
}

enum cvm_status cvm_ledger_hold(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                int32_t day, const struct cvm_ledger_holder *holder,
                                const struct cvm_ledger_amount *amounts, size_t count,
                                struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = run_sql(db, CVM_SQL_LEDGER_SAVEPOINT, err);
    if (status != CVM_OK) {
        return status;
    }
    status = check_epoch(db, holder, err);
    if (status == CVM_OK) {
        status = release_all(db, holder->holder, err);
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = hold_amount(store, &catalogue->constraints[amounts[i].constraint], day, holder,
                             amounts[i].amount, err);
    }
    return settle(db, status, err);
}

static enum cvm_status use_amount(struct cvm_db *db, const struct cvm_constraint *constraint,
                                  int32_t day, const char *holder, int64_t amount,
                                  struct cvm_error *err)
{
    char period[CVM_PERIOD_NAME_SIZE];
    int64_t changed = 0;
    enum cvm_status status = check_amount(constraint, amount, err);
    if (status != CVM_OK || amount == 0 || constraint->limit < 0) {
        return status;
    }
    cvm_ledger_period(constraint->period, day, holder, period);
    struct cvm_db_value hold[] = {
        cvm_db_text(holder),
        cvm_db_text(constraint->id),
        cvm_db_text(period),
        cvm_db_int(amount),
    };
    status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_HOLD_USE), hold, CVM_DB_COUNT(hold),
                         &changed, err);
    if (status == CVM_OK && changed == 1) {
        status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_USE), hold + 1,
                             CVM_DB_COUNT(hold) - 1, &changed, err);
    }
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "'%s' does not hold %" PRId64 " of '%s' in %s", holder,
                        amount, constraint->id, period);
    }
    return status;
}

enum cvm_status cvm_ledger_confirm(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                   int32_t day, const struct cvm_ledger_holder *holder,
                                   const struct cvm_ledger_amount *used, size_t count,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = run_sql(db, CVM_SQL_LEDGER_SAVEPOINT, err);
    if (status != CVM_OK) {
        return status;
    }
    status = check_epoch(db, holder, err);
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = use_amount(db, &catalogue->constraints[used[i].constraint], day, holder->holder,
                            used[i].amount, err);
    }
    if (status == CVM_OK) {
        status = release_all(db, holder->holder, err);
    }
    return settle(db, status, err);
}

enum cvm_status cvm_ledger_release(struct cvm_store *store, const char *holder,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = run_sql(db, CVM_SQL_LEDGER_SAVEPOINT, err);
    return status == CVM_OK ? settle(db, release_all(db, holder, err), err) : status;
}

/* Confirmed use of one day and run changes by a statement per amount. */
struct change_of_use {
    struct cvm_db *db;
    int statement; /* CVM_SQL_LEDGER_RETURN, CVM_SQL_LEDGER_TAKE_AGAIN */
    int32_t day;
    const char *run_id;
};

static enum cvm_status change_amount(const struct change_of_use *change,
                                     const struct cvm_constraint *constraint, int64_t amount,
                                     struct cvm_error *err)
{
    char period[CVM_PERIOD_NAME_SIZE];
    int64_t changed = 0;
    enum cvm_status status = check_amount(constraint, amount, err);
    if (status != CVM_OK || amount == 0 || constraint->limit < 0) {
        return status;
    }
    cvm_ledger_period(constraint->period, change->day, change->run_id, period);
    struct cvm_db_value params[] = {
        cvm_db_text(constraint->id),
        cvm_db_text(period),
        cvm_db_int(amount),
    };
    status = cvm_db_exec(change->db, cvm_db_sql(change->db, change->statement), params,
                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT, "%" PRId64 " of '%s' in %s was never used", amount,
                        constraint->id, period);
    }
    return status;
}

static enum cvm_status change_use(const struct change_of_use *change,
                                  const struct cvm_catalogue *catalogue,
                                  const struct cvm_ledger_amount *amounts, size_t count,
                                  struct cvm_error *err)
{
    assert(cvm_db_in_transaction(change->db));
    enum cvm_status status = run_sql(change->db, CVM_SQL_LEDGER_SAVEPOINT, err);
    if (status != CVM_OK) {
        return status;
    }
    for (size_t i = 0; status == CVM_OK && i < count; i++) {
        status = change_amount(change, &catalogue->constraints[amounts[i].constraint],
                               amounts[i].amount, err);
    }
    return settle(change->db, status, err);
}

enum cvm_status cvm_ledger_return(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                  int32_t day, const char *run_id,
                                  const struct cvm_ledger_amount *amounts, size_t count,
                                  struct cvm_error *err)
{
    struct change_of_use change = {cvm_store_db(store), CVM_SQL_LEDGER_RETURN, day, run_id};
    return change_use(&change, catalogue, amounts, count, err);
}

enum cvm_status cvm_ledger_take_again(struct cvm_store *store,
                                      const struct cvm_catalogue *catalogue, int32_t day,
                                      const char *run_id, const struct cvm_ledger_amount *amounts,
                                      size_t count, struct cvm_error *err)
{
    struct change_of_use change = {cvm_store_db(store), CVM_SQL_LEDGER_TAKE_AGAIN, day, run_id};
    return change_use(&change, catalogue, amounts, count, err);
}

/* ---- housekeeping ---- */

enum cvm_status cvm_ledger_expire(struct cvm_store *store, int64_t now_ms, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value param = cvm_db_int(now_ms);
    enum cvm_status status = run_sql(db, CVM_SQL_LEDGER_SAVEPOINT, err);
    if (status != CVM_OK) {
        return status;
    }
    status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_EXPIRE), &param, 1, NULL, err);
    if (status == CVM_OK) {
        status =
            cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEDGER_EXPIRE_DELETE), &param, 1, NULL, err);
    }
    return settle(db, status, err);
}

static enum cvm_status grant_anew(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                  int32_t day, struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; status == CVM_OK && i < catalogue->constraint_count; i++) {
        const struct cvm_constraint *constraint = &catalogue->constraints[i];
        struct cvm_ledger_row row;
        if (constraint->period != CVM_PERIOD_RUN) { /* each run has its own */
            status = cvm_ledger_row(store, constraint, day, NULL, &row, err);
        }
    }
    return status;
}

enum cvm_status cvm_ledger_reset(struct cvm_store *store, const struct cvm_catalogue *catalogue,
                                 int32_t day, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    enum cvm_status status = cvm_ledger_expire(store, cvm_store_now_ms(store), err);
    if (status == CVM_OK) {
        status = run_sql(db, CVM_SQL_LEDGER_SAVEPOINT, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    status = run_sql(db, CVM_SQL_LEDGER_DROP_DEAD, err);
    if (status == CVM_OK) {
        status = run_sql(db, CVM_SQL_LEDGER_DROP_DEAD_DELETE, err);
    }
    if (status == CVM_OK) {
        status = grant_anew(store, catalogue, day, err);
    }
    return settle(db, status, err);
}
