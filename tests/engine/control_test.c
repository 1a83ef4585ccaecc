/* Who is withheld what: hashes, purposes, probabilities and strata, on a catalogue by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/control.h"

enum { OFFER_SMS, OFFER_CALL, UPGRADE, REPAIR, TREATMENTS };

static const char *const moods[] = {"bad", "fine", NULL};

struct world {
    struct cvm_arena *arena;
    struct cvm_treatment treatments[TREATMENTS];
    struct cvm_segment segments[2];
    struct cvm_feature features[2];
    struct cvm_catalogue catalogue;
};

static int set_up(void **state)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    world.arena = cvm_arena_create((size_t)1 << 20);
    world.treatments[OFFER_SMS] = (struct cvm_treatment){.id = "offer_sms", .action = "offer"};
    world.treatments[OFFER_CALL] = (struct cvm_treatment){.id = "offer_call", .action = "offer"};
    world.treatments[UPGRADE] = (struct cvm_treatment){.id = "upgrade", .action = "upgrade"};
    world.treatments[REPAIR] =
        (struct cvm_treatment){.id = "repair", .action = "repair", .purpose = CVM_PURPOSE_SERVICE};
    world.segments[0].name = "prepaid";
    world.segments[1].name = "contract";
    world.features[0] = (struct cvm_feature){.name = "mood", .words = moods};
    world.features[1] = (struct cvm_feature){.name = "is_new", .type = CVM_RULE_BOOL};
    world.catalogue = (struct cvm_catalogue){
        .treatments = world.treatments,
        .treatment_count = TREATMENTS,
        .segments = world.segments,
        .segment_count = 2,
        .features = world.features,
        .feature_count = 2,
        .control = {.universal_share = 0.02,
                    .least_customers = 1000,
                    .strata = {0, 1},
                    .strata_count = 2,
                    .holdout = {[OFFER_SMS] = 0.05, [OFFER_CALL] = 0.05, [UPGRADE] = 0.1}},
    };
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    cvm_arena_destroy(world->arena);
    return 0;
}

static struct cvm_control_groups groups_of(const struct world *world,
                                           struct cvm_control_options options)
{
    struct cvm_control_groups groups;
    assert_int_equal(
        cvm_control_groups_init(&groups, &world->catalogue, &options, world->arena, NULL), CVM_OK);
    return groups;
}

static const struct cvm_control_options ordinary = {.customers = 5000, .is_enrolled = true};

static void a_holdout_takes_its_share_of_customers(void **state)
{
    const struct world *world = *state;
    struct cvm_control_groups groups = groups_of(world, ordinary);
    int offers = 0;
    int upgrades = 0;
    int both = 0;
    for (uint64_t key = 1; key <= 100000; key++) {
        uint64_t withheld = cvm_control_withheld(&groups, false, key);
        offers += (withheld >> OFFER_SMS & 1) != 0;
        upgrades += (withheld >> UPGRADE & 1) != 0;
        both += (withheld >> OFFER_SMS & 1) != 0 && (withheld >> UPGRADE & 1) != 0;
        assert_true((withheld >> REPAIR & 1) == 0);
    }
    /* 5,000, 10,000 and 500 expected; four standard deviations are 280, 380 and 90 */
    assert_in_range(offers, 4720, 5280);
    assert_in_range(upgrades, 9620, 10380);
    assert_in_range(both, 410, 590);
}

static void all_treatments_of_an_action_hold_out_the_same_customers(void **state)
{
    const struct world *world = *state;
    struct cvm_control_groups groups = groups_of(world, ordinary);
    for (uint64_t key = 1; key <= 10000; key++) {
        uint64_t withheld = cvm_control_withheld(&groups, false, key);
        assert_int_equal(withheld >> OFFER_SMS & 1, withheld >> OFFER_CALL & 1);
    }
}

static void the_universal_group_gets_no_marketing_and_all_else(void **state)
{
    const struct world *world = *state;
    struct cvm_control_groups groups = groups_of(world, ordinary);
    uint64_t marketing = 1 << OFFER_SMS | 1 << OFFER_CALL | 1 << UPGRADE;
    for (uint64_t key = 1; key <= 1000; key++) {
        assert_int_equal(cvm_control_withheld(&groups, true, key), marketing);
    }
    assert_string_equal(cvm_control_arm(&groups, true, UPGRADE), "universal_control");
    assert_string_equal(cvm_control_arm(&groups, false, UPGRADE), "holdout:upgrade");
    assert_string_equal(cvm_control_arm(&groups, false, OFFER_CALL), "holdout:offer");
}

static bool near(double a, double b)
{
    return a - b < 1e-12 && b - a < 1e-12;
}

static void probabilities_are_of_the_arm(void **state)
{
    const struct world *world = *state;
    struct cvm_control_groups groups = groups_of(world, ordinary);
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, false, false), 0.98 * 0.95));
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, true, false), 0.98 * 0.05));
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, true, true), 0.02));
    assert_true(near(cvm_control_probability(&groups, REPAIR, false, false), 1));
}

static void a_forced_treatment_ignores_holdouts_but_not_the_universal_group(void **state)
{
    const struct world *world = *state;
    struct cvm_control_options options = ordinary;
    options.is_forced = true;
    struct cvm_control_groups groups = groups_of(world, options);
    for (uint64_t key = 1; key <= 1000; key++) {
        assert_int_equal(cvm_control_withheld(&groups, false, key), 0);
        assert_true(cvm_control_withheld(&groups, true, key) != 0);
    }
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, false, false), 0.98));
}

static void a_small_base_has_no_control_groups(void **state)
{
    const struct world *world = *state;
    struct cvm_control_options options = ordinary;
    options.customers = 999;
    struct cvm_control_groups groups = groups_of(world, options);
    assert_false(cvm_control_is_on(&groups));
    for (uint64_t key = 1; key <= 1000; key++) {
        assert_int_equal(cvm_control_withheld(&groups, false, key), 0);
    }
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, false, false), 1));
}

static void nobody_is_in_the_universal_group_before_anybody_was_enrolled(void **state)
{
    const struct world *world = *state;
    struct cvm_control_options options = ordinary;
    options.is_enrolled = false;
    struct cvm_control_groups groups = groups_of(world, options);
    assert_true(near(cvm_control_probability(&groups, OFFER_SMS, false, false), 0.95));
}

static void a_stratum_is_a_segment_and_a_value_of_each_feature(void **state)
{
    const struct world *world = *state;
    struct cvm_chunk *chunk = NULL;
    static const unsigned char segments[] = {0, 1, 1};
    static const double mood[] = {0, 1, (double)NAN};
    static const double is_new[] = {1, (double)NAN, 0};
    static const char *const names[] = {"prepaid mood=bad is_new=yes",
                                        "contract mood=fine is_new=missing",
                                        "contract mood=missing is_new=no"};
    uint16_t strata[3];
    assert_int_equal(cvm_control_stratum_count(&world->catalogue), 2 * 3 * 3);
    assert_int_equal(cvm_chunk_create(4, 2, &chunk, NULL), CVM_OK);
    chunk->count = 3;
    for (size_t i = 0; i < 3; i++) {
        chunk->features[i] = mood[i];
        chunk->features[chunk->capacity + i] = is_new[i];
    }
    cvm_control_strata_of(&world->catalogue, chunk, segments, strata);
    for (size_t i = 0; i < 3; i++) {
        struct cvm_text name;
        cvm_text_init(&name, 0);
        assert_true(strata[i] < 18);
        cvm_control_stratum_name(&world->catalogue, strata[i], &name);
        assert_string_equal(cvm_text_string(&name), names[i]);
        cvm_text_finish(&name);
    }
    cvm_chunk_destroy(chunk);
}

#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_holdout_takes_its_share_of_customers),
        WITH_WORLD(all_treatments_of_an_action_hold_out_the_same_customers),
        WITH_WORLD(the_universal_group_gets_no_marketing_and_all_else),
        WITH_WORLD(probabilities_are_of_the_arm),
        WITH_WORLD(a_forced_treatment_ignores_holdouts_but_not_the_universal_group),
        WITH_WORLD(a_small_base_has_no_control_groups),
        WITH_WORLD(nobody_is_in_the_universal_group_before_anybody_was_enrolled),
        WITH_WORLD(a_stratum_is_a_segment_and_a_value_of_each_feature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
