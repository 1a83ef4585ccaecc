#include "base/log.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/threads.h"

struct fixture {
    int64_t now_ms;
    char *written;
    size_t length;
    struct cvm_log_options options;
    struct cvm_log *log;
};

static void open_log(struct fixture *f, enum cvm_log_level level, bool as_json)
{
    *f = (struct fixture){.now_ms = 1710933753045};
    FILE *stream = open_memstream(&f->written, &f->length);
    assert_non_null(stream);
    f->options = (struct cvm_log_options){
        .stream = stream, .level = level, .as_json = as_json, .clock = cvm_clock_fixed(&f->now_ms)};
    f->log = cvm_log_create(&f->options);
    assert_non_null(f->log);
}

static void close_log(struct fixture *f)
{
    cvm_log_destroy(f->log);
    (void)fclose(f->options.stream);
    free(f->written);
}

static void a_text_line_has_time_level_event_and_fields(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, CVM_LOG_INFO, false);
    CVM_LOG(f.log, CVM_LOG_WARN, "treatment_rejected", CVM_TEXT("treatment", "T9"),
            CVM_INT("attempt", 2), CVM_DOUBLE("seconds", 0.25));
    assert_string_equal(f.written, "2024-03-20T11:22:33.045Z warn event=treatment_rejected "
                                   "treatment=T9 attempt=2 seconds=0.25\n");
    close_log(&f);
}

static void text_that_could_break_a_line_is_quoted(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, CVM_LOG_INFO, false);
    CVM_LOG(f.log, CVM_LOG_INFO, "e", CVM_TEXT("a", "two words"), CVM_TEXT("b", "x\ny"),
            CVM_TEXT("c", ""), CVM_TEXT("d", "k=v"), CVM_TEXT("f", NULL));
    assert_string_equal(f.written, "2024-03-20T11:22:33.045Z info event=e a=\"two words\" "
                                   "b=\"x\\ny\" c=\"\" d=\"k=v\" f=\"\"\n");
    close_log(&f);
}

static void a_json_line_is_one_object(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, CVM_LOG_INFO, true);
    CVM_LOG(f.log, CVM_LOG_ERROR, "e", CVM_TEXT("a", "say \"x\"\n"), CVM_INT("n", -5),
            CVM_DOUBLE("d", 1.5), CVM_DOUBLE("bad", NAN));
    assert_string_equal(
        f.written, "{\"time\":\"2024-03-20T11:22:33.045Z\",\"level\":\"error\",\"event\":\"e\","
                   "\"a\":\"say \\\"x\\\"\\n\",\"n\":-5,\"d\":1.5,\"bad\":null}\n");
    close_log(&f);
}

static void lines_below_the_level_are_dropped(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, CVM_LOG_WARN, false);
    cvm_log_write(f.log, CVM_LOG_INFO, "quiet", NULL, 0);
    assert_int_equal(fflush(f.options.stream), 0);
    assert_int_equal(f.length, 0);
    cvm_log_write(f.log, CVM_LOG_WARN, "loud", NULL, 0);
    assert_non_null(strstr(f.written, "event=loud\n"));
    close_log(&f);
    cvm_log_write(NULL, CVM_LOG_ERROR, "nobody", NULL, 0);
    cvm_log_destroy(NULL);
}

static void a_line_that_is_too_long_still_says_what_happened(void **state)
{
    (void)state;
    struct fixture f;
    open_log(&f, CVM_LOG_INFO, true);
    size_t size = (size_t)1 << 20;
    char *huge = malloc(size);
    assert_non_null(huge);
    memset(huge, 'x', size - 1);
    huge[size - 1] = '\0';
    CVM_LOG(f.log, CVM_LOG_INFO, "big", CVM_TEXT("x", huge));
    assert_true(f.length < 200);
    assert_non_null(strstr(f.written, "\"event\":\"big\"}\n"));
    free(huge);
    close_log(&f);
}

static enum cvm_status write_lines(void *state, size_t item, size_t worker, struct cvm_error *err)
{
    (void)worker;
    (void)err;
    CVM_LOG(state, CVM_LOG_INFO, "line", CVM_INT("item", (int64_t)item));
    return CVM_OK;
}

static void lines_of_many_threads_do_not_mix(void **state)
{
    (void)state;
    enum { LINES = 2000 };
    struct fixture f;
    open_log(&f, CVM_LOG_INFO, false);
    struct cvm_pool *pool = NULL;
    assert_int_equal(cvm_pool_create(4, &pool, NULL), CVM_OK);
    assert_int_equal(cvm_pool_run(pool, LINES, write_lines, f.log, NULL), CVM_OK);
    cvm_pool_destroy(pool);
    int count = 0;
    const char *start = "2024-03-20T11:22:33.045Z info event=line item=";
    for (const char *line = f.written; *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_int_equal(strncmp(line, start, strlen(start)), 0);
        count++;
    }
    assert_int_equal(count, LINES);
    close_log(&f);
}

static void levels_have_names(void **state)
{
    (void)state;
    enum cvm_log_level level = CVM_LOG_ERROR;
    assert_true(cvm_log_level_from_name("debug", &level));
    assert_int_equal(level, CVM_LOG_DEBUG);
    assert_false(cvm_log_level_from_name("loud", &level));
    assert_int_equal(level, CVM_LOG_DEBUG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_has_time_level_event_and_fields),
        cmocka_unit_test(text_that_could_break_a_line_is_quoted),
        cmocka_unit_test(a_json_line_is_one_object),
        cmocka_unit_test(lines_below_the_level_are_dropped),
        cmocka_unit_test(a_line_that_is_too_long_still_says_what_happened),
        cmocka_unit_test(lines_of_many_threads_do_not_mix),
        cmocka_unit_test(levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
