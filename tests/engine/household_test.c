/* A household gets at most so many contacts: the best customers keep theirs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/problem.h"
#include "engine/household.h"

enum { OFFER_SMS, OFFER_CALL, POINTS, NOTICE, TREATMENTS };
enum { HOUSEHOLD, CONTACTS, FEATURES };

struct person {
    double household;
    double contacts; /* marketing, of late */
    float sms, call; /* values; CVM_VALUE_INELIGIBLE = refused before */
};

struct home {
    struct cvm_treatment treatments[TREATMENTS];
    struct cvm_feature features[FEATURES];
    struct cvm_catalogue catalogue;
    struct cvm_chunk *chunk;
    struct cvm_shard_values shard;
    struct cvm_column members;
};

static void open_home(struct home *home, int max)
{
    memset(home, 0, sizeof(*home));
    home->treatments[OFFER_SMS].channel = CVM_CHANNEL_SMS;
    home->treatments[OFFER_CALL].channel = CVM_CHANNEL_CALL;
    home->treatments[POINTS].channel = CVM_CHANNEL_NONE; /* marketing, no contact */
    home->treatments[NOTICE].channel = CVM_CHANNEL_SMS;
    home->treatments[NOTICE].purpose = CVM_PURPOSE_SERVICE;
    home->catalogue = (struct cvm_catalogue){
        .treatments = home->treatments,
        .treatment_count = TREATMENTS,
        .features = home->features,
        .feature_count = FEATURES,
        .policy = {.household_feature = HOUSEHOLD, .household_count = 1},
    };
    home->catalogue.policy.household[0] = (struct cvm_household_limit){
        .max = max, .purpose = CVM_PURPOSE_MARKETING, .count_feature = CONTACTS};
    cvm_household_init(&home->members);
    cvm_shard_values_init(&home->shard, TREATMENTS);
    assert_int_equal(cvm_chunk_create(64, FEATURES, &home->chunk, NULL), CVM_OK);
    assert_true(cvm_household_is_on(&home->catalogue));
}

static void close_home(struct home *home)
{
    cvm_column_finish(&home->members);
    cvm_shard_values_finish(&home->shard);
    cvm_chunk_destroy(home->chunk);
}

/* Customer i has key 10 (i + 1). Points and notice are worth 1 to everybody. */
static void add_people(struct home *home, const struct person *people, size_t count)
{
    float values[TREATMENTS * 64];
    unsigned char reasons[TREATMENTS * 64];
    float numbers[64] = {0};
    unsigned char segments[64] = {0};
    struct cvm_contact_facts facts[64] = {{0}};
    struct cvm_verdicts verdicts = {.values = values,
                                    .reasons = reasons,
                                    .margins = numbers,
                                    .churns = numbers,
                                    .tirings = numbers,
                                    .segments = segments,
                                    .facts = facts,
                                    .stride = 64};
    for (size_t i = 0; i < count; i++) {
        home->chunk->keys[i] = 10 * (i + 1);
        home->chunk->id_offsets[i] = 0;
        home->chunk->event_counts[i] = 0;
        home->chunk->features[HOUSEHOLD * home->chunk->capacity + i] = people[i].household;
        home->chunk->features[CONTACTS * home->chunk->capacity + i] = people[i].contacts;
        const float all[] = {people[i].sms, people[i].call, 1, 1};
        for (size_t t = 0; t < TREATMENTS; t++) {
            values[t * 64 + i] = all[t];
            reasons[t * 64 + i] =
                (unsigned char)(all[t] == CVM_VALUE_INELIGIBLE ? CVM_REASON_NO_CONSENT
                                                               : CVM_REASON_PERMITTED);
        }
    }
    home->chunk->count = count;
    assert_int_equal(cvm_shard_values_add(&home->shard, home->chunk, &verdicts, NULL), CVM_OK);
    assert_int_equal(cvm_household_add(&home->members, &home->catalogue, home->chunk, 0, 0, NULL),
                     CVM_OK);
}

static enum cvm_reason reason_of(const struct home *home, size_t person, size_t treatment)
{
    struct cvm_values_view view = cvm_values_view_of(&home->shard);
    enum cvm_reason reason = (enum cvm_reason)cvm_values_reason(&view, person, treatment);
    bool has_value = cvm_values_value(&view, person, treatment) > CVM_VALUE_INELIGIBLE;
    assert_true(has_value == (reason == CVM_REASON_PERMITTED));
    return reason;
}

static bool is_limited(const struct home *home, size_t person)
{
    return reason_of(home, person, OFFER_SMS) == CVM_REASON_HOUSEHOLD ||
           reason_of(home, person, OFFER_CALL) == CVM_REASON_HOUSEHOLD;
}

static void apply(struct home *home)
{
    cvm_household_apply(&home->members, &home->catalogue, CVM_INDEX_NONE, &home->shard);
}

static void the_best_of_a_household_keep_their_contacts(void **state)
{
    struct home home;
    (void)state;
    /* Household 7 has three members; the best contact of each is 5, 9 and 6. */
    static const struct person people[] = {
        {7, 0, 5, 2}, {8, 0, 1, 1}, {7, 0, 3, 9}, {7, 0, 6, CVM_VALUE_INELIGIBLE}, {8, 0, 4, 4}};
    open_home(&home, 2);
    add_people(&home, people, 5);
    apply(&home);
    assert_true(is_limited(&home, 0));
    assert_false(is_limited(&home, 1));
    assert_false(is_limited(&home, 2));
    assert_false(is_limited(&home, 3));
    assert_false(is_limited(&home, 4));
    close_home(&home);
}

static void only_contacts_of_the_limits_purpose_are_refused(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 0, 5, CVM_VALUE_INELIGIBLE}, {7, 0, 6, 2}};
    open_home(&home, 1);
    add_people(&home, people, 2);
    apply(&home);
    assert_int_equal(reason_of(&home, 0, OFFER_SMS), CVM_REASON_HOUSEHOLD);
    assert_int_equal(reason_of(&home, 0, OFFER_CALL), CVM_REASON_NO_CONSENT);
    assert_int_equal(reason_of(&home, 0, POINTS), CVM_REASON_PERMITTED);
    assert_int_equal(reason_of(&home, 0, NOTICE), CVM_REASON_PERMITTED);
    close_home(&home);
}

static void contacts_of_all_members_use_the_limit_up(void **state)
{
    struct home home;
    (void)state;
    /* Three contacts allowed, two were made: one more, for the best. */
    static const struct person people[] = {{7, 1, 5, 5}, {7, 0, 6, 6}, {7, 1, 4, 4}};
    open_home(&home, 3);
    add_people(&home, people, 3);
    apply(&home);
    assert_true(is_limited(&home, 0));
    assert_false(is_limited(&home, 1));
    assert_true(is_limited(&home, 2));
    close_home(&home);
}

static void a_used_up_limit_leaves_nobody(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 3, 5, 5}, {7, 1, 6, 6}};
    open_home(&home, 3);
    add_people(&home, people, 2);
    apply(&home);
    assert_true(is_limited(&home, 0));
    assert_true(is_limited(&home, 1));
    close_home(&home);
}

static void ties_go_to_the_smaller_key(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 0, 5, 5}, {7, 0, 5, 5}, {7, 0, 5, 5}};
    open_home(&home, 1);
    add_people(&home, people, 3);
    apply(&home);
    assert_false(is_limited(&home, 0));
    assert_true(is_limited(&home, 1));
    assert_true(is_limited(&home, 2));
    close_home(&home);
}

static void who_is_worth_no_contact_takes_nobodys_place(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 0, -1, -2}, {7, 0, 2, 1}};
    open_home(&home, 1);
    add_people(&home, people, 2);
    apply(&home);
    assert_true(is_limited(&home, 0));
    assert_false(is_limited(&home, 1));
    close_home(&home);
}

static void who_has_no_household_is_not_limited(void **state)
{
    struct home home;
    struct person people[] = {{NAN, 9, 5, 5}, {NAN, 9, 5, 5}};
    (void)state;
    open_home(&home, 1);
    add_people(&home, people, 2);
    assert_int_equal(home.members.count, 0);
    apply(&home);
    assert_false(is_limited(&home, 0));
    assert_false(is_limited(&home, 1));
    close_home(&home);
}

static void contacts_of_members_that_are_not_looked_at_count(void **state)
{
    struct home home;
    void *slot = NULL;
    (void)state;
    static const struct person people[] = {{7, 0, 5, 5}};
    open_home(&home, 2);
    add_people(&home, people, 1);
    assert_int_equal(cvm_column_extend(&home.members, 1, &slot, NULL), CVM_OK);
    *(struct cvm_household_member *)slot = (struct cvm_household_member){
        .household = 7, .key = 5, .shard = CVM_HOUSEHOLD_ABSENT, .contacts = {2}};
    apply(&home);
    assert_true(is_limited(&home, 0));
    close_home(&home);
}

/* ---- chosen by the solver ---- */

#define NOBODY CVM_NO_GROUP

static struct cvm_household_problem problem_of(struct home *home, const uint64_t *withheld)
{
    static const size_t first[] = {0};
    return (struct cvm_household_problem){
        .catalogue = &home->catalogue,
        .forced_treatment = CVM_INDEX_NONE,
        .shards = &home->shard,
        .first = first,
        .withheld = withheld,
    };
}

static uint32_t number(struct home *home, const uint64_t *withheld)
{
    const struct cvm_household_problem problem = problem_of(home, withheld);
    return cvm_household_number(&home->members, &problem);
}

static uint32_t household_of(const struct home *home, size_t person)
{
    struct cvm_values_view view = cvm_values_view_of(&home->shard);
    return cvm_values_household(&view, person);
}

static void a_household_with_more_candidates_than_its_limit_is_left_to_the_solver(void **state)
{
    struct home home;
    (void)state;
    /* Household 7 has three candidates for what is left, 8 one, 9 none that is worth a contact. */
    static const struct person people[] = {{7, 1, 5, 2},   {8, 0, 1, 1}, {7, 0, 3, 9},
                                           {9, 0, -5, -4}, {7, 0, 6, 1}, {9, 0, -1, -1}};
    open_home(&home, 2);
    home.shard.has_households = true;
    add_people(&home, people, 6);
    assert_int_equal(number(&home, NULL), 1);
    static const uint32_t numbers[] = {0, NOBODY, 0, NOBODY, 0, NOBODY};
    struct cvm_values_view view = cvm_values_view_of(&home.shard);
    for (size_t i = 0; i < 6; i++) {
        assert_true(household_of(&home, i) == numbers[i]);
        assert_int_equal(cvm_values_allowance(&view, i), numbers[i] == 0 ? 1 : 0);
        assert_false(is_limited(&home, i));
    }
    close_home(&home);
}

static void a_used_up_household_is_refused_before_the_solve(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 2, 5, 2}, {7, 0, 3, 9}};
    open_home(&home, 2);
    home.shard.has_households = true;
    add_people(&home, people, 2);
    assert_int_equal(number(&home, NULL), 0);
    assert_true(is_limited(&home, 0) && is_limited(&home, 1));
    close_home(&home);
}

static void a_ghost_takes_the_place_that_it_would_have_had(void **state)
{
    struct home home;
    (void)state;
    static const struct person people[] = {{7, 0, 5, 2}, {7, 0, 3, 9}, {8, 0, 5, 2}, {8, 0, 3, 9}};
    /* The best of household 7 is kept from both contacts, one of household 8 from points only. */
    static const uint64_t withheld[] = {0, 1U << OFFER_SMS | 1U << OFFER_CALL, 0, 1U << POINTS};
    open_home(&home, 1);
    home.shard.has_households = true;
    add_people(&home, people, 4);
    assert_int_equal(number(&home, withheld), 1);
    assert_true(is_limited(&home, 0));
    assert_false(is_limited(&home, 1));
    assert_true(household_of(&home, 2) == 0 && household_of(&home, 3) == 0);
    close_home(&home);
}

static void who_got_nothing_for_another_members_sake_is_told_so_and_keeps_the_value(void **state)
{
    struct home home;
    double prices[CVM_CONSTRAINTS_MAX] = {0};
    (void)state;
    static const struct person people[] = {{7, 0, 5, -2}, {7, 0, 3, 9}, {7, 0, 4, 1}, {8, 0, 5, 2}};
    static const unsigned char plan[] = {CVM_NOTHING, OFFER_CALL, POINTS, OFFER_SMS};
    open_home(&home, 1);
    home.shard.has_households = true;
    add_people(&home, people, 4);
    assert_int_equal(number(&home, NULL), 1);
    const struct cvm_household_problem problem = problem_of(&home, NULL);
    cvm_household_tell(&home.members, &problem, plan, prices);
    struct cvm_values_view view = cvm_values_view_of(&home.shard);
    /* The second was chosen. A call of the first is worth less than nothing, of the third no more
     * than the points it got. */
    static const enum cvm_reason sms[] = {CVM_REASON_HOUSEHOLD, CVM_REASON_PERMITTED,
                                          CVM_REASON_HOUSEHOLD, CVM_REASON_PERMITTED};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(cvm_values_reason(&view, i, OFFER_SMS), sms[i]);
        assert_int_equal(cvm_values_reason(&view, i, OFFER_CALL), CVM_REASON_PERMITTED);
        assert_int_equal(cvm_values_reason(&view, i, POINTS), CVM_REASON_PERMITTED);
        assert_true(cvm_values_value(&view, i, OFFER_SMS) == people[i].sms);
    }
    close_home(&home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_of_a_household_keep_their_contacts),
        cmocka_unit_test(only_contacts_of_the_limits_purpose_are_refused),
        cmocka_unit_test(contacts_of_all_members_use_the_limit_up),
        cmocka_unit_test(a_used_up_limit_leaves_nobody),
        cmocka_unit_test(ties_go_to_the_smaller_key),
        cmocka_unit_test(who_is_worth_no_contact_takes_nobodys_place),
        cmocka_unit_test(who_has_no_household_is_not_limited),
        cmocka_unit_test(contacts_of_members_that_are_not_looked_at_count),
        cmocka_unit_test(a_household_with_more_candidates_than_its_limit_is_left_to_the_solver),
        cmocka_unit_test(a_used_up_household_is_refused_before_the_solve),
        cmocka_unit_test(a_ghost_takes_the_place_that_it_would_have_had),
        cmocka_unit_test(who_got_nothing_for_another_members_sake_is_told_so_and_keeps_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
