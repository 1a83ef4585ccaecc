/* Definitions: what ships is right, what is wrong says where, and nothing is too large. */
#include "workflows/definition.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/text.h"

static struct cvm_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = cvm_arena_create((size_t)16 << 20);
    return arena == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    cvm_arena_destroy(arena);
    return 0;
}

static enum cvm_status read_text(const char *text, const struct cvm_definition **out,
                                 struct cvm_error *err)
{
    return cvm_definition_read(arena, "w.yaml", text, strlen(text), out, err);
}

#define HEAD  "workflow: w\ndescription: d\nsteps:\n"
#define BEGIN "  - {id: begin, agent: data, message: CUSTOMER_DATA_REQUEST}\n"

/* The text is refused, at this line, with these words. */
static void refuse(const char *text, enum cvm_status expected, int line, const char *words)
{
    const struct cvm_definition *definition = NULL;
    struct cvm_error err = {0};
    char where[32];
    (void)snprintf(where, sizeof(where), "w.yaml:%d", line);
    enum cvm_status status = read_text(text, &definition, &err);
    if (status != expected || strstr(err.message, words) == NULL ||
        (line > 0 && strcmp(err.where, where) != 0)) {
        fail_msg("%s\n%s at %s (%s), wanted '%s' at %s", text, err.message, err.where,
                 cvm_status_name(status), words, where);
    }
    assert_null(definition);
}

static const struct cvm_definition *shipped(const char *name)
{
    char path[512];
    char *text = NULL;
    size_t length = 0;
    const struct cvm_definition *definition = NULL;
    struct cvm_error err = {0};
    (void)snprintf(path, sizeof(path), CVM_WORKFLOWS "/%s.yaml", name);
    assert_int_equal(cvm_file_read(arena, path, 1 << 20, &text, &length, &err), CVM_OK);
    if (cvm_definition_read(arena, path, text, length, &definition, &err) != CVM_OK) {
        fail_msg("%s at %s", err.message, err.where);
    }
    return definition;
}

static void what_ships_is_right(void **state)
{
    (void)state;
    const struct cvm_definition *batch = shipped("batch");
    assert_string_equal(batch->name, "batch");
    assert_true(batch->has_fan_out);
    assert_int_equal(batch->step_count, 3);
    assert_int_equal(batch->deadline_ms, 12 * 3600 * 1000);
    int values = cvm_definition_find(batch, "values");
    assert_true(batch->steps[values].is_fanned);
    assert_string_equal(batch->steps[values].kind->agent, "treatment");
    int plan = cvm_definition_find(batch, "plan");
    assert_int_equal(batch->steps[plan].attempts, 4);
    assert_int_equal(batch->steps[plan].retry_base_ms, 1000);
    assert_int_equal(batch->steps[plan].retry_cap_ms, 300000);
    assert_int_equal(batch->steps[values].attempts, 8);
    assert_int_equal(cvm_definition_find(batch, "nothing"), -1);
    assert_false(shipped("treatment_selection")->has_fan_out);
    assert_int_equal(shipped("trigger_and_process")->step_count, 4);
    assert_int_equal(shipped("evaluation")->steps[0].need_count, 0); /* of no plan: of all */
}

static void the_digest_is_that_of_the_text(void **state)
{
    (void)state;
    const struct cvm_definition *a = NULL;
    const struct cvm_definition *b = NULL;
    assert_int_equal(read_text(HEAD BEGIN, &a, NULL), CVM_OK);
    assert_int_equal(read_text(HEAD BEGIN, &b, NULL), CVM_OK);
    assert_string_equal(a->digest, b->digest);
    assert_int_equal(read_text(HEAD BEGIN "\n", &b, NULL), CVM_OK);
    assert_string_not_equal(a->digest, b->digest);
    assert_string_equal(b->text, HEAD BEGIN "\n");
}

static void steps_follow_those_that_they_need(void **state)
{
    (void)state;
    const struct cvm_definition *d = NULL;
    assert_int_equal(read_text(HEAD
                               "  - {id: plan, agent: allocation, message: ALLOCATION_REQUEST, "
                               "needs: [begin, values]}\n"
                               "  - {id: values, agent: treatment, message: TREATMENT_REQUEST, "
                               "needs: begin}\n" BEGIN,
                               &d, NULL),
                     CVM_OK);
    assert_string_equal(d->steps[d->order[0]].id, "begin");
    assert_string_equal(d->steps[d->order[1]].id, "values");
    assert_string_equal(d->steps[d->order[2]].id, "plan");
}

static void what_is_not_known_is_named_with_its_line(void **state)
{
    (void)state;
    refuse(HEAD "  - {id: a, agent: dat, message: CUSTOMER_DATA_REQUEST}\n", CVM_E_INVALID, 4,
           "no agent 'dat'; did you mean 'data'?");
    refuse(HEAD "  - {id: a, agent: data, message: TREATMENT_REQUEST}\n", CVM_E_INVALID, 4,
           "does not serve 'TREATMENT_REQUEST', it serves CUSTOMER_DATA_REQUEST");
    refuse(HEAD BEGIN "  - id: values\n    agent: treatment\n    message: TREATMENT_REQUEST\n"
                      "    needs: [begn]\n",
           CVM_E_INVALID, 8, "no step 'begn'; did you mean 'begin'?");
    refuse(HEAD BEGIN BEGIN, CVM_E_INVALID, 5, "'begin' stands twice, first in line 4");
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, tries: 3}\n",
           CVM_E_INVALID, 4, "unknown key 'tries'");
    refuse("workflow: other\ndescription: d\nsteps:\n" BEGIN, CVM_E_INVALID, 1,
           "'other' stands in the file 'w.yaml'");
    refuse("workflow: w\ndescription: d\nsteps: {}\n", CVM_E_INVALID, 3, "a list of steps");
    refuse("workflow: w\ndescription: d\n", CVM_E_INVALID, 1, "'steps' is missing");
}

static void a_step_that_needs_itself_is_refused(void **state)
{
    (void)state;
    refuse(HEAD "  - {id: a, agent: treatment, message: TREATMENT_REQUEST, needs: a}\n",
           CVM_E_INVALID, 4, "step 'a' needs itself");
    refuse(HEAD BEGIN
           "  - {id: a, agent: journey, message: JOURNEY_REQUEST, needs: [begin, b]}\n"
           "  - {id: b, agent: treatment, message: TREATMENT_REQUEST, needs: [begin, a]}\n",
           CVM_E_INVALID, 5, "needs itself");
}

static void edges_carry_what_is_taken_and_nothing_else(void **state)
{
    (void)state;
    refuse(HEAD "  - {id: v, agent: treatment, message: TREATMENT_REQUEST}\n", CVM_E_INVALID, 4,
           "takes snapshot, which no step that it needs gives");
    refuse(HEAD BEGIN "  - {id: e, agent: evaluation, message: EVALUATION_REQUEST, needs: begin}\n",
           CVM_E_INVALID, 5, "'begin' gives snapshot, which the agent 'evaluation' does not take");
    refuse(HEAD BEGIN "  - {id: p, agent: allocation, message: ALLOCATION_REQUEST, needs: begin}\n",
           CVM_E_INVALID, 5, "takes values");
    refuse(HEAD BEGIN "  - {id: v, agent: treatment, message: TREATMENT_REQUEST, needs: begin}\n"
                      "  - {id: t, agent: trigger, message: TRIGGER_REQUEST, needs: [begin, v]}\n",
           CVM_E_INVALID, 6, "'v' gives values, which the agent 'trigger' does not take");
    refuse(HEAD BEGIN "  - {id: other, agent: data, message: CUSTOMER_DATA_REQUEST}\n"
                      "  - {id: t, agent: trigger, message: TRIGGER_REQUEST, "
                      "needs: [begin, other]}\n",
           CVM_E_INVALID, 6, "both give snapshot");
    refuse(HEAD BEGIN "  - {id: t, agent: trigger, message: TRIGGER_REQUEST, "
                      "needs: [begin, begin]}\n",
           CVM_E_INVALID, 5, "needed twice");
    refuse(HEAD "  - {id: b, agent: data, message: CUSTOMER_DATA_REQUEST, fan_out: shards}\n",
           CVM_E_INVALID, 4, "works on all shards at once");
}

static void numbers_and_spans_have_limits(void **state)
{
    (void)state;
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, timeout: 5}\n",
           CVM_E_INVALID, 4, "a span of time, like 250ms");
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, timeout: 50h}\n",
           CVM_E_INVALID, 4, "in milliseconds from 100 to 86400000");
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, "
                "retry: {attempts: 0}}\n",
           CVM_E_INVALID, 4, "from 1 to 100");
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, "
                "retry: {base: 10s, cap: 1s}}\n",
           CVM_E_INVALID, 4, "shorter than the first one");
    refuse(HEAD "  - {id: a, agent: data, message: CUSTOMER_DATA_REQUEST, on_failure: stop}\n",
           CVM_E_INVALID, 4, "one of fail, skip, pause");
    refuse("workflow: w\ndescription: d\npriority: 101\nsteps:\n" BEGIN, CVM_E_INVALID, 3,
           "from -100 to 100");
}

static void bombs_are_refused(void **state)
{
    (void)state;
    struct cvm_text text;
    cvm_text_init(&text, 0);
    cvm_text_add(&text, HEAD);
    for (int i = 0; i <= CVM_DEFINITION_STEPS_MAX; i++) {
        cvm_text_add_format(&text, "  - {id: s%d, agent: data, message: CUSTOMER_DATA_REQUEST}\n",
                            i);
    }
    refuse(cvm_text_string(&text), CVM_E_LIMIT, 3, "65 steps, at most 64");

    cvm_text_clear(&text);
    cvm_text_add(&text, HEAD BEGIN "  - id: t\n    agent: trigger\n    message: TRIGGER_REQUEST\n"
                                   "    needs: [");
    for (int i = 0; i <= CVM_DEFINITION_NEEDS_MAX; i++) {
        cvm_text_add(&text, i == 0 ? "begin" : ", begin");
    }
    cvm_text_add(&text, "]\n");
    refuse(cvm_text_string(&text), CVM_E_LIMIT, 8, "17 steps are needed, at most 16");

    cvm_text_clear(&text);
    cvm_text_add(&text, "workflow: w\ndescription: d\ninput:\n");
    for (int i = 0; i < 33; i++) {
        cvm_text_add_format(&text, "  i%d: text\n", i);
    }
    cvm_text_add(&text, "steps:\n" BEGIN);
    refuse(cvm_text_string(&text), CVM_E_LIMIT, 3, "33 inputs, at most 32");

    cvm_text_clear(&text);
    cvm_text_add(&text, HEAD BEGIN);
    while (text.length <= CVM_DEFINITION_BYTES_MAX) {
        cvm_text_add(&text, "# a comment that goes on and on and on and on and on and on\n");
    }
    refuse(cvm_text_string(&text), CVM_E_LIMIT, 0, "at most 65536 are allowed");
    cvm_text_finish(&text);

    refuse("workflow: w\ndescription: &d [1, 1]\nsteps: [*d, *d]\n", CVM_E_INVALID, 2, "anchor");
}

static void every_cut_of_a_definition_is_read_or_refused(void **state)
{
    (void)state;
    const struct cvm_definition *batch = shipped("batch");
    size_t length = strlen(batch->text);
    for (size_t cut = 0; cut < length; cut++) {
        const struct cvm_definition *definition = NULL;
        struct cvm_error err = {0};
        struct cvm_arena *mine = cvm_arena_create((size_t)1 << 20);
        char *text = cvm_arena_copy(mine, batch->text, cut);
        if (cvm_definition_read(mine, "batch.yaml", text, cut, &definition, &err) != CVM_OK) {
            assert_true(err.message[0] != '\0');
        }
        cvm_arena_destroy(mine);
    }
}

static void memory_that_runs_out_is_an_error(void **state)
{
    (void)state;
    const struct cvm_definition *batch = shipped("batch");
    enum cvm_status status = CVM_E_LIMIT;
    for (size_t budget = 0; status == CVM_E_LIMIT; budget += 512) {
        const struct cvm_definition *definition = NULL;
        struct cvm_arena *mine = cvm_arena_create(budget);
        status = cvm_definition_read(mine, "batch.yaml", batch->text, strlen(batch->text),
                                     &definition, NULL);
        assert_true((status == CVM_OK) == (definition != NULL));
        cvm_arena_destroy(mine);
        assert_true(budget < ((size_t)1 << 20));
    }
    assert_int_equal(status, CVM_OK);
}

static enum cvm_status check_input(const struct cvm_definition *definition, const char *json,
                                   struct cvm_error *err)
{
    struct cvm_json_reader *reader = cvm_json_reader_create(4096);
    const struct cvm_json_value *value = NULL;
    assert_int_equal(cvm_json_read(reader, arena, json, strlen(json), false, &value, NULL), CVM_OK);
    enum cvm_status status = cvm_definition_check_input(definition, value, err);
    cvm_json_reader_destroy(reader);
    return status;
}

static void the_input_is_what_the_definition_asks_for(void **state)
{
    (void)state;
    const struct cvm_definition *d = shipped("treatment_selection");
    struct cvm_error err = {0};
    assert_int_equal(check_input(d, "{\"customer_id\":\"U1\"}", &err), CVM_OK);
    assert_int_equal(check_input(d, "{\"customer_id\":\"U1\",\"as_of\":\"2024-03-20\"}", &err),
                     CVM_OK);
    assert_int_equal(check_input(d, "{}", &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "needs the input 'customer_id'"));
    assert_int_equal(check_input(d, "{\"customer_id\":7}", &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "'customer_id' of workflow 'treatment_selection' is no "
                                        "text"));
    assert_int_equal(check_input(d, "{\"customer_id\":\"U1\",\"as_of\":\"2024-02-30\"}", &err),
                     CVM_E_INVALID);
    assert_int_equal(check_input(d, "{\"customer_id\":\"U1\",\"x\":1}", &err), CVM_E_INVALID);
    assert_non_null(strstr(err.message, "no input 'x'"));
    assert_int_equal(check_input(d, "[]", &err), CVM_E_INVALID);
}

static void types_of_inputs_are_known(void **state)
{
    (void)state;
    const struct cvm_definition *d = NULL;
    assert_int_equal(read_text("workflow: w\ndescription: d\ninput:\n  a: integer\n  b: number?\n"
                               "  c: boolean?\n  d: object?\n  e: date?\nsteps:\n" BEGIN,
                               &d, NULL),
                     CVM_OK);
    assert_int_equal(check_input(d, "{\"a\":1,\"b\":1.5,\"c\":true,\"d\":{}}", NULL), CVM_OK);
    assert_int_equal(check_input(d, "{\"a\":1.5}", NULL), CVM_E_INVALID);
    assert_int_equal(check_input(d, "{\"a\":1,\"c\":1}", NULL), CVM_E_INVALID);
    assert_int_equal(check_input(d, "{\"a\":1,\"d\":[]}", NULL), CVM_E_INVALID);
    refuse("workflow: w\ndescription: d\ninput:\n  a: string\nsteps:\n" BEGIN, CVM_E_INVALID, 4,
           "a type is needed");
    refuse("workflow: w\ndescription: d\ninput: [a]\nsteps:\n" BEGIN, CVM_E_INVALID, 3, "a map");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ships_is_right),
        cmocka_unit_test(the_digest_is_that_of_the_text),
        cmocka_unit_test(steps_follow_those_that_they_need),
        cmocka_unit_test(what_is_not_known_is_named_with_its_line),
        cmocka_unit_test(a_step_that_needs_itself_is_refused),
        cmocka_unit_test(edges_carry_what_is_taken_and_nothing_else),
        cmocka_unit_test(numbers_and_spans_have_limits),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(every_cut_of_a_definition_is_read_or_refused),
        cmocka_unit_test(memory_that_runs_out_is_an_error),
        cmocka_unit_test(the_input_is_what_the_definition_asks_for),
        cmocka_unit_test(types_of_inputs_are_known),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
