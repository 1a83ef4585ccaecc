#include "base/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

static struct cvm_slice slice(const char *text)
{
    return (struct cvm_slice){text, strlen(text)};
}

static void a_child_keeps_trace_and_flags_and_has_a_span_of_its_own(void **state)
{
    struct cvm_random random;
    char first[CVM_TRACEPARENT_SIZE];
    char second[CVM_TRACEPARENT_SIZE];
    char id[CVM_TRACE_ID_SIZE];
    (void)state;
    cvm_random_init(&random, 1);
    cvm_traceparent_child(slice(PARENT), &random, first);
    cvm_traceparent_child(slice(PARENT), &random, second);
    assert_memory_equal(first, PARENT, 36);
    assert_string_equal(first + 52, "-00");
    assert_string_not_equal(first, second);
    assert_true(cvm_traceparent_is_valid(slice(first)));
    assert_string_equal(cvm_trace_id(first, id), "4bf92f3577b34da6a3ce929d0e0e4736");
}

static void without_a_parent_a_trace_begins(void **state)
{
    struct cvm_random random;
    char first[CVM_TRACEPARENT_SIZE];
    char second[CVM_TRACEPARENT_SIZE];
    (void)state;
    cvm_random_init(&random, 1);
    cvm_traceparent_child(slice(""), &random, first);
    cvm_traceparent_child(slice("nonsense"), &random, second);
    assert_true(cvm_traceparent_is_valid(slice(first)));
    assert_true(cvm_traceparent_is_valid(slice(second)));
    assert_memory_not_equal(first, second, 35);
}

static void what_others_would_refuse_is_none(void **state)
{
    static const char *const bad[] = {
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-00",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(cvm_traceparent_is_valid(slice(bad[i])));
    }
    assert_true(cvm_traceparent_is_valid(slice(PARENT)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_keeps_trace_and_flags_and_has_a_span_of_its_own),
        cmocka_unit_test(without_a_parent_a_trace_begins),
        cmocka_unit_test(what_others_would_refuse_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
