/* Runs with control groups, pending contacts, households, triggers, stops and learned responses, on
 * a generated base. */
#include "run_base.h"

#include <math.h>

#include "engine/decide.h"
#include "engine/pending.h"
#include "engine/trigger.h"
#include "storage/plan_store.h"

#define CUSTOMERS 3000

static int set_up(void **state)
{
    *state = base_create(CUSTOMERS, NULL);
    return 0;
}

/* Groups large enough to see what they do. */
static void enlarge_groups(struct cvm_arena *arena, struct config_files *config)
{
    (void)config_replace(arena, config, "control.yaml", "share: 0.02", "share: 0.2");
    (void)config_replace(arena, config, "control.yaml", "default: 0.05", "default: 0.2");
}

static int set_up_large_groups(void **state)
{
    *state = base_create(CUSTOMERS, enlarge_groups);
    return 0;
}

static int tear_down(void **state)
{
    base_destroy(*state);
    return 0;
}

/* ---- the store, asked by hand ---- */

static enum cvm_status take_number(void *state, const struct cvm_db_value *columns,
                                   size_t column_count, struct cvm_error *err)
{
    (void)column_count;
    (void)err;
    *(double *)state =
        columns[0].type == CVM_DB_DOUBLE ? columns[0].number : (double)columns[0].integer;
    return CVM_OK;
}

static double number(const struct base *base, const char *sql)
{
    double found = NAN;
    struct cvm_error err;
    must(cvm_db_query(cvm_store_db(base->store), sql, NULL, 0, take_number, &found, &err), &err);
    return found;
}

static void change(const struct base *base, const char *sql)
{
    struct cvm_db *db = cvm_store_db(base->store);
    struct cvm_error err;
    must(cvm_db_begin(db, &err), &err);
    must(cvm_db_exec(db, sql, NULL, 0, NULL, &err), &err);
    must(cvm_db_commit(db, &err), &err);
}

static bool is_marketing(const struct base *base, int treatment)
{
    return base->catalogue->treatments[treatment].purpose == CVM_PURPOSE_MARKETING;
}

static bool is_member(const struct base *base, uint64_t key)
{
    char sql[128];
    (void)snprintf(sql, sizeof(sql),
                   "SELECT count(*) FROM control_member WHERE customer_key = %lld", (long long)key);
    return number(base, sql) > 0;
}

/* ---- control groups ---- */

static void each_stratum_has_its_share_of_members(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    cvm_run_result_destroy(run(base, &request, 2, 256));
    assert_int_equal((int)number(base, "SELECT sum(enrolled) FROM control_stratum"), CUSTOMERS);
    assert_true(number(base, "SELECT count(*) FROM control_stratum") > 8);
    assert_int_equal((int)number(base, "SELECT count(*) FROM control_stratum WHERE members <> "
                                       "CAST(round(enrolled * 0.2) AS INTEGER)"),
                     0);
    assert_int_equal((int)number(base, "SELECT sum(members) FROM control_stratum"),
                     (int)number(base, "SELECT count(*) FROM control_member"));
}

static void members_stay_when_customers_join(void **state)
{
    struct base *base = *state;
    struct cvm_run_request request = ordinary();
    cvm_run_result_destroy(run(base, &request, 2, 256));
    change(base, "CREATE TABLE members_before AS SELECT * FROM control_member");
    base_import(base, CUSTOMERS, 1000);
    request.as_of_day++;
    cvm_run_result_destroy(run(base, &request, 2, 256));
    assert_int_equal(
        (int)number(base, "SELECT count(*) FROM members_before b LEFT JOIN control_member m ON "
                          "m.customer_key = b.customer_key AND m.stratum = b.stratum WHERE "
                          "m.customer_key IS NULL"),
        0);
    assert_int_equal(
        (int)number(base, "SELECT count(*) FROM control_member m JOIN customer c ON c.customer_key "
                          "= m.customer_key WHERE c.batch = 1 AND m.customer_key NOT IN "
                          "(SELECT customer_key FROM members_before)"),
        0);
    assert_int_equal((int)number(base, "SELECT sum(enrolled) FROM control_stratum"), 4000);
    assert_int_equal((int)number(base, "SELECT count(*) FROM control_stratum WHERE members <> "
                                       "CAST(round(enrolled * 0.2) AS INTEGER)"),
                     0);
    assert_int_equal((int)number(base, "SELECT count(*) FROM control_enrolment"), 2);
}

static void only_a_stored_run_of_the_whole_base_enrols(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    char id[CVM_WORLD_ID_SIZE];
    cvm_world_customer_id(5, id);
    const char *ids[] = {id};
    request.is_dry = true;
    cvm_run_result_destroy(run(base, &request, 2, 256));
    request.is_dry = false;
    request.customers = ids;
    request.customer_count = 1;
    cvm_run_result_destroy(run(base, &request, 2, 256));
    request = ordinary();
    request.trigger = "churn_risk";
    cvm_run_result_destroy(run(base, &request, 2, 256));
    assert_int_equal((int)number(base, "SELECT count(*) FROM control_enrolment"), 0);
}

static void the_universal_group_gets_service_and_no_marketing(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    size_t served = 0;
    for (size_t i = 0; i < result->decision_count; i++) {
        const struct cvm_run_decision *decision = &result->decisions[i];
        if (is_member(base, decision->key)) {
            assert_false(is_marketing(base, decision->treatment));
            served++;
        }
        assert_string_equal(decision->arm, "treated");
    }
    assert_true(served > 0);
    assert_int_equal(result->control_members,
                     (int)number(base, "SELECT count(*) FROM control_member"));
    cvm_run_result_destroy(result);
}

static void assert_ghost(const struct base *base, const struct cvm_run_decision *ghost,
                         size_t *universal)
{
    const struct cvm_treatment *treatment = &base->catalogue->treatments[ghost->treatment];
    char arm[96];
    (void)snprintf(arm, sizeof(arm), "holdout:%s", treatment->action);
    bool is_universal = is_member(base, ghost->key) && is_marketing(base, ghost->treatment);
    assert_string_equal(ghost->arm, is_universal ? "universal_control" : arm);
    double expected = is_universal ? 0.2 : 0.8 * 0.2;
    assert_true(fabs(ghost->selection_probability - expected) < 1e-12);
    assert_int_equal(ghost->withheld, ghost->treatment);
    assert_true(ghost->value - ghost->price > 0);
    assert_int_equal(ghost->cost_micro, 0);
    assert_int_equal(ghost->latest_ms, 0);
    *universal += is_universal;
}

static void ghosts_are_what_would_have_been_and_use_nothing(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    size_t universal = 0;
    int64_t counted = 0;
    assert_true(result->ghost_count > 50);
    for (size_t i = 0; i < result->ghost_count; i++) {
        assert_ghost(base, &result->ghosts[i], &universal);
        for (size_t d = 0; d < result->decision_count; d++) {
            assert_true(result->decisions[d].key != result->ghosts[i].key);
        }
    }
    assert_int_equal(result->universal_ghosts, universal);
    assert_true(universal > 0 && universal < result->ghost_count);
    for (size_t t = 0; t < base->catalogue->treatment_count; t++) {
        struct cvm_ledger_row row;
        struct cvm_error err;
        must(cvm_ledger_row(base->store, &base->catalogue->constraints[t], AS_OF, NULL, &row, &err),
             &err);
        assert_int_equal(row.confirmed, result->by_treatment[t]);
        counted += result->by_treatment[t];
    }
    assert_int_equal(counted, result->decision_count);
    assert_int_equal((int)number(base, "SELECT count(*) FROM decision WHERE ghost = 1"),
                     result->ghost_count);
    assert_int_equal((int)number(base, "SELECT decisions FROM plan"), result->decision_count);
    cvm_run_result_destroy(result);
}

static void a_customer_who_got_something_else_is_no_ghost_and_says_what_was_withheld(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    size_t with_withheld = 0;
    for (size_t i = 0; i < result->decision_count; i++) {
        const struct cvm_run_decision *decision = &result->decisions[i];
        if (decision->withheld != CVM_INDEX_NONE) {
            assert_true(decision->withheld != decision->treatment);
            with_withheld++;
        }
    }
    assert_true(with_withheld > 0);
    assert_int_equal(
        (int)number(base, "SELECT count(*) FROM decision WHERE ghost = 0 AND withheld IS NOT NULL"),
        with_withheld);

    /* and so it is when the run is loaded again */
    struct cvm_run_result *again = run(base, &request, 1, 64);
    assert_true(again->was_done_before);
    assert_int_equal(again->ghost_count, result->ghost_count);
    assert_int_equal(again->universal_ghosts, result->universal_ghosts);
    assert_int_equal(again->control_members, result->control_members);
    for (size_t i = 0; i < result->ghost_count; i++) {
        assert_int_equal(again->ghosts[i].treatment, result->ghosts[i].treatment);
        assert_string_equal(again->ghosts[i].arm, result->ghosts[i].arm);
    }
    cvm_run_result_destroy(again);
    cvm_run_result_destroy(result);
}

static void a_forced_treatment_goes_to_held_out_customers_too(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    cvm_run_result_destroy(run(base, &request, 2, 256)); /* enrols */
    request.as_of_day += 40;
    request.is_dry = true;
    request.since_day = AS_OF - 100;
    request.forced_treatment = cvm_catalogue_treatment(base->catalogue, "loyalty_points");
    struct cvm_run_result *result = run(base, &request, 2, 256);
    assert_true(result->decision_count > 0);
    for (size_t i = 0; i < result->decision_count; i++) {
        assert_false(is_member(base, result->decisions[i].key));
        assert_true(fabs(result->decisions[i].selection_probability - 0.8) < 1e-12);
    }
    assert_int_equal(result->ghost_count, result->universal_ghosts);
    assert_true(result->ghost_count > 0);
    cvm_run_result_destroy(result);
}

/* ---- all of it on, on any machinery ---- */

static void the_plan_is_the_same_on_any_threads_and_chunks_with_all_of_it_on(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    assert_true(base->catalogue->policy.household_count > 0);
    cvm_run_result_destroy(run(base, &request, 2, 256));
    request.as_of_day++; /* so that the first night's contacts are pending */
    request.is_dry = true;
    struct cvm_run_result *first = run(base, &request, 1, 16);
    static const struct {
        size_t threads, chunk_size;
    } ways[] = {{1, 4096}, {2, 64}, {3, 100}, {4, 17}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct cvm_run_result *other = run(base, &request, ways[i].threads, ways[i].chunk_size);
        assert_string_equal(other->plan_digest, first->plan_digest);
        assert_int_equal(other->ghost_count, first->ghost_count);
        assert_memory_equal(other->refusals, first->refusals, sizeof(first->refusals));
        for (size_t g = 0; g < first->ghost_count; g++) {
            assert_true(other->ghosts[g].key == first->ghosts[g].key);
            assert_int_equal(other->ghosts[g].treatment, first->ghosts[g].treatment);
        }
        for (size_t d = 0; d < first->decision_count; d++) {
            assert_true(other->decisions[d].earliest_ms == first->decisions[d].earliest_ms);
            assert_int_equal(other->decisions[d].withheld, first->decisions[d].withheld);
        }
        cvm_run_result_destroy(other);
    }
    assert_true(first->decision_count > 0 && first->ghost_count > 0);
    cvm_run_result_destroy(first);
}

/* ---- contacts ---- */

static bool is_marketing_contact(const struct base *base, const struct cvm_run_decision *decision)
{
    return is_marketing(base, decision->treatment) && decision->channel != CVM_CHANNEL_NONE;
}

static void who_was_contacted_last_night_rests_although_nobody_has_reported_it(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *first = run(base, &request, 2, 256);
    request.as_of_day++;
    struct cvm_run_result *second = run(base, &request, 2, 256);
    size_t contacted = 0;
    for (size_t i = 0; i < first->decision_count; i++) {
        if (!is_marketing_contact(base, &first->decisions[i])) {
            continue;
        }
        contacted++;
        for (size_t j = 0; j < second->decision_count; j++) {
            assert_false(second->decisions[j].key == first->decisions[i].key &&
                         is_marketing_contact(base, &second->decisions[j]));
        }
    }
    assert_true(contacted > 20);
    cvm_run_result_destroy(first);
    cvm_run_result_destroy(second);
}

static size_t pending_count(const struct base *base, int32_t day)
{
    struct cvm_pending pending;
    struct cvm_error err;
    cvm_pending_init(&pending);
    must(cvm_pending_load(&pending, base->store, base->catalogue, day, NULL, &err), &err);
    size_t count = pending.contacts.count;
    cvm_pending_finish(&pending);
    return count;
}

static void what_is_released_is_pending_until_it_is_reported_or_its_plan_is_none(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    size_t given = result->decision_count;
    assert_true(number(base, "SELECT count(*) FROM decision WHERE channel = 'none'") > 0);
    assert_int_equal(pending_count(base, AS_OF + 1), given);
    /* the hours of contact are over, and nobody said what became of it; limits look back 60 days */
    assert_int_equal(pending_count(base, AS_OF + 59), given);
    assert_int_equal(pending_count(base, AS_OF + 60), 0);
    /* 2 = sent: then it stands in the journey */
    double sent = number(base, "SELECT count(*) FROM decision WHERE channel = 'sms' AND ghost = 0");
    change(base, "UPDATE decision SET state = 2 WHERE channel = 'sms'");
    assert_true(sent > 0);
    assert_int_equal(pending_count(base, AS_OF + 1), given - (size_t)sent);
    change(base, "UPDATE plan SET state = 'draft'");
    assert_int_equal(pending_count(base, AS_OF + 1), 0);
    cvm_run_result_destroy(result);
}

static void a_contact_has_a_window_on_its_day_and_nothing_else_has_one(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    /* The day after as-of begins so many milliseconds after 1970 in the deployment's zone, UTC. */
    int64_t begin = (INT64_C(19802) + base->catalogue->policy.lead_days) * 86400000;
    size_t contacts = 0;
    for (size_t i = 0; i < result->decision_count; i++) {
        const struct cvm_run_decision *decision = &result->decisions[i];
        if (decision->channel == CVM_CHANNEL_NONE) {
            assert_int_equal(decision->earliest_ms, 0);
            assert_int_equal(decision->latest_ms, 0);
            continue;
        }
        contacts++;
        assert_true(decision->channel < CVM_CHANNEL_COUNT);
        assert_true(decision->earliest_ms >= begin);
        assert_true(decision->earliest_ms < begin + 86400000);
        assert_true(decision->latest_ms > decision->earliest_ms);
        assert_true(decision->latest_ms <= decision->earliest_ms + 86400000);
    }
    assert_true(contacts > 100);
    assert_int_equal((int)number(base, "SELECT count(*) FROM decision WHERE ghost = 0 AND "
                                       "(channel = 'none') <> (latest_at IS NULL)"),
                     0);
    cvm_run_result_destroy(result);
}

/* ---- triggers ---- */

static void a_trigger_run_decides_for_whom_it_finds_and_nobody_else(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 2, 256);
    struct cvm_trigger_request wanted = {
        .trigger = cvm_catalogue_trigger(base->catalogue, "churn_risk"),
        .as_of_day = AS_OF,
        .evidence_max = CUSTOMERS,
    };
    struct cvm_trigger_result matches;
    struct cvm_error err;
    must(cvm_trigger_match(engine, &wanted, base->arena, &matches, &err), &err);
    cvm_engine_close(engine);
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    request.trigger = "churn_risk";
    struct cvm_run_result *result = run(base, &request, 2, 256);
    assert_true(matches.total_matches > 0 && matches.total_matches < CUSTOMERS / 2);
    assert_int_equal(result->customers, matches.total_matches);
    assert_true(result->decision_count > 0);
    size_t m = 0;
    for (size_t i = 0; i < result->decision_count; i++) {
        for (; m < matches.count && matches.matches[m].key < result->decisions[i].key; m++) {
        }
        assert_true(m < matches.count && matches.matches[m].key == result->decisions[i].key);
    }
    assert_int_equal(result->refusals[CVM_REASON_NOT_SELECTED], 0);
    cvm_run_result_destroy(result);
}

static void an_unknown_trigger_is_told_with_the_nearest_one(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 256);
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = NULL;
    struct cvm_error err = {0};
    request.trigger = "churn_rsk";
    assert_int_equal(cvm_run(engine, base->store, &request, base->arena, &result, &err),
                     CVM_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "churn_rsk"));
    assert_non_null(strstr(err.hint, "churn_risk"));
    assert_null(result);
    cvm_engine_close(engine);
}

static void a_trigger_is_part_of_what_a_run_is(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *all = run(base, &request, 2, 256);
    request.trigger = "churn_risk";
    struct cvm_run_result *some = run(base, &request, 2, 256);
    assert_string_not_equal(all->run_id, some->run_id);
    cvm_run_result_destroy(all);
    cvm_run_result_destroy(some);
}

/* ---- what changes without a new catalogue ---- */

static void learned_responses_make_another_run_and_stay_with_it(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    request.is_dry = true;
    struct cvm_run_result *before = run(base, &request, 2, 256);
    change(base, "INSERT INTO learning VALUES ('retention_sms', 5000, 4900, 4900, 4000, 0, 0, 0.0, "
                 "0, 0, 0.0)");
    request.is_dry = false;
    struct cvm_run_result *after = run(base, &request, 2, 256);
    int t = cvm_catalogue_treatment(base->catalogue, "retention_sms");
    double prior = base->catalogue->treatments[t].response.reach;
    assert_string_not_equal(before->run_id, after->run_id);
    assert_string_not_equal(before->plan_digest, after->plan_digest);
    double learned = after->catalogue->treatments[t].response.reach;
    assert_true(learned > prior && learned < 0.98);
    assert_string_equal(after->catalogue->treatments[t].response.source, "learned");

    /* What is learned later does not change what the run says of itself. */
    change(base, "UPDATE learning SET reached = 1000");
    struct cvm_engine *engine = open_engine(base, 1, 256);
    struct cvm_run_result *loaded = NULL;
    struct cvm_error err;
    must(cvm_run_load(engine, base->store, after->run_id, base->arena, &loaded, &err), &err);
    assert_true(loaded->catalogue->treatments[t].response.reach == learned);
    assert_int_equal(loaded->catalogue->treatments[t].response.outcomes, 5000);
    cvm_engine_close(engine);
    cvm_run_result_destroy(loaded);
    cvm_run_result_destroy(before);
    cvm_run_result_destroy(after);
}

static void a_stopped_treatment_is_given_to_nobody_and_makes_another_run(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    int t = cvm_catalogue_treatment(base->catalogue, "data_boost");
    request.is_dry = true;
    struct cvm_run_result *before = run(base, &request, 2, 256);
    change(base, "INSERT INTO stop VALUES ('treatment', 'data_boost', 0, 'test', 'test')");
    struct cvm_run_result *after = run(base, &request, 2, 256);
    assert_true(before->by_treatment[t] > 0);
    assert_int_equal(after->by_treatment[t], 0);
    assert_int_equal(after->refusals[CVM_REASON_STOPPED], CUSTOMERS);
    assert_string_not_equal(before->run_id, after->run_id);
    cvm_run_result_destroy(before);
    cvm_run_result_destroy(after);
}

/* ---- one customer ---- */

static void
a_member_of_the_control_group_is_refused_marketing_by_decide_and_is_no_ghost(void **state)
{
    const struct base *base = *state;
    struct cvm_run_request request = ordinary();
    struct cvm_run_result *result = run(base, &request, 2, 256);
    const char *member = NULL;
    for (size_t i = 0; i < result->ghost_count && member == NULL; i++) {
        if (is_member(base, result->ghosts[i].key)) {
            member = result->ghosts[i].customer_id;
        }
    }
    assert_non_null(member);
    struct cvm_engine *engine = open_engine(base, 1, 256);
    struct cvm_decide_request decide = {.customer_id = member,
                                        .as_of_day = AS_OF,
                                        .channel = CVM_CHANNEL_UNSET,
                                        .direction = CVM_DIRECTION_OUTBOUND,
                                        .forced_treatment = CVM_INDEX_NONE,
                                        .allowed = 0,
                                        .who = "test"};
    struct cvm_text entry;
    struct cvm_error err;
    for (size_t t = 0; t < base->catalogue->treatment_count; t++) {
        decide.allowed |= is_marketing(base, (int)t) ? UINT64_C(1) << t : 0;
    }
    cvm_text_init(&entry, 0);
    double ghosts = number(base, "SELECT count(*) FROM decision WHERE ghost = 1");
    must(cvm_decide(engine, base->store, &decide, base->arena, &entry, &err), &err);
    assert_non_null(strstr(cvm_text_string(&entry), "\"selected_treatment\":\"ignore\""));
    assert_non_null(strstr(cvm_text_string(&entry), "\"reason\":\"held_out\""));
    assert_true(number(base, "SELECT count(*) FROM decision WHERE ghost = 1") == ghosts);
    cvm_text_finish(&entry);
    cvm_engine_close(engine);
    cvm_run_result_destroy(result);
}

#define WITH_BASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
#define WITH_LARGE_GROUPS(test)                                                                    \
    cmocka_unit_test_setup_teardown(test, set_up_large_groups, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LARGE_GROUPS(each_stratum_has_its_share_of_members),
        WITH_LARGE_GROUPS(members_stay_when_customers_join),
        WITH_BASE(only_a_stored_run_of_the_whole_base_enrols),
        WITH_LARGE_GROUPS(the_universal_group_gets_service_and_no_marketing),
        WITH_LARGE_GROUPS(ghosts_are_what_would_have_been_and_use_nothing),
        WITH_LARGE_GROUPS(a_customer_who_got_something_else_is_no_ghost_and_says_what_was_withheld),
        WITH_LARGE_GROUPS(a_forced_treatment_goes_to_held_out_customers_too),
        WITH_LARGE_GROUPS(the_plan_is_the_same_on_any_threads_and_chunks_with_all_of_it_on),
        WITH_BASE(who_was_contacted_last_night_rests_although_nobody_has_reported_it),
        WITH_BASE(what_is_released_is_pending_until_it_is_reported_or_its_plan_is_none),
        WITH_BASE(a_contact_has_a_window_on_its_day_and_nothing_else_has_one),
        WITH_BASE(a_trigger_run_decides_for_whom_it_finds_and_nobody_else),
        WITH_BASE(an_unknown_trigger_is_told_with_the_nearest_one),
        WITH_BASE(a_trigger_is_part_of_what_a_run_is),
        WITH_BASE(learned_responses_make_another_run_and_stay_with_it),
        WITH_BASE(a_stopped_treatment_is_given_to_nobody_and_makes_another_run),
        WITH_LARGE_GROUPS(
            a_member_of_the_control_group_is_refused_marketing_by_decide_and_is_no_ghost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
