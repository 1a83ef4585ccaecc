/* The progress line, on a clock that the test sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"

struct screen {
    struct cvm_session session;
    int64_t now_ms;
    char *text;
    size_t length;
};

static void open_screen(struct screen *screen, bool has_progress)
{
    *screen = (struct screen){.session = {.has_progress = has_progress}};
    screen->session.progress = (struct cvm_progress_line){.is_busy = ATOMIC_FLAG_INIT};
    screen->session.context.clock = cvm_clock_fixed(&screen->now_ms);
    screen->session.err = open_memstream(&screen->text, &screen->length);
    assert_non_null(screen->session.err);
}

/* What was drawn last. */
static const char *line(struct screen *screen)
{
    assert_int_equal(fflush(screen->session.err), 0);
    char *last = screen->text;
    for (char *at = last; at != NULL; at = strstr(at + 1, "\r\033[K")) {
        last = at;
    }
    return last + strspn(last, "\r\033[K");
}

static void close_screen(struct screen *screen)
{
    assert_int_equal(fclose(screen->session.err), 0);
    free(screen->text);
}

static void report(struct screen *screen, int64_t now_ms, double fraction, int64_t count)
{
    screen->now_ms = now_ms;
    cvm_session_progress(&screen->session, "read", fraction, count);
}

static void share_count_rate_and_time_left_are_told(void **state)
{
    struct screen screen;
    (void)state;
    open_screen(&screen, true);
    report(&screen, 1000, 0, 0);
    assert_string_equal(line(&screen), "read         [........................]   0%");
    report(&screen, 11000, 0.25, 250000);
    assert_string_equal(
        line(&screen),
        "read         [######..................]  25%  250.0 k  25.0 k/s  30 s left");
    report(&screen, 31000, 1, 2000000);
    assert_string_equal(line(&screen),
                        "read         [########################] 100%  2.0 M  66.7 k/s");
    close_screen(&screen);
}

static void the_time_left_waits_until_the_rate_can_be_trusted(void **state)
{
    struct screen screen;
    (void)state;
    open_screen(&screen, true);
    report(&screen, 0, 0.001, 10);
    report(&screen, 500, 0.01, 100);
    assert_null(strstr(line(&screen), "left"));
    report(&screen, 2000, 0.01, 100);
    assert_non_null(strstr(line(&screen), "3 min left"));
    close_screen(&screen);
}

static void a_share_that_nobody_knows_is_not_drawn(void **state)
{
    struct screen screen;
    (void)state;
    open_screen(&screen, true);
    report(&screen, 0, -1, 0);
    report(&screen, 2000, -1, 900);
    assert_string_equal(line(&screen), "read          900  450/s");
    close_screen(&screen);
}

static void another_stage_starts_its_own_rate(void **state)
{
    struct screen screen;
    (void)state;
    open_screen(&screen, true);
    report(&screen, 0, 0.5, 1000);
    screen.now_ms = 100000;
    cvm_session_progress(&screen.session, "store", 0, 0);
    screen.now_ms = 102000;
    cvm_session_progress(&screen.session, "store", 0.5, 1000);
    assert_string_equal(line(&screen),
                        "store        [############............]  50%  1000  500/s  2 s left");
    close_screen(&screen);
}

static void nothing_is_drawn_without_a_terminal_and_the_end_clears_the_line(void **state)
{
    struct screen screen;
    (void)state;
    open_screen(&screen, false);
    report(&screen, 0, 0.5, 1);
    cvm_session_progress_end(&screen.session);
    assert_string_equal(line(&screen), "");
    close_screen(&screen);
    open_screen(&screen, true);
    report(&screen, 0, 0.5, 1);
    cvm_session_progress_end(&screen.session);
    assert_string_equal(line(&screen), "");
    assert_non_null(strstr(screen.text, "50%"));
    close_screen(&screen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_count_rate_and_time_left_are_told),
        cmocka_unit_test(the_time_left_waits_until_the_rate_can_be_trusted),
        cmocka_unit_test(a_share_that_nobody_knows_is_not_drawn),
        cmocka_unit_test(another_stage_starts_its_own_rate),
        cmocka_unit_test(nothing_is_drawn_without_a_terminal_and_the_end_clears_the_line),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
