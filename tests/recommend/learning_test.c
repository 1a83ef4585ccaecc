/* Conjugate updates: by hand where numbers are few, and against simulation where they are many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "recommend/learning.h"

static const struct cvm_response prior = {
    .reach = .35,
    .reach_sd = .05,
    .accept = .3,
    .accept_sd = .06,
    .churn_cut = .25,
    .churn_cut_sd = .125,
    .incentive_margins = 1,
    .source = "prior",
};

static struct cvm_response learn(const struct cvm_learning *learning)
{
    struct cvm_response response;
    cvm_response_learn(&prior, learning, &response);
    return response;
}

static void nothing_learned_is_the_prior(void **state)
{
    (void)state;
    struct cvm_learning nothing = {0};
    struct cvm_response response = learn(&nothing);
    assert_memory_equal(&response, &prior, sizeof(prior));
}

static void a_share_is_the_prior_and_the_counts_weighed_by_hand(void **state)
{
    (void)state;
    /* .35 * .65 / .05^2 - 1 = 90 pseudo counts, 31.5 of them reached; .3 * .7 / .06^2 - 1 = 57.33
     * with 17.2 accepted. */
    struct cvm_learning learning = {.contacts = 110, .reached = 60, .answers = 40, .accepted = 4};
    struct cvm_response response = learn(&learning);
    assert_true(fabs(response.reach - (31.5 + 60.0) / 200.0) < 1e-12);
    assert_true(fabs(response.reach_sd - sqrt(.4575 * .5425 / 201.0)) < 1e-12);
    assert_true(fabs(response.accept - (17.2 + 4.0) / (172.0 / 3.0 + 40.0)) < 1e-12);
    assert_true(response.churn_cut == .25 && response.churn_cut_sd == .125);
    assert_string_equal(response.source, "learned");
    assert_int_equal(response.outcomes, 110);
    assert_true(response.incentive_margins == 1);
}

static void what_is_known_for_certain_does_not_move(void **state)
{
    (void)state;
    struct cvm_response certain = {.reach = 1, .accept = 0, .churn_cut = .1};
    struct cvm_response response;
    struct cvm_learning learning = {.contacts = 100,
                                    .reached = 50,
                                    .answers = 50,
                                    .accepted = 5,
                                    .treated = 50,
                                    .treated_churned = 1,
                                    .treated_expected = 9};
    cvm_response_learn(&certain, &learning, &response);
    assert_true(response.reach == 1 && response.accept == 0 && response.churn_cut == .1);
}

static void few_outcomes_move_little(void **state)
{
    (void)state;
    /* One reached customer who stayed, or churned: expected .2 churns. */
    struct cvm_learning stayed = {
        .contacts = 1, .reached = 1, .treated = 1, .treated_expected = .2};
    struct cvm_learning churned = stayed;
    churned.treated_churned = 1;
    assert_true(fabs(learn(&stayed).churn_cut - .25) < .01);
    assert_true(fabs(learn(&churned).churn_cut - .25) < .03);
    assert_true(learn(&stayed).churn_cut > learn(&churned).churn_cut);
}

static void a_wrong_score_alone_never_makes_a_strong_treatment(void **state)
{
    (void)state;
    /* 10,000 expected churns and half of them seen: without ghosts the score may be wrong as well,
     * so the prior keeps a part; with ghosts that show the same half, the cut is nothing. */
    struct cvm_learning learning = {.contacts = 50000,
                                    .reached = 50000,
                                    .treated = 50000,
                                    .treated_churned = 5000,
                                    .treated_expected = 10000};
    struct cvm_response alone = learn(&learning);
    assert_string_equal(alone.source, "learned");
    assert_true(alone.churn_cut > .35 && alone.churn_cut < .5);
    assert_true(alone.churn_cut_sd > .05);
    learning.controls = 50000;
    learning.controls_churned = 5000;
    learning.controls_expected = 10000;
    struct cvm_response calibrated = learn(&learning);
    assert_string_equal(calibrated.source, "calibrated");
    assert_int_equal(calibrated.outcomes, 100000);
    assert_true(fabs(calibrated.churn_cut) < .03);
    assert_true(calibrated.churn_cut_sd < .03);
}

static void calibration_takes_fifty_expected_churns_of_ghosts(void **state)
{
    (void)state;
    struct cvm_learning learning = {.contacts = 900,
                                    .reached = 900,
                                    .treated = 900,
                                    .treated_churned = 80,
                                    .treated_expected = 100,
                                    .controls = 500,
                                    .controls_churned = 49,
                                    .controls_expected = 49.9};
    assert_string_equal(learn(&learning).source, "learned");
    learning.controls_expected = 50.0;
    assert_string_equal(learn(&learning).source, "calibrated");
}

/* ---- simulation ---- */

static int64_t binomial(struct cvm_random *random, int64_t trials, double p)
{
    int64_t count = 0;
    for (int64_t i = 0; i < trials; i++) {
        count += cvm_random_unit(random) < p;
    }
    return count;
}

/* What n contacts and m ghosts show where the truth is drawn from the prior, and the score is wrong
 * by `factor`. */
static struct cvm_learning simulate(struct cvm_random *random, const struct cvm_response *truth,
                                    int64_t contacts, int64_t ghosts, double factor)
{
    const double p = .12;
    struct cvm_learning learning = {.contacts = contacts, .controls = ghosts};
    learning.reached = binomial(random, contacts, truth->reach);
    learning.answers = learning.reached;
    learning.accepted = binomial(random, learning.reached, truth->accept);
    learning.treated = learning.reached;
    learning.treated_expected = p * (double)learning.treated;
    learning.treated_churned =
        binomial(random, learning.treated, p * factor * (1.0 - truth->churn_cut));
    learning.controls_expected = p * (double)ghosts;
    learning.controls_churned = binomial(random, ghosts, p * factor);
    return learning;
}

static struct cvm_response draw_truth(struct cvm_random *random)
{
    struct cvm_response truth = prior;
    truth.reach = fmin(fmax(.35 + .05 * cvm_random_normal(random), .05), .95);
    truth.accept = fmin(fmax(.3 + .06 * cvm_random_normal(random), .02), .95);
    truth.churn_cut = .25 + .125 * cvm_random_normal(random);
    return truth;
}

static bool covers(double mean, double sd, double truth)
{
    return fabs(mean - truth) <= 1.96 * sd;
}

static void intervals_hold_the_truth_in_95_of_100_worlds(void **state)
{
    (void)state;
    enum { WORLDS = 600 };
    static const int64_t sizes[][2] = {{50, 0}, {500, 0}, {500, 200}, {5000, 500}, {5000, 5000}};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        int covered[3] = {0};
        struct cvm_random random;
        cvm_random_init(&random, 17 + s);
        for (int world = 0; world < WORLDS; world++) {
            struct cvm_response truth = draw_truth(&random);
            double factor = 1.0 + .15 * cvm_random_normal(&random);
            struct cvm_learning learning =
                simulate(&random, &truth, sizes[s][0], sizes[s][1], fmax(factor, .5));
            struct cvm_response now = learn(&learning);
            covered[0] += covers(now.reach, now.reach_sd, truth.reach);
            covered[1] += covers(now.accept, now.accept_sd, truth.accept);
            covered[2] += covers(now.churn_cut, now.churn_cut_sd, truth.churn_cut);
        }
        for (int k = 0; k < 3; k++) {
            double share = (double)covered[k] / WORLDS;
            if (share < .92 || share > .985) { /* 95 % with 3.4 standard errors of .9 % */
                fail_msg("contacts %lld, ghosts %lld, parameter %d: covered %.3f",
                         (long long)sizes[s][0], (long long)sizes[s][1], k, share);
            }
        }
    }
}

static void many_outcomes_find_the_truth_however_wrong_prior_and_score(void **state)
{
    (void)state;
    struct cvm_response truth = {.reach = .55, .accept = .1, .churn_cut = -.2};
    struct cvm_random random;
    cvm_random_init(&random, 5);
    struct cvm_learning learning = simulate(&random, &truth, 400000, 200000, .6);
    struct cvm_response now = learn(&learning);
    assert_true(fabs(now.reach - .55) < .005);
    assert_true(fabs(now.accept - .1) < .005);
    assert_true(fabs(now.churn_cut + .2) < .03);
    assert_string_equal(now.source, "calibrated");
}

/* On average over worlds that the prior describes, deciding by what was learned is at least as good
 * as deciding by the prior alone: its squared error is smaller, however few the outcomes are. */
static void learning_is_never_worse_than_the_prior_on_average(void **state)
{
    (void)state;
    enum { WORLDS = 4000 };
    static const int64_t sizes[] = {1, 5, 20, 100, 1000};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        double before = 0;
        double after = 0;
        struct cvm_random random;
        cvm_random_init(&random, 91 + s);
        for (int world = 0; world < WORLDS; world++) {
            struct cvm_response truth = draw_truth(&random);
            struct cvm_learning learning =
                simulate(&random, &truth, sizes[s], sizes[s] / 4,
                         fmax(1.0 + .15 * cvm_random_normal(&random), .5));
            struct cvm_response now = learn(&learning);
            before += pow(prior.churn_cut - truth.churn_cut, 2);
            after += pow(now.churn_cut - truth.churn_cut, 2);
        }
        if (after > before * 1.001) {
            fail_msg("%lld contacts: error %.5f before, %.5f after", (long long)sizes[s],
                     sqrt(before / WORLDS), sqrt(after / WORLDS));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_learned_is_the_prior),
        cmocka_unit_test(a_share_is_the_prior_and_the_counts_weighed_by_hand),
        cmocka_unit_test(what_is_known_for_certain_does_not_move),
        cmocka_unit_test(few_outcomes_move_little),
        cmocka_unit_test(a_wrong_score_alone_never_makes_a_strong_treatment),
        cmocka_unit_test(calibration_takes_fifty_expected_churns_of_ghosts),
        cmocka_unit_test(intervals_hold_the_truth_in_95_of_100_worlds),
        cmocka_unit_test(many_outcomes_find_the_truth_however_wrong_prior_and_score),
        cmocka_unit_test(learning_is_never_worse_than_the_prior_on_average),
    };
    return cmocka_run_group_tests_name("learning", tests, NULL, NULL);
}
