#include "storage/turn.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "storage/db_sql.h"

/* ---- a turn ---- */

static enum cvm_status run_sql(struct cvm_db *db, enum cvm_sql sql, struct cvm_error *err)
{
    return cvm_db_exec(db, cvm_db_sql(db, sql), NULL, 0, NULL, err);
}

static enum cvm_status check_fence(struct cvm_store *store, const struct cvm_turn_key *key,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(key->resource),
        cvm_db_int(key->epoch),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_LEASE_FENCE), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        return CVM_FAIL(err, CVM_E_CONFLICT,
                        "'%s' was taken over by another process (epoch %" PRId64 " is old)",
                        key->resource, key->epoch);
    }
    return status;
}

static enum cvm_status mark_message(struct cvm_store *store, const struct cvm_turn_key *key,
                                    bool *out_is_new, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_text(key->consumer),
        cvm_db_blob(key->message_id, sizeof(key->message_id)),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_INBOX_ADD), params,
                                         CVM_DB_COUNT(params), &changed, err);
    *out_is_new = changed > 0;
    return status;
}

enum cvm_status cvm_turn_begin(struct cvm_store *store, const struct cvm_turn_key *key,
                               struct cvm_turn_transaction *out_turn, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_turn_transaction turn = {
        .store = store, .is_part = cvm_db_in_transaction(db), .is_new = true};
    bool is_new = true;
    enum cvm_status status = turn.is_part    ? run_sql(db, CVM_SQL_TURN_SAVEPOINT, err)
                             : key->is_light ? cvm_db_begin_light(db, err)
                                             : cvm_db_begin(db, err);
    if (status != CVM_OK) {
        return status;
    }
    if (key->resource != NULL) {
        status = check_fence(store, key, err);
    }
    if (status == CVM_OK && key->consumer != NULL) {
        status = mark_message(store, key, &is_new, err);
    }
    if (status == CVM_OK && is_new && key->offset != NULL) {
        status = cvm_broker_offset_move(store, key->offset, err);
    }
    if (status != CVM_OK || !is_new) {
        cvm_turn_abandon(&turn);
    }
    if (status == CVM_OK) {
        turn.is_new = is_new;
        *out_turn = turn;
    }
    return status;
}

enum cvm_status cvm_turn_commit(struct cvm_turn_transaction *turn, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(turn->store);
    assert(turn->is_new);
    turn->is_new = false;
    if (!cvm_db_in_transaction(db)) {
        return CVM_FAIL(err, CVM_E_UNAVAILABLE, "the transaction of the turn was given up");
    }
    return turn->is_part ? run_sql(db, CVM_SQL_TURN_SAVEPOINT_END, err) : cvm_db_commit(db, err);
}

void cvm_turn_abandon(struct cvm_turn_transaction *turn)
{
    struct cvm_db *db = cvm_store_db(turn->store);
    if (!turn->is_new) {
        return;
    }
    turn->is_new = false;
    bool is_undone = turn->is_part && run_sql(db, CVM_SQL_TURN_SAVEPOINT_UNDO, NULL) == CVM_OK &&
                     run_sql(db, CVM_SQL_TURN_SAVEPOINT_END, NULL) == CVM_OK;
    if (!is_undone) { /* half of it must not stay among the others' */
        cvm_db_rollback(db);
    }
}

enum cvm_status cvm_turn_was_kept(struct cvm_store *store, const struct cvm_turn_key *key,
                                  bool *out_was_kept, struct cvm_error *err)
{
    struct cvm_db_value params[] = {
        cvm_db_text(key->consumer),
        cvm_db_blob(key->message_id, sizeof(key->message_id)),
    };
    int64_t count = 0;
    enum cvm_status status = cvm_db_get_int(cvm_store_db(store), CVM_SQL_INBOX_HAS, params,
                                            CVM_DB_COUNT(params), &count, err);
    if (status == CVM_OK) {
        *out_was_kept = count > 0;
    }
    return status;
}

/* ---- messages to be sent ---- */

enum cvm_status cvm_outbox_add(struct cvm_store *store, const struct cvm_outbox_message *message,
                               struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db) && message->length > 0);
    struct cvm_db_value params[] = {
        cvm_db_int(message->shard),
        cvm_db_blob(message->message_id, sizeof(message->message_id)),
        cvm_db_text(message->destination),
        cvm_db_blob(message->envelope, message->length),
        cvm_db_int(message->not_before_ms),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTBOX_ADD), params, CVM_DB_COUNT(params), NULL,
                       err);
}

struct pending_scan {
    cvm_outbox_fn on_message;
    void *state;
};

static enum cvm_status scan_pending(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    struct pending_scan *scan = state;
    (void)column_count;
    struct cvm_outbox_message message = {
        .outbox = columns[0].integer,
        .shard = columns[1].integer,
        .destination = cvm_db_string(&columns[3]),
        .envelope = columns[4].bytes.data,
        .length = columns[4].bytes.length,
        .not_before_ms = columns[5].integer,
        .created_ms = columns[6].integer,
    };
    if (columns[2].bytes.length != sizeof(message.message_id)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "message %" PRId64 " of the outbox has a broken id",
                        message.outbox);
    }
    memcpy(message.message_id, columns[2].bytes.data, sizeof(message.message_id));
    return scan->on_message(scan->state, &message, err);
}

enum cvm_status cvm_outbox_pending(struct cvm_store *store, int64_t shard, int64_t now_ms,
                                   int64_t count_max, cvm_outbox_fn on_message, void *state,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct pending_scan scan = {on_message, state};
    struct cvm_db_value params[] = {cvm_db_int(shard), cvm_db_int(now_ms), cvm_db_int(count_max)};
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTBOX_PENDING), params, CVM_DB_COUNT(params),
                        scan_pending, &scan, err);
}

struct sent_numbers {
    const int64_t *next;
    size_t left;
    int64_t now_ms;
};

static enum cvm_status next_sent(void *state, struct cvm_db_value *params, size_t param_count,
                                 bool *out_has_row, struct cvm_error *err)
{
    struct sent_numbers *sent = state;
    (void)param_count;
    (void)err;
    *out_has_row = sent->left > 0;
    if (sent->left > 0) {
        sent->left--;
        params[0] = cvm_db_int(*sent->next++);
        params[1] = cvm_db_int(sent->now_ms);
    }
    return CVM_OK;
}

enum cvm_status cvm_outbox_sent(struct cvm_store *store, const int64_t *numbers, size_t count,
                                struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct sent_numbers sent = {numbers, count, cvm_store_now_ms(store)};
    return cvm_db_bulk_load(db, cvm_db_sql(db, CVM_SQL_OUTBOX_SENT), 2, next_sent, &sent, NULL,
                            err);
}

static enum cvm_status read_backlog(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(struct cvm_backlog *)state =
        (struct cvm_backlog){.count = columns[0].integer, .oldest_ms = columns[1].integer};
    return CVM_OK;
}

enum cvm_status cvm_outbox_backlog(struct cvm_store *store, struct cvm_backlog *out_backlog,
                                   struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_OUTBOX_BACKLOG), NULL, 0, read_backlog,
                        out_backlog, err);
}

enum cvm_status cvm_turn_purge(struct cvm_store *store, int64_t before_ms, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    struct cvm_db_value param = cvm_db_int(before_ms);
    enum cvm_status status =
        cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_INBOX_PURGE), &param, 1, NULL, err);
    return status == CVM_OK
               ? cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_OUTBOX_PURGE), &param, 1, NULL, err)
               : status;
}
