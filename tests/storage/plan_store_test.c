/* Runs, plans, value blocks, decisions and audit. */
#include "storage/plan_store.h"

#include <stdio.h>
#include <string.h>

#include "storage/audit.h"
#include "support/ledger_support.h"
#include "support/store_support.h"

#define DAY 19802

struct fixture {
    struct cvm_store *store;
    struct cvm_arena *arena;
};

static struct fixture start(void)
{
    struct fixture fixture = {support_fresh(), cvm_arena_create(1 << 20)};
    assert_non_null(fixture.arena);
    return fixture;
}

static void finish(struct fixture *fixture)
{
    cvm_arena_destroy(fixture->arena);
    cvm_store_close(fixture->store);
}

static int64_t start_run(struct cvm_store *store, const char *run_id, int32_t day)
{
    struct cvm_run_record run = support_run_record(run_id, day);
    int64_t epoch = 0;
    ASSERT_OK(cvm_run_start(store, &run, &epoch, ERR));
    return epoch;
}

static void add_decisions(struct cvm_store *store, const char *run_id, uint64_t first, size_t count)
{
    struct cvm_decision decisions[64];
    for (size_t i = 0; i < count; i++) {
        decisions[i] = support_decision(run_id, first + i);
    }
    support_begin(store);
    ASSERT_OK(cvm_decision_add(store, decisions, count, ERR));
    support_commit(store);
}

static void add_block(struct cvm_store *store, const char *run_id, uint64_t first, uint64_t last)
{
    struct cvm_value_block block = {
        .first_key = first, .last_key = last, .customers = 5, .body = "block", .length = 5};
    support_begin(store);
    ASSERT_OK(cvm_value_block_add(store, run_id, &block, ERR));
    support_commit(store);
}

static void finish_run(struct cvm_store *store, const char *run_id, int32_t day, int64_t epoch)
{
    struct cvm_run_record run = support_run_record(run_id, day);
    run.epoch = epoch;
    run.summary = "{\"treated\":3}";
    run.plan_digest = "d1";
    run.decisions = 3;
    run.value = 100.5;
    run.dual_bound = 101.25;
    run.spend_micro = 7000000;
    support_begin(store);
    ASSERT_OK(cvm_run_finish(store, &run, ERR));
    support_commit(store);
}

static enum cvm_status try_state(struct cvm_store *store, const char *run_id, const char *state,
                                 struct cvm_error *err)
{
    support_begin(store);
    enum cvm_status status = cvm_plan_set_state(store, run_id, state, "cli:me", "because", err);
    support_commit(store);
    return status;
}

static void set_state(struct cvm_store *store, const char *run_id, const char *state)
{
    ASSERT_OK(try_state(store, run_id, state, ERR));
}

static void a_run_comes_back_as_it_was_recorded(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_run_record found = {.run_id = "sentinel"};
    struct cvm_error err = {0};
    assert_int_equal(cvm_run_find(f.store, f.arena, "2024-03-20-aa", &found, &err),
                     CVM_E_NOT_FOUND);
    assert_string_equal(found.run_id, "sentinel");
    assert_int_equal(cvm_run_get(f.store, f.arena, "latest", &found, &err), CVM_E_NOT_FOUND);
    int64_t epoch = start_run(f.store, "2024-03-20-aa", DAY);
    assert_int_equal(epoch, 1);
    ASSERT_OK(cvm_run_find(f.store, f.arena, "2024-03-20-aa", &found, ERR));
    assert_string_equal(found.state, "running");
    assert_string_equal(found.plan_state, "building");
    assert_null(found.summary);
    assert_null(found.plan_digest);
    assert_int_equal(found.finished_at_ms, 0);
    assert_int_equal(cvm_run_get(f.store, f.arena, "latest", &found, &err), CVM_E_NOT_FOUND);
    finish_run(f.store, "2024-03-20-aa", DAY, epoch);
    ASSERT_OK(cvm_run_get(f.store, f.arena, "latest", &found, ERR));
    assert_string_equal(found.run_id, "2024-03-20-aa");
    assert_string_equal(found.state, "done");
    assert_string_equal(found.plan_state, "draft");
    assert_string_equal(found.summary, "{\"treated\":3}");
    assert_string_equal(found.options, "{\"all\":true}");
    assert_string_equal(found.plan_digest, "d1");
    assert_int_equal(found.as_of_day, DAY);
    assert_int_equal(found.seed, 42);
    assert_int_equal(found.last_batch, 3);
    assert_int_equal(found.decisions, 3);
    assert_true(found.value == 100.5 && found.dual_bound == 101.25);
    assert_int_equal(found.spend_micro, 7000000);
    assert_int_equal(found.finished_at_ms, SUPPORT_NOW_MS);
    finish(&f);
}

static void a_unique_prefix_of_a_run_is_enough(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_run_record found;
    struct cvm_error err = {0};
    (void)start_run(f.store, "2024-03-20-aa", DAY);
    (void)start_run(f.store, "2024-03-20-aabb", DAY);
    (void)start_run(f.store, "2024-03-21-cc", DAY + 1);
    ASSERT_OK(cvm_run_get(f.store, f.arena, "2024-03-21", &found, ERR));
    assert_string_equal(found.run_id, "2024-03-21-cc");
    ASSERT_OK(cvm_run_get(f.store, f.arena, "2024-03-20-aa", &found, ERR)); /* exact */
    assert_string_equal(found.run_id, "2024-03-20-aa");
    ASSERT_OK(cvm_run_get(f.store, f.arena, "2024-03-20-aab", &found, ERR));
    assert_string_equal(found.run_id, "2024-03-20-aabb");
    assert_int_equal(cvm_run_get(f.store, f.arena, "2024-03-20", &found, &err), CVM_E_CONFLICT);
    assert_int_equal(cvm_run_get(f.store, f.arena, "2023", &found, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_run_get(f.store, f.arena, "2024-03-2%", &found, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_run_get(f.store, f.arena, "", &found, &err), CVM_E_NOT_FOUND);
    finish(&f);
}

static enum cvm_status join_ids(void *state, const struct cvm_run_record *run,
                                struct cvm_error *err)
{
    char *ids = state;
    (void)err;
    strncat(ids, run->run_id, 8);
    strncat(ids, " ", 2);
    return CVM_OK;
}

static void runs_are_listed_newest_first(void **state)
{
    (void)state;
    struct fixture f = start();
    char ids[64] = "";
    (void)start_run(f.store, "b", 20);
    (void)start_run(f.store, "a", 30);
    (void)start_run(f.store, "c", 10);
    ASSERT_OK(cvm_run_list(f.store, f.arena, 10, join_ids, ids, ERR));
    assert_string_equal(ids, "a b c ");
    ids[0] = '\0';
    ASSERT_OK(cvm_run_list(f.store, f.arena, 2, join_ids, ids, ERR));
    assert_string_equal(ids, "a b ");
    finish(&f);
}

static void taking_a_run_up_replaces_what_a_dead_process_left(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_error err = {0};
    (void)start_run(f.store, "r", DAY);
    (void)start_run(f.store, "other", DAY);
    add_decisions(f.store, "r", 1, 3);
    add_decisions(f.store, "other", 1, 2);
    add_block(f.store, "r", 1, 5);
    assert_int_equal(start_run(f.store, "r", DAY), 2);
    struct cvm_db *db = cvm_store_db(f.store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM decision"), 2);
    assert_int_equal(support_number(db, "SELECT count(*) FROM value_block"), 0);
    /* the first process is fenced */
    struct cvm_run_record run = support_run_record("r", DAY);
    run.epoch = 1;
    assert_int_equal(cvm_run_fail(f.store, "r", 1, &err), CVM_E_CONFLICT);
    support_begin(f.store);
    assert_int_equal(cvm_run_finish(f.store, &run, &err), CVM_E_CONFLICT);
    cvm_db_rollback(db);
    ASSERT_OK(cvm_run_fail(f.store, "r", 2, ERR));
    assert_int_equal(start_run(f.store, "r", DAY), 3); /* failed ones too */
    finish_run(f.store, "r", DAY, 3);
    int64_t epoch = -1;
    assert_int_equal(cvm_run_start(f.store, &run, &epoch, &err), CVM_E_CONFLICT); /* done */
    assert_int_equal(epoch, -1);
    assert_int_equal(cvm_run_fail(f.store, "r", 3, &err), CVM_E_CONFLICT);
    finish(&f);
}

static enum cvm_status join_audit(void *state, const struct cvm_audit_row *row,
                                  struct cvm_error *err)
{
    char *text = state;
    (void)err;
    size_t used = strlen(text);
    (void)snprintf(text + used, 400 - used, "%s %s %s %s;", row->who, row->object,
                   row->before == NULL ? "-" : row->before, row->after == NULL ? "-" : row->after);
    return CVM_OK;
}

static void a_plan_walks_its_states_and_leaves_a_trail(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_error err = {0};
    finish_run(f.store, "r", DAY, start_run(f.store, "r", DAY));
    assert_int_equal(try_state(f.store, "r", "released", &err), CVM_E_CONFLICT);
    assert_non_null(strstr(err.message, "is draft and can not become released"));
    assert_int_equal(try_state(f.store, "r", "nonsense", &err), CVM_E_CONFLICT);
    assert_int_equal(try_state(f.store, "x", "draft", &err), CVM_E_NOT_FOUND);
    set_state(f.store, "r", "approved");
    set_state(f.store, "r", "held");
    set_state(f.store, "r", "approved");
    set_state(f.store, "r", "released");
    assert_int_equal(try_state(f.store, "r", "held", &err), CVM_E_CONFLICT);
    set_state(f.store, "r", "recalled");
    assert_int_equal(try_state(f.store, "r", "draft", &err), CVM_E_CONFLICT);
    char text[400] = "";
    ASSERT_OK(cvm_audit_list(f.store, 0, 2, join_audit, text, ERR));
    assert_string_equal(text, "cli:me plan r {\"state\":\"released\"} {\"state\":\"recalled\"};"
                              "cli:me plan r {\"state\":\"approved\"} {\"state\":\"released\"};");
    text[0] = '\0';
    ASSERT_OK(cvm_audit_list(f.store, 2, 10, join_audit, text, ERR));
    assert_string_equal(text, "cli:me plan r {\"state\":\"draft\"} {\"state\":\"approved\"};");
    finish(&f);
}

static void the_block_of_a_key_is_found_and_gaps_have_none(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_error err = {0};
    struct cvm_value_block block = {0};
    add_block(f.store, "r", 10, 19);
    add_block(f.store, "r", 30, 39);
    add_block(f.store, "s", 20, 29);
    ASSERT_OK(cvm_value_block_get(f.store, f.arena, "r", 10, &block, ERR));
    assert_int_equal(block.first_key, 10);
    ASSERT_OK(cvm_value_block_get(f.store, f.arena, "r", 39, &block, ERR));
    assert_int_equal(block.first_key, 30);
    assert_int_equal(block.length, 5);
    assert_memory_equal(block.body, "block", 5);
    assert_int_equal(cvm_value_block_get(f.store, f.arena, "r", 9, &block, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_value_block_get(f.store, f.arena, "r", 25, &block, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_value_block_get(f.store, f.arena, "r", 40, &block, &err), CVM_E_NOT_FOUND);
    assert_int_equal(cvm_value_block_get(f.store, f.arena, "q", 10, &block, &err), CVM_E_NOT_FOUND);
    finish(&f);
}

static void reading_a_block_survives_an_arena_of_any_size(void **state)
{
    (void)state;
    struct fixture f = start();
    add_block(f.store, "r", 10, 19);
    enum cvm_status status = CVM_E_LIMIT;
    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 16) {
        struct cvm_arena *arena = cvm_arena_create(budget);
        struct cvm_value_block block = {.customers = -1};
        status = cvm_value_block_get(f.store, arena, "r", 15, &block, NULL);
        assert_true(status == CVM_OK || block.customers == -1);
        cvm_arena_destroy(arena);
        assert_true(budget < 1 << 20);
    }
    assert_int_equal(status, CVM_OK);
    finish(&f);
}

static enum cvm_status sum_blocks(void *state, const struct cvm_value_block *block,
                                  struct cvm_error *err)
{
    uint64_t *last = state;
    (void)err;
    assert_true(block->first_key > *last);
    *last = block->first_key;
    return CVM_OK;
}

static void blocks_of_the_newest_runs_are_kept(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_db *db = cvm_store_db(f.store);
    static const char *const ids[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        int64_t epoch = start_run(f.store, ids[i], 10 + i);
        add_block(f.store, ids[i], 1, 9);
        add_block(f.store, ids[i], 10, 19);
        finish_run(f.store, ids[i], 10 + i, epoch);
    }
    (void)start_run(f.store, "at_work", 1);
    add_block(f.store, "at_work", 1, 9);
    support_begin(f.store);
    ASSERT_OK(cvm_value_block_prune(f.store, 2, ERR));
    support_commit(f.store);
    assert_int_equal(support_number(db, "SELECT count(*) FROM value_block"), 5);
    assert_int_equal(support_number(db, "SELECT count(*) FROM value_block WHERE run_id = 'a'"), 0);
    uint64_t last = 0;
    ASSERT_OK(cvm_value_block_scan(f.store, "b", sum_blocks, &last, ERR));
    assert_int_equal(last, 10);
    finish(&f);
}

static void a_decision_comes_back_as_it_was_made(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_error err = {0};
    struct cvm_decision made = support_decision("r", 77);
    struct cvm_decision found = {.run_id = "sentinel"};
    (void)start_run(f.store, "r", DAY);
    add_decisions(f.store, "r", 77, 1);
    ASSERT_OK(cvm_decision_get(f.store, f.arena, "r", 77, &found, ERR));
    assert_string_equal(found.run_id, "r");
    assert_string_equal(found.customer_id, made.customer_id);
    assert_string_equal(found.treatment, made.treatment);
    assert_string_equal(found.language, made.language);
    assert_string_equal(found.arm, made.arm);
    assert_null(found.offer);
    assert_null(found.content);
    assert_true(found.value == made.value && found.sd == made.sd && found.price == made.price);
    assert_int_equal(found.cost_micro, made.cost_micro);
    assert_int_equal(found.incentive_micro, made.incentive_micro);
    assert_int_equal(found.reason, made.reason);
    assert_false(found.ghost);
    assert_int_equal(found.earliest_at_ms, made.earliest_at_ms);
    assert_int_equal(found.latest_at_ms, 0);
    assert_int_equal(found.state, CVM_DECISION_DECIDED);
    found.run_id = "sentinel";
    assert_int_equal(cvm_decision_get(f.store, f.arena, "r", 78, &found, &err), CVM_E_NOT_FOUND);
    assert_string_equal(found.run_id, "sentinel");
    /* one customer, one decision */
    support_begin(f.store);
    assert_int_equal(cvm_decision_add(f.store, &made, 1, &err), CVM_E_CONFLICT);
    cvm_db_rollback(cvm_store_db(f.store));
    finish(&f);
}

static enum cvm_decision_state state_of(struct fixture *f, const char *run_id)
{
    struct cvm_decision found;
    ASSERT_OK(cvm_decision_get(f->store, f->arena, run_id, 1, &found, ERR));
    return found.state;
}

static void decisions_follow_the_state_of_their_plan(void **state)
{
    (void)state;
    struct fixture f = start();
    int64_t epoch = start_run(f.store, "r", DAY);
    add_decisions(f.store, "r", 1, 2);
    finish_run(f.store, "r", DAY, epoch);
    assert_int_equal(state_of(&f, "r"), CVM_DECISION_DECIDED);
    set_state(f.store, "r", "approved");
    assert_int_equal(state_of(&f, "r"), CVM_DECISION_DECIDED);
    set_state(f.store, "r", "released");
    assert_int_equal(state_of(&f, "r"), CVM_DECISION_RELEASED);
    set_state(f.store, "r", "recalled");
    assert_int_equal(state_of(&f, "r"), CVM_DECISION_WITHDRAWN);
    /* what was sent stays sent */
    support_exec(cvm_store_db(f.store), "UPDATE decision SET state = 2 WHERE customer_key = 1");
    assert_int_equal(state_of(&f, "r"), CVM_DECISION_SENT);
    finish(&f);
}

static enum cvm_status join_keys(void *state, uint64_t key, struct cvm_error *err)
{
    char *keys = state;
    (void)err;
    size_t used = strlen(keys);
    (void)snprintf(keys + used, 200 - used, "%d ", (int)key);
    return CVM_OK;
}

static void check_live(struct fixture *f, int32_t day, const char *except, const char *expected)
{
    char keys[200] = "";
    ASSERT_OK(cvm_decision_live(f->store, day, except, join_keys, keys, ERR));
    assert_string_equal(keys, expected);
}

static void check_of_day(struct fixture *f, int32_t day, uint64_t key, const char *run_id)
{
    struct cvm_arena *arena = cvm_arena_create((size_t)1 << 20);
    struct cvm_decision found;
    struct cvm_error err;
    enum cvm_status status = cvm_decision_of_day(f->store, arena, day, key, &found, &err);
    assert_int_equal(status, run_id == NULL ? CVM_E_NOT_FOUND : CVM_OK);
    if (run_id != NULL) {
        assert_string_equal(found.run_id, run_id);
        assert_int_equal(found.customer_key, key);
    }
    cvm_arena_destroy(arena);
}

static void live_decisions_of_all_plans_come_in_key_order_once(void **state)
{
    (void)state;
    struct fixture f = start();
    static const char *const ids[] = {"z", "a", "m"};
    static const uint64_t firsts[] = {1, 3, 2};
    for (int i = 0; i < 3; i++) {
        int64_t epoch = start_run(f.store, ids[i], DAY);
        add_decisions(f.store, ids[i], firsts[i], 3);
        if (i < 2) {
            finish_run(f.store, ids[i], DAY, epoch);
        }
    }
    check_live(&f, DAY, "", "1 2 3 4 5 "); /* "m" is at work */
    check_live(&f, DAY, "z", "3 4 5 ");
    check_live(&f, DAY, NULL, "1 2 3 4 5 ");
    check_live(&f, DAY + 1, "", "");
    check_of_day(&f, DAY, 1, "z");
    check_of_day(&f, DAY, 5, "a");
    check_of_day(&f, DAY + 1, 1, NULL);
    check_of_day(&f, DAY, 6, NULL);
    support_exec(cvm_store_db(f.store), "UPDATE decision SET state = 11 WHERE customer_key = 2");
    support_exec(cvm_store_db(f.store), "UPDATE decision SET state = 5 WHERE customer_key = 5");
    check_live(&f, DAY, "", "1 3 4 5 "); /* not sent is not live, accepted is */
    set_state(f.store, "a", "recalled");
    check_live(&f, DAY, "", "1 3 5 "); /* recalled too late: who has accepted has a decision */
    check_of_day(&f, DAY, 5, "a");
    finish(&f);
}

static enum cvm_status join_withdrawn(void *state, const struct cvm_decision *decision,
                                      struct cvm_error *err)
{
    assert_int_equal(decision->state, CVM_DECISION_WITHDRAWN);
    assert_int_equal(decision->cost_micro, 50000);
    return join_keys(state, decision->customer_key, err);
}

static void what_is_not_yet_sent_can_be_withdrawn_once(void **state)
{
    (void)state;
    struct fixture f = start();
    char keys[200] = "";
    int64_t epoch = start_run(f.store, "r", DAY);
    add_decisions(f.store, "r", 1, 4);
    finish_run(f.store, "r", DAY, epoch);
    set_state(f.store, "r", "approved");
    set_state(f.store, "r", "released");
    support_exec(cvm_store_db(f.store), "UPDATE decision SET state = 2 WHERE customer_key = 2");
    epoch = start_run(f.store, "other_day", DAY + 1);
    add_decisions(f.store, "other_day", 1, 4);
    finish_run(f.store, "other_day", DAY + 1, epoch);
    support_begin(f.store);
    ASSERT_OK(cvm_decision_withdraw(f.store, DAY, join_withdrawn, keys, ERR));
    support_commit(f.store);
    assert_string_equal(keys, "1 3 4 ");
    check_live(&f, DAY, "", "2 ");
    keys[0] = '\0';
    support_begin(f.store);
    ASSERT_OK(cvm_decision_withdraw(f.store, DAY, join_withdrawn, keys, ERR));
    support_commit(f.store);
    assert_string_equal(keys, "");
    check_live(&f, DAY + 1, "", "1 2 3 4 ");
    finish(&f);
}

static enum cvm_status count_up(void *state, const struct cvm_decision *decision,
                                struct cvm_error *err)
{
    uint64_t *last = state;
    (void)err;
    assert_true(decision->customer_key > *last);
    *last = decision->customer_key;
    return CVM_OK;
}

static void decisions_are_scanned_in_key_order_to_the_highest_key(void **state)
{
    (void)state;
    struct fixture f = start();
    (void)start_run(f.store, "r", DAY);
    add_decisions(f.store, "r", INT64_MAX, 1);
    add_decisions(f.store, "r", 5, 10);
    uint64_t last = 0;
    ASSERT_OK(cvm_decision_scan(f.store, "r", count_up, &last, ERR));
    assert_true(last == INT64_MAX);
    finish(&f);
}

static void an_unknown_state_in_the_store_is_corrupt(void **state)
{
    (void)state;
    struct fixture f = start();
    struct cvm_error err = {0};
    struct cvm_decision found;
    (void)start_run(f.store, "r", DAY);
    add_decisions(f.store, "r", 1, 1);
    support_exec(cvm_store_db(f.store), "UPDATE decision SET state = 99");
    assert_int_equal(cvm_decision_get(f.store, f.arena, "r", 1, &found, &err), CVM_E_CORRUPT);
    finish(&f);
}

static void ids_of_decisions_can_be_taken_apart(void **state)
{
    (void)state;
    char id[CVM_DECISION_ID_SIZE];
    char run_id[CVM_DECISION_ID_SIZE];
    uint64_t key = 0;
    assert_string_equal(cvm_decision_id("2024-03-20-ab", 255, id),
                        "2024-03-20-ab.00000000000000ff");
    assert_true(cvm_decision_id_parse(id, run_id, &key));
    assert_string_equal(run_id, "2024-03-20-ab");
    assert_int_equal(key, 255);
    static const char *const malformed[] = {
        "",
        ".",
        "r",
        "r.",
        ".00000000000000ff",
        "r.ff",
        "r.00000000000000fg",
        "r.00000000000000FF",
        "r.00000000000000ff0",
        "a-run-id-that-is-much-too-long-to-be-one-of-ours-by-any-means.00000000000000ff"};
    for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
        assert_false(cvm_decision_id_parse(malformed[i], run_id, &key));
    }
    assert_string_equal(cvm_decision_state_name(CVM_DECISION_WITHDRAWN), "withdrawn");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_comes_back_as_it_was_recorded),
        cmocka_unit_test(a_unique_prefix_of_a_run_is_enough),
        cmocka_unit_test(runs_are_listed_newest_first),
        cmocka_unit_test(taking_a_run_up_replaces_what_a_dead_process_left),
        cmocka_unit_test(a_plan_walks_its_states_and_leaves_a_trail),
        cmocka_unit_test(the_block_of_a_key_is_found_and_gaps_have_none),
        cmocka_unit_test(reading_a_block_survives_an_arena_of_any_size),
        cmocka_unit_test(blocks_of_the_newest_runs_are_kept),
        cmocka_unit_test(a_decision_comes_back_as_it_was_made),
        cmocka_unit_test(decisions_follow_the_state_of_their_plan),
        cmocka_unit_test(live_decisions_of_all_plans_come_in_key_order_once),
        cmocka_unit_test(what_is_not_yet_sent_can_be_withdrawn_once),
        cmocka_unit_test(decisions_are_scanned_in_key_order_to_the_highest_key),
        cmocka_unit_test(an_unknown_state_in_the_store_is_corrupt),
        cmocka_unit_test(ids_of_decisions_can_be_taken_apart),
    };
    return SUPPORT_RUN("plan_store", tests);
}
