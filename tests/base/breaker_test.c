/* The circuit breaker: each event in each state, and its story from closed to closed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/breaker.h"

#define T0 INT64_C(1000000)

enum event {
    ASK,
    ASK_LATER, /* when an opening has passed */
    GOOD,
    SLOW,
    FAILED,
    IGNORED,
    FORCE_OPEN,
    FORCE_CLOSED,
    LET_GO,
    EVENTS,
};

static void open_it(struct cvm_breaker *b, int64_t now_ms)
{
    int64_t again_ms = 0;
    for (int i = 0; i < 20; i++) {
        assert_true(cvm_breaker_ask(b, now_ms, &again_ms));
        cvm_breaker_done(b, now_ms, CVM_CALL_FAILED);
    }
    assert_int_equal(b->state, CVM_BREAKER_OPEN);
}

static void half_open_it(struct cvm_breaker *b, int64_t now_ms)
{
    int64_t again_ms = 0;
    open_it(b, now_ms);
    assert_true(cvm_breaker_ask(b, b->until_ms, &again_ms));
    assert_int_equal(b->state, CVM_BREAKER_HALF_OPEN);
}

static struct cvm_breaker in_state(enum cvm_breaker_state state)
{
    struct cvm_breaker b;
    cvm_breaker_init(&b, &(struct cvm_breaker_options){0}, 7);
    switch (state) {
    case CVM_BREAKER_OPEN:
        open_it(&b, T0);
        break;
    case CVM_BREAKER_HALF_OPEN:
        half_open_it(&b, T0);
        break;
    case CVM_BREAKER_FORCED_OPEN:
    case CVM_BREAKER_FORCED_CLOSED:
        cvm_breaker_force(&b, state);
        break;
    case CVM_BREAKER_CLOSED:
    default:
        break;
    }
    assert_int_equal(b.state, state);
    return b;
}

/* -1: asking, and refused. */
static int act(struct cvm_breaker *b, enum event event)
{
    int64_t again_ms = -1;
    switch (event) {
    case ASK:
    case ASK_LATER: {
        int64_t now_ms = T0 + (event == ASK_LATER ? 10000000 : 0);
        bool is_let = cvm_breaker_ask(b, now_ms, &again_ms);
        assert_true(is_let || again_ms > now_ms); /* who is refused learns when to come */
        return is_let ? 1 : -1;
    }
    case GOOD:
        cvm_breaker_done(b, T0, CVM_CALL_GOOD);
        return 0;
    case SLOW:
        cvm_breaker_done(b, T0, CVM_CALL_SLOW);
        return 0;
    case FAILED:
        cvm_breaker_done(b, T0, CVM_CALL_FAILED);
        return 0;
    case IGNORED:
        cvm_breaker_done(b, T0, CVM_CALL_IGNORED);
        return 0;
    case FORCE_OPEN:
        cvm_breaker_force(b, CVM_BREAKER_FORCED_OPEN);
        return 0;
    case FORCE_CLOSED:
        cvm_breaker_force(b, CVM_BREAKER_FORCED_CLOSED);
        return 0;
    case LET_GO:
    default:
        cvm_breaker_force(b, CVM_BREAKER_CLOSED);
        return 0;
    }
}

#define C  CVM_BREAKER_CLOSED
#define O  CVM_BREAKER_OPEN
#define H  CVM_BREAKER_HALF_OPEN
#define FO CVM_BREAKER_FORCED_OPEN
#define FC CVM_BREAKER_FORCED_CLOSED

static void every_event_in_every_state_leads_where_the_table_says(void **state)
{
    (void)state;
    static const struct {
        enum cvm_breaker_state to[EVENTS];
        int let[2]; /* ASK, ASK_LATER */
    } table[CVM_BREAKER_STATES] = {
        /* ASK, ASK_LATER, GOOD, SLOW, FAILED, IGNORED, FORCE_OPEN, FORCE_CLOSED, LET_GO */
        [C] = {{C, C, C, C, C, C, FO, FC, C}, {1, 1}},
        [O] = {{O, H, O, O, O, O, FO, FC, C}, {-1, 1}},
        [H] = {{H, H, H, H, O, H, FO, FC, C}, {1, 1}},
        [FO] = {{FO, FO, FO, FO, FO, FO, FO, FC, C}, {-1, -1}},
        [FC] = {{FC, FC, FC, FC, FC, FC, FO, FC, C}, {1, 1}},
    };
    for (int from = 0; from < CVM_BREAKER_STATES; from++) {
        for (int event = 0; event < EVENTS; event++) {
            struct cvm_breaker b = in_state((enum cvm_breaker_state)from);
            int let = act(&b, (enum event)event);
            if (b.state != table[from].to[event] || (event < 2 && let != table[from].let[event])) {
                fail_msg("event %d in state %s: now %s, let %d", event,
                         cvm_breaker_state_name((enum cvm_breaker_state)from),
                         cvm_breaker_state_name(b.state), let);
            }
        }
    }
}

static void it_opens_when_enough_of_enough_calls_failed(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(C);
    for (int i = 0; i < 19; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_FAILED);
    }
    assert_int_equal(b.state, C); /* too few to tell */
    b = in_state(C);
    for (int i = 0; i < 11; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_GOOD);
    }
    for (int i = 0; i < 10; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_FAILED);
        assert_int_equal(b.state, C);
    }
    cvm_breaker_done(&b, T0, CVM_CALL_FAILED);
    assert_int_equal(b.state, O);
}

static void it_opens_when_almost_all_calls_are_slow(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(C);
    for (int i = 0; i < 5; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_GOOD);
    }
    for (int i = 0; i < 19; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_SLOW);
        assert_int_equal(b.state, C);
    }
    cvm_breaker_done(&b, T0, CVM_CALL_SLOW); /* 20 of 25 */
    assert_int_equal(b.state, O);
}

static void what_left_the_window_is_forgotten(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(C);
    for (int i = 0; i < 19; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_FAILED);
    }
    for (int i = 0; i < 19; i++) {
        cvm_breaker_done(&b, T0 + 10000, CVM_CALL_FAILED);
    }
    assert_int_equal(b.state, C);
    cvm_breaker_done(&b, T0 + 10000, CVM_CALL_FAILED);
    assert_int_equal(b.state, O);
}

static void it_stays_open_twice_as_long_each_time_up_to_a_minute(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(O);
    int64_t now_ms = T0;
    int64_t again_ms = 0;
    int64_t expected_ms = 1000;
    for (int i = 0; i < 10; i++) {
        int64_t open_ms = b.until_ms - now_ms;
        assert_in_range(open_ms, expected_ms * 8 / 10, expected_ms * 12 / 10 + 1);
        assert_false(cvm_breaker_ask(&b, b.until_ms - 1, &again_ms));
        assert_int_equal(again_ms, b.until_ms);
        now_ms = b.until_ms;
        assert_true(cvm_breaker_ask(&b, now_ms, &again_ms));
        cvm_breaker_done(&b, now_ms, CVM_CALL_FAILED);
        assert_int_equal(b.state, O);
        expected_ms = expected_ms * 2 < 60000 ? expected_ms * 2 : 60000;
    }
}

static void some_successes_in_a_row_of_a_few_probes_at_once_close_it(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(H); /* one probe is on its way */
    int64_t again_ms = 0;
    assert_true(cvm_breaker_ask(&b, T0, &again_ms));
    assert_true(cvm_breaker_ask(&b, T0, &again_ms));
    assert_false(cvm_breaker_ask(&b, T0, &again_ms));
    for (int i = 0; i < 4; i++) {
        cvm_breaker_done(&b, T0, CVM_CALL_GOOD);
        assert_true(cvm_breaker_ask(&b, T0, &again_ms));
    }
    assert_int_equal(b.state, H);
    cvm_breaker_done(&b, T0, CVM_CALL_SLOW); /* begins to count anew */
    for (int i = 0; i < 5; i++) {
        assert_int_equal(b.state, H);
        assert_true(cvm_breaker_ask(&b, T0, &again_ms));
        cvm_breaker_done(&b, T0, CVM_CALL_IGNORED); /* neither */
        assert_true(cvm_breaker_ask(&b, T0, &again_ms));
        cvm_breaker_done(&b, T0, CVM_CALL_GOOD);
    }
    assert_int_equal(b.state, C);
    assert_int_equal(b.opened, 0);
}

static void probes_that_never_answer_do_not_keep_it_half_open(void **state)
{
    (void)state;
    struct cvm_breaker b = in_state(H);
    int64_t again_ms = 0;
    int64_t since_ms = b.until_ms - 60000;
    assert_true(cvm_breaker_ask(&b, since_ms, &again_ms));
    assert_true(cvm_breaker_ask(&b, since_ms, &again_ms));
    assert_false(cvm_breaker_ask(&b, since_ms + 59999, &again_ms));
    assert_true(cvm_breaker_ask(&b, since_ms + 60000, &again_ms));
    assert_int_equal(b.in_flight, 1);
}

static void no_more_calls_at_once_than_are_allowed(void **state)
{
    (void)state;
    struct cvm_breaker b;
    int64_t again_ms = 0;
    cvm_breaker_init(&b, &(struct cvm_breaker_options){.calls_max = 2}, 1);
    assert_true(cvm_breaker_ask(&b, T0, &again_ms));
    assert_true(cvm_breaker_ask(&b, T0, &again_ms));
    assert_false(cvm_breaker_ask(&b, T0, &again_ms));
    cvm_breaker_done(&b, T0, CVM_CALL_IGNORED);
    assert_true(cvm_breaker_ask(&b, T0, &again_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state_leads_where_the_table_says),
        cmocka_unit_test(it_opens_when_enough_of_enough_calls_failed),
        cmocka_unit_test(it_opens_when_almost_all_calls_are_slow),
        cmocka_unit_test(what_left_the_window_is_forgotten),
        cmocka_unit_test(it_stays_open_twice_as_long_each_time_up_to_a_minute),
        cmocka_unit_test(some_successes_in_a_row_of_a_few_probes_at_once_close_it),
        cmocka_unit_test(probes_that_never_answer_do_not_keep_it_half_open),
        cmocka_unit_test(no_more_calls_at_once_than_are_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
