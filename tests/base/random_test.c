#include "base/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static void the_first_numbers_are_those_of_xoshiro256pp(void **state)
{
    (void)state;
    struct cvm_random random;
    cvm_random_init(&random, 42);
    assert_true(cvm_random_u64(&random) == 0xD0764D4F4476689FU);
    assert_true(cvm_random_u64(&random) == 0x519E4174576F3791U);
    assert_true(cvm_random_u64(&random) == 0xFBE07CFB0C24ED8CU);
    assert_true(cvm_random_u64(&random) == 0xB37D9F600CD835B8U);
}

/* Exact values: a machine that differs in the last bit must fail here. */
static void every_distribution_is_the_same_everywhere(void **state)
{
    (void)state;
    struct cvm_random random;
    cvm_random_init(&random, 7);
    assert_int_equal(cvm_random_below(&random, 1000), 55);
    assert_true(cvm_random_unit(&random) == 0x1.607e46efd274cp-3);
    assert_true(cvm_random_normal(&random) == 0x1.ac8da7097b412p+0);
    assert_true(cvm_random_normal(&random) == 0x1.13676381fc58bp-1);
    assert_true(cvm_random_lognormal(&random, 50.0, 0.5) == 0x1.6ddf0a316551ap+6);
    assert_int_equal(cvm_random_poisson(&random, 3.5), 2);
    assert_int_equal(cvm_random_poisson(&random, 500.0), 489);
    assert_int_equal(cvm_random_poisson(&random, 1e6), 999272);

    uint64_t digest = 0;
    for (int i = 0; i < 100000; i++) {
        double x = cvm_random_lognormal(&random, 1.0, 2.0);
        digest = cvm_hash_seeded(&x, sizeof(x), digest);
    }
    assert_true(digest == 0xA66DA81F7EB47308U);
}

static void below_reaches_every_value_about_equally(void **state)
{
    (void)state;
    struct cvm_random random;
    int counts[7] = {0};
    cvm_random_init(&random, 1);
    for (int i = 0; i < 70000; i++) {
        counts[cvm_random_below(&random, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
    assert_int_equal(cvm_random_below(&random, 1), 0);
    for (int i = 0; i < 1000; i++) {
        assert_true(cvm_random_below(&random, UINT64_MAX) < UINT64_MAX);
    }
}

static void moments_are_those_of_the_distributions(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct cvm_random random;
    double unit = 0, normal = 0, square = 0, log_sum = 0, small = 0, large = 0;
    cvm_random_init(&random, 2);
    for (int i = 0; i < COUNT; i++) {
        double u = cvm_random_unit(&random);
        assert_true(u >= 0.0 && u < 1.0);
        double x = cvm_random_normal(&random);
        unit += u;
        normal += x;
        square += x * x;
        log_sum += log(cvm_random_lognormal(&random, 20.0, 0.8));
        small += (double)cvm_random_poisson(&random, 0.3);
        large += (double)cvm_random_poisson(&random, 40.0);
    }
    assert_true(fabs(unit / COUNT - 0.5) < 0.005);
    assert_true(fabs(normal / COUNT) < 0.01);
    assert_true(fabs(square / COUNT - 1.0) < 0.02);
    assert_true(fabs(log_sum / COUNT - log(20.0)) < 0.01);
    assert_true(fabs(small / COUNT - 0.3) < 0.01);
    assert_true(fabs(large / COUNT - 40.0) < 0.1);
}

static void a_mean_of_nothing_gives_nothing(void **state)
{
    (void)state;
    struct cvm_random random;
    cvm_random_init(&random, 3);
    assert_int_equal(cvm_random_poisson(&random, 0.0), 0);
    assert_int_equal(cvm_random_poisson(&random, -1.0), 0);
    assert_int_equal(cvm_random_poisson(&random, NAN), 0);
    assert_true(cvm_random_poisson(&random, 1e300) == INT64_MAX);
}

static void objects_have_generators_of_their_own(void **state)
{
    (void)state;
    struct cvm_random a;
    struct cvm_random b;
    cvm_random_init(&a, cvm_hash_mix(1, 10));
    cvm_random_init(&b, cvm_hash_mix(1, 11));
    assert_true(cvm_random_u64(&a) != cvm_random_u64(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_numbers_are_those_of_xoshiro256pp),
        cmocka_unit_test(every_distribution_is_the_same_everywhere),
        cmocka_unit_test(below_reaches_every_value_about_equally),
        cmocka_unit_test(moments_are_those_of_the_distributions),
        cmocka_unit_test(a_mean_of_nothing_gives_nothing),
        cmocka_unit_test(objects_have_generators_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
