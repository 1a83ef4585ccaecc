/* Leases, turns, messages that wait, and what was given up. */
#include "storage/turn.h"

#include <string.h>

#include "storage/agent_events.h"
#include "storage/dead_letter.h"
#include "storage/lease.h"
#include "storage/schedule_store.h"
#include "support/db_faulty.h"
#include "support/store_support.h"

#define RESOURCE "orchestrator/3"

static struct cvm_lease_wish wish(const char *owner, int64_t incarnation)
{
    return (struct cvm_lease_wish){
        .resource = RESOURCE, .owner = owner, .incarnation = incarnation, .ttl_ms = 10000};
}

static int64_t acquire(struct cvm_store *store, const char *owner, int64_t incarnation)
{
    struct cvm_lease_wish mine = wish(owner, incarnation);
    int64_t epoch = 0;
    ASSERT_OK(cvm_lease_acquire(store, &mine, &epoch, ERR));
    return epoch;
}

/* On a server time is the server's: the row is made old instead. */
static void let_expire(struct cvm_store *store)
{
    support_begin(store);
    support_exec(cvm_store_db(store), "UPDATE lease SET expires_at = 5");
    support_commit(store);
}

static struct cvm_turn_key key_of(int64_t epoch, unsigned char number)
{
    struct cvm_turn_key key = {.resource = RESOURCE, .epoch = epoch, .consumer = "treatment"};
    memset(key.message_id, number, sizeof(key.message_id));
    return key;
}

static int64_t count(struct cvm_store *store, const char *sql)
{
    return support_number(cvm_store_db(store), sql);
}

static void add_message(struct cvm_store *store, unsigned char number)
{
    struct cvm_outbox_message message = {
        .shard = 3, .destination = "allocation", .envelope = "bytes", .length = 5};
    memset(message.message_id, number, sizeof(message.message_id));
    ASSERT_OK(cvm_outbox_add(store, &message, ERR));
}

/* ---- leases ---- */

static void one_owner_holds_a_lease_and_its_epoch_grows(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_error err = {0};
    struct cvm_lease_wish other = wish("b", 1);
    int64_t epoch = 77;
    assert_int_equal(acquire(store, "a", 1), 1);
    assert_int_equal(cvm_lease_acquire(store, &other, &epoch, &err), CVM_E_CONFLICT);
    assert_int_equal(epoch, 77);
    assert_non_null(strstr(err.message, "'a'"));
    assert_int_equal(acquire(store, "a", 1), 2); /* its own, anew */
    other = wish("a", 2);                        /* the same program, started again */
    assert_int_equal(cvm_lease_acquire(store, &other, &epoch, &err), CVM_E_CONFLICT);
    let_expire(store);
    assert_int_equal(acquire(store, "b", 1), 3);
    cvm_store_close(store);
}

static void a_lease_that_is_given_back_is_free_at_once(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t epoch = acquire(store, "a", 1);
    ASSERT_OK(cvm_lease_release(store, RESOURCE, epoch, ERR));
    assert_int_equal(acquire(store, "b", 1), 2);
    ASSERT_OK(cvm_lease_release(store, RESOURCE, epoch, ERR)); /* not its own any more */
    struct cvm_arena *arena = cvm_arena_create(4096);
    struct cvm_lease lease;
    ASSERT_OK(cvm_lease_get(store, arena, RESOURCE, &lease, ERR));
    assert_string_equal(lease.owner, "b");
    assert_int_equal(lease.epoch, 2);
    assert_int_equal(cvm_lease_get(store, arena, "nothing", &lease, NULL), CVM_E_NOT_FOUND);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void who_was_taken_over_can_not_renew(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_error err = {0};
    int64_t old = acquire(store, "a", 1);
    ASSERT_OK(cvm_lease_renew(store, RESOURCE, old, 10000, ERR));
    let_expire(store);
    ASSERT_OK(cvm_lease_renew(store, RESOURCE, old, 10000, ERR)); /* nobody took it meanwhile */
    struct cvm_lease_wish other = wish("operator", 1);
    int64_t epoch = 0;
    ASSERT_OK(cvm_lease_steal(store, &other, &epoch, ERR));
    assert_int_equal(epoch, old + 1);
    assert_int_equal(cvm_lease_renew(store, RESOURCE, old, 10000, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "taken over"));
    cvm_store_close(store);
}

static void a_lease_without_a_name_is_refused(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    char longer[CVM_LEASE_NAME_MAX + 2];
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    int64_t epoch = 0;
    struct cvm_lease_wish bad = wish("", 1);
    assert_int_equal(cvm_lease_acquire(store, &bad, &epoch, NULL), CVM_E_INVALID);
    bad = wish("a", 1);
    bad.resource = longer;
    assert_int_equal(cvm_lease_acquire(store, &bad, &epoch, NULL), CVM_E_INVALID);
    assert_false(cvm_db_in_transaction(cvm_store_db(store)));
    cvm_store_close(store);
}

static void the_clock_is_the_databases(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t now_ms = 0;
    ASSERT_OK(cvm_lease_now(store, &now_ms, ERR));
    if (support_is_server()) {
        assert_true(now_ms > SUPPORT_NOW_MS); /* the store's own clock stands in 2024 */
    } else {
        assert_true(now_ms == SUPPORT_NOW_MS);
    }
    cvm_store_close(store);
}

/* ---- turns ---- */

static void a_turn_keeps_all_of_it_or_nothing(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_turn_transaction turn;
    struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
    bool was_kept = true;
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    assert_true(turn.is_new);
    add_message(store, 9);
    cvm_turn_abandon(&turn);
    cvm_turn_abandon(&turn); /* nothing is open */
    assert_int_equal(count(store, "SELECT count(*) FROM outbox"), 0);
    ASSERT_OK(cvm_turn_was_kept(store, &key, &was_kept, ERR));
    assert_false(was_kept);

    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    assert_true(turn.is_new);
    add_message(store, 9);
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    assert_int_equal(count(store, "SELECT count(*) FROM outbox"), 1);
    ASSERT_OK(cvm_turn_was_kept(store, &key, &was_kept, ERR));
    assert_true(was_kept);
    assert_int_equal(count(store, "SELECT count(*) FROM lease WHERE committed_at > 0"), 1);
    cvm_store_close(store);
}

static void a_message_that_comes_again_is_absorbed(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_turn_transaction turn;
    struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    assert_false(turn.is_new);
    assert_false(cvm_db_in_transaction(cvm_store_db(store)));
    key.consumer = "evaluation"; /* another kind of agent gets it too */
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    assert_true(turn.is_new);
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    cvm_store_close(store);
}

static void a_turn_under_an_old_epoch_changes_nothing(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_error err = {0};
    struct cvm_turn_transaction turn = {.is_new = true};
    struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
    let_expire(store);
    (void)acquire(store, "b", 1);
    assert_int_equal(cvm_turn_begin(store, &key, &turn, &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "taken over"));
    assert_false(cvm_db_in_transaction(cvm_store_db(store)));
    assert_int_equal(count(store, "SELECT count(*) FROM inbox"), 0);
    cvm_store_close(store);
}

static void turns_may_share_a_commit_and_fail_alone(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_db *db = cvm_store_db(store);
    struct cvm_turn_transaction turn;
    int64_t epoch = acquire(store, "a", 1);
    struct cvm_turn_key old = key_of(epoch - 1, 3);
    support_begin(store);
    for (unsigned char i = 1; i <= 3; i++) {
        struct cvm_turn_key key = key_of(epoch, i);
        ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
        add_message(store, i);
        if (i == 2) {
            cvm_turn_abandon(&turn);
        } else {
            ASSERT_OK(cvm_turn_commit(&turn, ERR));
        }
        assert_true(cvm_db_in_transaction(db));
    }
    struct cvm_turn_key again = key_of(epoch, 1);
    ASSERT_OK(cvm_turn_begin(store, &again, &turn, ERR));
    assert_false(turn.is_new);
    assert_int_equal(cvm_turn_begin(store, &old, &turn, NULL), CVM_E_CONFLICT);
    assert_true(cvm_db_in_transaction(db));
    support_commit(store);
    assert_int_equal(count(store, "SELECT count(*) FROM outbox"), 2);
    assert_int_equal(count(store, "SELECT count(*) FROM inbox"), 2);
    cvm_store_close(store);
}

/* Every call of a turn fails once, as a full disk does and as a refused statement does. */
static void a_turn_survives_the_failure_of_each_call(void **state)
{
    (void)state;
    for (int loses = 0; loses < 2; loses++) {
        bool is_done = false;
        for (int64_t k = 1; !is_done; k++) {
            struct cvm_store *store = support_fresh();
            struct db_faults faults = {.loses_transaction = loses != 0};
            struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
            struct cvm_turn_transaction turn;
            db_faulty_wrap(store, false, &faults);
            faults.calls = 0;
            faults.fail_at = k;
            enum cvm_status status = cvm_turn_begin(store, &key, &turn, NULL);
            if (status == CVM_OK) {
                struct cvm_outbox_message message = {
                    .shard = 3, .destination = "x", .envelope = "y", .length = 1};
                status = cvm_outbox_add(store, &message, NULL);
                status = status == CVM_OK ? cvm_turn_commit(&turn, NULL) : status;
                cvm_turn_abandon(&turn);
            }
            faults.fail_at = 0;
            is_done = status == CVM_OK;
            assert_false(cvm_db_in_transaction(cvm_store_db(store)));
            int64_t kept = is_done ? 1 : 0;
            assert_int_equal(count(store, "SELECT count(*) FROM outbox"), kept);
            assert_int_equal(count(store, "SELECT count(*) FROM inbox"), kept);
            cvm_store_close(store);
            assert_true(k < 20);
        }
    }
}

/* ---- the outbox ---- */

struct seen {
    int64_t numbers[8];
    size_t count;
};

static enum cvm_status see(void *state, const struct cvm_outbox_message *message,
                           struct cvm_error *err)
{
    struct seen *seen = state;
    (void)err;
    assert_int_equal(message->shard, 3);
    assert_int_equal(message->length, 5);
    assert_memory_equal(message->envelope, "bytes", 5);
    seen->numbers[seen->count++] = message->outbox;
    return CVM_OK;
}

static void messages_are_read_until_they_are_marked(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct seen seen = {0};
    struct cvm_backlog backlog;
    support_begin(store);
    add_message(store, 1);
    add_message(store, 2);
    struct cvm_outbox_message later = {.shard = 3,
                                       .destination = "allocation",
                                       .envelope = "bytes",
                                       .length = 5,
                                       .not_before_ms = SUPPORT_NOW_MS + 100};
    ASSERT_OK(cvm_outbox_add(store, &later, ERR));
    support_commit(store);
    ASSERT_OK(cvm_outbox_pending(store, 3, SUPPORT_NOW_MS, 10, see, &seen, ERR));
    assert_int_equal(seen.count, 2);
    support_begin(store);
    ASSERT_OK(cvm_outbox_sent(store, seen.numbers, 2, ERR));
    support_commit(store);
    ASSERT_OK(cvm_outbox_backlog(store, &backlog, ERR));
    assert_int_equal(backlog.count, 1);
    assert_int_equal(backlog.oldest_ms, SUPPORT_NOW_MS);
    seen.count = 0;
    ASSERT_OK(cvm_outbox_pending(store, 3, SUPPORT_NOW_MS, 10, see, &seen, ERR));
    assert_int_equal(seen.count, 0);
    ASSERT_OK(cvm_outbox_pending(store, 3, SUPPORT_NOW_MS + 100, 10, see, &seen, ERR));
    assert_int_equal(seen.count, 1);
    ASSERT_OK(cvm_outbox_pending(store, 4, SUPPORT_NOW_MS + 100, 10, see, &seen, ERR));
    assert_int_equal(seen.count, 1);
    cvm_store_close(store);
}

static void old_marks_and_sent_messages_are_forgotten(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_turn_transaction turn;
    struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
    int64_t number = 0;
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR));
    add_message(store, 1);
    add_message(store, 2);
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    number = count(store, "SELECT min(outbox) FROM outbox");
    support_begin(store);
    ASSERT_OK(cvm_outbox_sent(store, &number, 1, ERR));
    ASSERT_OK(cvm_turn_purge(store, SUPPORT_NOW_MS, ERR));
    support_commit(store);
    assert_int_equal(count(store, "SELECT count(*) FROM inbox"), 1);
    support_begin(store);
    ASSERT_OK(cvm_turn_purge(store, SUPPORT_NOW_MS + 1, ERR));
    support_commit(store);
    assert_int_equal(count(store, "SELECT count(*) FROM inbox"), 0);
    assert_int_equal(count(store, "SELECT count(*) FROM outbox"), 1); /* not sent yet */
    cvm_store_close(store);
}

/* ---- dead letters ---- */

static enum cvm_status count_letter(void *state, const struct cvm_dead_letter *letter,
                                    struct cvm_error *err)
{
    (void)err;
    *(int64_t *)state = *(int64_t *)state * 1000 + letter->attempts;
    return CVM_OK;
}

static struct cvm_dead_letter letter_of(unsigned char number)
{
    struct cvm_dead_letter letter = {
        .destination = "treatment",
        .workflow_id = "batch-1",
        .step_no = 2,
        .shard_no = 7,
        .outbox_shard = 3,
        .envelope = "bytes",
        .length = 5,
        .error_class = "poison",
        .error = "cannot be decoded",
        .attempts = 8,
    };
    memset(letter.message_id, number, sizeof(letter.message_id));
    return letter;
}

static void a_letter_is_replayed_once_and_applied_again(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_arena *arena = cvm_arena_create(1 << 16);
    struct cvm_dead_letter letter = letter_of(1);
    struct cvm_turn_transaction turn;
    struct cvm_turn_key key = key_of(acquire(store, "a", 1), 1);
    struct seen seen = {0};
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR)); /* the turn that gives it up */
    ASSERT_OK(cvm_dead_letter_add(store, &letter, ERR));
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    int64_t number = count(store, "SELECT min(dead_letter) FROM dead_letter");
    ASSERT_OK(cvm_dead_letter_get(store, arena, number, &letter, ERR));
    assert_string_equal(letter.state, "waiting");
    assert_string_equal(letter.error, "cannot be decoded");
    assert_int_equal(letter.shard_no, 7);
    support_begin(store);
    ASSERT_OK(cvm_dead_letter_replay(store, &letter, "cli:ann", "mended", ERR));
    support_commit(store);
    ASSERT_OK(cvm_outbox_pending(store, 3, SUPPORT_NOW_MS, 10, see, &seen, ERR));
    assert_int_equal(seen.count, 1);
    ASSERT_OK(cvm_turn_begin(store, &key, &turn, ERR)); /* its mark was forgotten */
    assert_true(turn.is_new);
    cvm_turn_abandon(&turn);
    struct cvm_error err = {0};
    support_begin(store);
    assert_int_equal(cvm_dead_letter_replay(store, &letter, "cli:ann", "", &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_dead_letter_discard(store, number, "cli:ann", "", &err), CVM_E_CONFLICT);
    cvm_db_rollback(cvm_store_db(store));
    ASSERT_OK(cvm_dead_letter_get(store, arena, number, &letter, ERR));
    assert_string_equal(letter.state, "replayed");
    assert_string_equal(letter.why, "mended");
    assert_int_equal(cvm_dead_letter_get(store, arena, number + 1, &letter, &err), CVM_E_NOT_FOUND);
    cvm_arena_destroy(arena);
    cvm_store_close(store);
}

static void what_a_broker_gave_up_is_kept_once_until_it_is_replayed(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_dead_letter letter = letter_of(1);
    struct cvm_error err = {0};
    ASSERT_OK(cvm_dead_letter_take(store, &letter, ERR));
    int64_t number = count(store, "SELECT max(dead_letter) FROM dead_letter");
    support_begin(store);
    ASSERT_OK(cvm_dead_letter_discard(store, number, "cli:ann", "a test", ERR));
    support_commit(store);
    ASSERT_OK(cvm_dead_letter_take(store, &letter, ERR)); /* its acknowledgement was lost */
    assert_int_equal(count(store, "SELECT count(*) FROM dead_letter"), 1);
    letter.destination = "allocation"; /* in another queue it is another one */
    ASSERT_OK(cvm_dead_letter_take(store, &letter, ERR));
    letter.dead_letter = count(store, "SELECT max(dead_letter) FROM dead_letter");
    support_begin(store);
    ASSERT_OK(cvm_dead_letter_replay(store, &letter, "cli:ann", "mended", ERR));
    support_commit(store);
    ASSERT_OK(cvm_dead_letter_take(store, &letter, ERR)); /* it died again */
    assert_int_equal(count(store, "SELECT count(*) FROM dead_letter WHERE state = 'waiting'"), 1);
    support_begin(store);
    letter.dead_letter = count(store, "SELECT max(dead_letter) FROM dead_letter");
    letter.length = 0;
    assert_int_equal(cvm_dead_letter_replay(store, &letter, "cli:ann", "", &err), CVM_E_CONFLICT);
    letter = letter_of(3);
    letter.destination = CVM_DEAD_LETTER_LOST;
    assert_int_equal(cvm_dead_letter_replay(store, &letter, "cli:ann", "", &err), CVM_E_CONFLICT);
    cvm_db_rollback(cvm_store_db(store));
    cvm_store_close(store);
}

static void the_same_message_given_up_again_is_one_letter(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_dead_letter letter = letter_of(1);
    struct cvm_dead_letter other = letter_of(2);
    struct cvm_backlog backlog;
    int64_t attempts = 0;
    support_begin(store);
    ASSERT_OK(cvm_dead_letter_add(store, &letter, ERR));
    ASSERT_OK(cvm_dead_letter_add(store, &letter, ERR));
    ASSERT_OK(cvm_dead_letter_add(store, &other, ERR));
    support_commit(store);
    ASSERT_OK(cvm_dead_letter_list(store, "waiting", 0, 10, count_letter, &attempts, ERR));
    assert_int_equal(attempts, 8016);
    ASSERT_OK(cvm_dead_letter_backlog(store, &backlog, ERR));
    assert_int_equal(backlog.count, 2);
    support_begin(store);
    ASSERT_OK(cvm_dead_letter_discard(
        store, count(store, "SELECT min(dead_letter) FROM dead_letter"), "cli:ann", "junk", ERR));
    ASSERT_OK(cvm_dead_letter_add(store, &letter, ERR)); /* a new one: that one is settled */
    support_commit(store);
    assert_int_equal(count(store, "SELECT count(*) FROM dead_letter"), 3);
    cvm_store_close(store);
}

/* ---- events, schedules ---- */

static enum cvm_status keep_event(void *state, const struct cvm_agent_event *event,
                                  struct cvm_error *err)
{
    (void)err;
    assert_string_equal(event->agent_type, "treatment");
    *(int64_t *)state += event->at_ms;
    return CVM_OK;
}

static void changes_of_workers_are_listed_from_the_newest(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t sum = 0;
    struct cvm_agent_event event = {
        .agent_type = "treatment", .agent = "", .event = "scaled", .inputs = "{\"need\":3}"};
    support_begin(store);
    for (event.at_ms = 1; event.at_ms <= 100; event.at_ms *= 10) {
        ASSERT_OK(cvm_agent_event_add(store, &event, ERR));
    }
    support_commit(store);
    ASSERT_OK(cvm_agent_event_list(store, 0, 2, keep_event, &sum, ERR));
    assert_int_equal(sum, 110);
    cvm_store_close(store);
}

static void a_moment_of_a_schedule_is_noted_once(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t looked_ms = 0;
    struct cvm_schedule_fire fire = {
        .schedule = "nightly", .fire_ms = 500, .outcome = "started", .workflow_id = "batch-1"};
    support_begin(store);
    ASSERT_OK(cvm_schedule_lock(store, "nightly", 400, &looked_ms, ERR));
    assert_int_equal(looked_ms, 400); /* new: what was before is nobody's */
    ASSERT_OK(cvm_schedule_fire_add(store, &fire, ERR));
    ASSERT_OK(cvm_schedule_looked(store, "nightly", 600, ERR));
    support_commit(store);
    support_begin(store);
    ASSERT_OK(cvm_schedule_lock(store, "nightly", 700, &looked_ms, ERR));
    assert_int_equal(looked_ms, 600);
    assert_int_equal(cvm_schedule_fire_add(store, &fire, NULL), CVM_E_CONFLICT);
    support_commit(store);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_owner_holds_a_lease_and_its_epoch_grows),
        cmocka_unit_test(a_lease_that_is_given_back_is_free_at_once),
        cmocka_unit_test(who_was_taken_over_can_not_renew),
        cmocka_unit_test(a_lease_without_a_name_is_refused),
        cmocka_unit_test(the_clock_is_the_databases),
        cmocka_unit_test(a_turn_keeps_all_of_it_or_nothing),
        cmocka_unit_test(a_message_that_comes_again_is_absorbed),
        cmocka_unit_test(a_turn_under_an_old_epoch_changes_nothing),
        cmocka_unit_test(turns_may_share_a_commit_and_fail_alone),
        cmocka_unit_test(a_turn_survives_the_failure_of_each_call),
        cmocka_unit_test(messages_are_read_until_they_are_marked),
        cmocka_unit_test(old_marks_and_sent_messages_are_forgotten),
        cmocka_unit_test(a_letter_is_replayed_once_and_applied_again),
        cmocka_unit_test(what_a_broker_gave_up_is_kept_once_until_it_is_replayed),
        cmocka_unit_test(the_same_message_given_up_again_is_one_letter),
        cmocka_unit_test(changes_of_workers_are_listed_from_the_newest),
        cmocka_unit_test(a_moment_of_a_schedule_is_noted_once),
    };
    return SUPPORT_RUN("turns", tests);
}
