#include "storage/dead_letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/db_sql.h"

/* ---- reading ---- */

static int64_t number_of(const struct cvm_db_value *column, int64_t otherwise)
{
    return column->type == CVM_DB_INT ? column->integer : otherwise;
}

static enum cvm_status read_letter(const struct cvm_db_value *columns,
                                   struct cvm_dead_letter *out_letter, struct cvm_error *err)
{
    bool has_envelope = columns[8].type == CVM_DB_BLOB;
    struct cvm_dead_letter letter = {
        .dead_letter = columns[0].integer,
        .state = cvm_db_string(&columns[1]),
        .destination = cvm_db_string(&columns[2]),
        .workflow_id = cvm_db_string(&columns[4]),
        .step_no = number_of(&columns[5], -1),
        .shard_no = number_of(&columns[6], 0),
        .outbox_shard = columns[7].integer,
        .envelope = has_envelope ? columns[8].bytes.data : NULL,
        .length = has_envelope ? columns[8].bytes.length : 0,
        .error_class = cvm_db_string(&columns[9]),
        .error = cvm_db_string(&columns[10]),
        .attempts = columns[11].integer,
        .first_ms = columns[12].integer,
        .last_ms = columns[13].integer,
        .settled_ms = number_of(&columns[14], 0),
        .who = cvm_db_string(&columns[15]),
        .why = cvm_db_string(&columns[16]),
    };
    if (columns[3].bytes.length != sizeof(letter.message_id)) {
        return CVM_FAIL(err, CVM_E_CORRUPT, "dead letter %" PRId64 " has a broken id",
                        letter.dead_letter);
    }
    memcpy(letter.message_id, columns[3].bytes.data, sizeof(letter.message_id));
    *out_letter = letter;
    return CVM_OK;
}

struct listing {
    cvm_dead_letter_fn on_letter;
    void *state;
};

static enum cvm_status list_letter(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    struct listing *listing = state;
    struct cvm_dead_letter letter;
    (void)column_count;
    enum cvm_status status = read_letter(columns, &letter, err);
    return status == CVM_OK ? listing->on_letter(listing->state, &letter, err) : status;
}

enum cvm_status cvm_dead_letter_list(struct cvm_store *store, const char *state, int64_t before,
                                     int64_t count_max, cvm_dead_letter_fn on_letter,
                                     void *state_of_fn, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct listing listing = {on_letter, state_of_fn};
    struct cvm_db_value params[] = {
        cvm_db_text(state),
        cvm_db_int(before == 0 ? INT64_MAX : before),
        cvm_db_int(count_max),
    };
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DEAD_LETTER_LIST), params, CVM_DB_COUNT(params),
                        list_letter, &listing, err);
}

struct letter_copy {
    struct cvm_arena *arena;
    bool is_there;
    struct cvm_dead_letter letter;
};

static enum cvm_status copy_letter(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    static const int texts[] = {1, 2, 4, 9, 10, 15, 16};
    struct letter_copy *copy = state;
    struct cvm_dead_letter *letter = &copy->letter;
    (void)column_count;
    enum cvm_status status = read_letter(columns, letter, err);
    if (status != CVM_OK) {
        return status;
    }
    const char **fields[] = {&letter->state,       &letter->destination, &letter->workflow_id,
                             &letter->error_class, &letter->error,       &letter->who,
                             &letter->why};
    bool has_room = true;
    for (size_t i = 0; has_room && i < sizeof(texts) / sizeof(texts[0]); i++) {
        has_room = cvm_db_copy_string(copy->arena, &columns[texts[i]], fields[i]);
    }
    if (has_room && letter->envelope != NULL) {
        letter->envelope = cvm_arena_copy(copy->arena, letter->envelope, letter->length);
        has_room = letter->envelope != NULL;
    }
    copy->is_there = true;
    return has_room ? CVM_OK : CVM_FAIL(err, CVM_E_LIMIT, "no memory to read a dead letter");
}

enum cvm_status cvm_dead_letter_get(struct cvm_store *store, struct cvm_arena *arena,
                                    int64_t dead_letter, struct cvm_dead_letter *out_letter,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct letter_copy copy = {.arena = arena};
    struct cvm_db_value param = cvm_db_int(dead_letter);
    enum cvm_status status = cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DEAD_LETTER_GET), &param, 1,
                                          copy_letter, &copy, err);
    if (status == CVM_OK && !copy.is_there) {
        status = CVM_FAIL(err, CVM_E_NOT_FOUND, "there is no dead letter %" PRId64, dead_letter);
        return cvm_error_hint(err, status, "`cvm dead-letter list` shows them.");
    }
    if (status == CVM_OK) {
        *out_letter = copy.letter;
    }
    return status;
}

static enum cvm_status keep_backlog(void *state, const struct cvm_db_value *columns,
                                    size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(struct cvm_backlog *)state =
        (struct cvm_backlog){.count = columns[0].integer, .oldest_ms = columns[1].integer};
    return CVM_OK;
}

enum cvm_status cvm_dead_letter_backlog(struct cvm_store *store, struct cvm_backlog *out_backlog,
                                        struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    return cvm_db_query(db, cvm_db_sql(db, CVM_SQL_DEAD_LETTER_BACKLOG), NULL, 0, keep_backlog,
                        out_backlog, err);
}

/* ---- writing ---- */

enum cvm_status cvm_dead_letter_add(struct cvm_store *store, const struct cvm_dead_letter *letter,
                                    struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    bool has_step = letter->step_no >= 0;
    struct cvm_db_value params[] = {
        cvm_db_text(letter->destination),
        cvm_db_blob(letter->message_id, sizeof(letter->message_id)),
        cvm_db_text(letter->workflow_id),
        has_step ? cvm_db_int(letter->step_no) : cvm_db_null(),
        has_step ? cvm_db_int(letter->shard_no) : cvm_db_null(),
        cvm_db_int(letter->outbox_shard),
        cvm_db_blob(letter->envelope, letter->length),
        cvm_db_text(letter->error_class),
        cvm_db_text(letter->error),
        cvm_db_int(letter->attempts),
        cvm_db_int(cvm_store_now_ms(store)),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DEAD_LETTER_ADD), params, CVM_DB_COUNT(params),
                       NULL, err);
}

/* Who keeps what died in a queue, as consumers have it: the mark says that it is kept. */
#define TAKER_SIZE 128
static const char *taker_of(const char *destination, char text[TAKER_SIZE])
{
    (void)snprintf(text, TAKER_SIZE, "dead:%.100s", destination);
    return text;
}

enum cvm_status cvm_dead_letter_take(struct cvm_store *store, const struct cvm_dead_letter *letter,
                                     struct cvm_error *err)
{
    char taker[TAKER_SIZE];
    struct cvm_turn_key key = {.consumer = taker_of(letter->destination, taker)};
    struct cvm_turn_transaction turn;
    memcpy(key.message_id, letter->message_id, sizeof(key.message_id));
    enum cvm_status status = cvm_turn_begin(store, &key, &turn, err);
    if (status != CVM_OK || !turn.is_new) {
        return status;
    }
    status = cvm_dead_letter_add(store, letter, err);
    if (status != CVM_OK) {
        cvm_turn_abandon(&turn);
        return status;
    }
    return cvm_turn_commit(&turn, err);
}

static enum cvm_status settle(struct cvm_store *store, int64_t dead_letter, const char *state,
                              const char *who, const char *why, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    assert(cvm_db_in_transaction(db));
    int64_t changed = 0;
    struct cvm_db_value params[] = {
        cvm_db_int(dead_letter), cvm_db_text(state), cvm_db_int(cvm_store_now_ms(store)),
        cvm_db_text(who),        cvm_db_text(why),
    };
    enum cvm_status status = cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_DEAD_LETTER_SETTLE), params,
                                         CVM_DB_COUNT(params), &changed, err);
    if (status == CVM_OK && changed == 0) {
        status =
            CVM_FAIL(err, CVM_E_CONFLICT, "dead letter %" PRId64 " does not wait", dead_letter);
        return cvm_error_hint(err, status,
                              "`cvm dead-letter show %" PRId64 "` says what became of "
                              "it.",
                              dead_letter);
    }
    return status;
}

static enum cvm_status forget(struct cvm_store *store, const char *consumer,
                              const unsigned char *message_id, struct cvm_error *err)
{
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_db_value mark[] = {
        cvm_db_text(consumer),
        cvm_db_blob(message_id, CVM_TURN_MESSAGE_ID_BYTES),
    };
    return cvm_db_exec(db, cvm_db_sql(db, CVM_SQL_INBOX_FORGET), mark, CVM_DB_COUNT(mark), NULL,
                       err);
}

enum cvm_status cvm_dead_letter_replay(struct cvm_store *store,
                                       const struct cvm_dead_letter *letter, const char *who,
                                       const char *why, struct cvm_error *err)
{
    char taker[TAKER_SIZE];
    struct cvm_outbox_message message = {
        .shard = letter->outbox_shard,
        .destination = letter->destination,
        .envelope = letter->envelope,
        .length = letter->length,
    };
    memcpy(message.message_id, letter->message_id, sizeof(message.message_id));
    bool is_lost = strcmp(letter->destination, CVM_DEAD_LETTER_LOST) == 0;
    if (letter->envelope != NULL && (is_lost || letter->length == 0)) {
        enum cvm_status lost =
            CVM_FAIL(err, CVM_E_CONFLICT, "dead letter %" PRId64 " can not be sent again: %s",
                     letter->dead_letter, is_lost ? "its queue is not known" : "it is empty");
        return cvm_error_hint(err, lost, "It can be discarded.");
    }
    enum cvm_status status = settle(store, letter->dead_letter, "replayed", who, why, err);
    if (status != CVM_OK || letter->envelope == NULL) {
        return status;
    }
    status = forget(store, letter->destination, letter->message_id, err);
    if (status == CVM_OK) { /* it may die again */
        status = forget(store, taker_of(letter->destination, taker), letter->message_id, err);
    }
    return status == CVM_OK ? cvm_outbox_add(store, &message, err) : status;
}

enum cvm_status cvm_dead_letter_discard(struct cvm_store *store, int64_t dead_letter,
                                        const char *who, const char *why, struct cvm_error *err)
{
    return settle(store, dead_letter, "discarded", who, why, err);
}
