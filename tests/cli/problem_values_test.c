#include "cli/problem_values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ARENA_BYTES ((size_t)16 << 20)
#define IDS_MAX     64

static const char problem_text[] =
    "{\"treatments\": [\"sms\", \"call\"], \"values\": \"v.csv\", \"rows\": ["
    "{\"name\": \"n\", \"kind\": \"segment_max\", \"segment\": \"n\", \"limit\": 1},"
    "{\"name\": \"c\", \"kind\": \"capacity\", \"treatments\": [\"call\"], \"limit\": 1},"
    "{\"name\": \"h\", \"kind\": \"reserve\", \"treatments\": [\"call\"], \"limit\": 1}]}";

struct fixture {
    struct cvm_arena *arena;
    struct cvm_problem_file file;
    struct cvm_problem_values values;
};

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->arena = cvm_arena_create(ARENA_BYTES);
    assert_int_equal(cvm_problem_file_parse(f->arena, "dir/p.json", problem_text,
                                            sizeof(problem_text) - 1, &f->file, NULL),
                     CVM_OK);
}

static void close_fixture(struct fixture *f)
{
    cvm_problem_values_finish(&f->values);
    cvm_arena_destroy(f->arena);
}

static void read_text(struct fixture *f, const char *text, int key_bits)
{
    struct cvm_values_reader *reader = cvm_values_reader_create(&f->file, key_bits);
    size_t used = 0;
    cvm_problem_values_finish(&f->values);
    assert_non_null(reader);
    assert_int_equal(cvm_values_reader_add(reader, text, strlen(text), true, &used, NULL), CVM_OK);
    assert_int_equal(used, strlen(text));
    assert_int_equal(cvm_values_reader_end(reader, &f->values, NULL), CVM_OK);
    cvm_values_reader_destroy(reader);
}

static void treatments_and_rows_stand_in_order_of_name(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f);
    assert_string_equal(f.file.treatments[0], "call");
    assert_int_equal(f.file.listed[0], 1); /* "sms" comes first in the file */
    assert_string_equal(f.file.rows[0].name, "c");
    assert_string_equal(f.file.rows[f.file.rows_listed[0]].name, "n");
    assert_string_equal(f.file.values_path, "dir/v.csv");
    close_fixture(&f);
}

static void equal_keys_of_different_ids_get_the_next_free_ones(void **state)
{
    struct fixture f;
    const char *before[IDS_MAX];
    uint64_t keys[IDS_MAX];
    (void)state;
    open_fixture(&f);
    read_text(&f,
              "customer_id,segment,high_value,call,sms\n"
              "a,,,1,\nb,,,2,\nc,,,3,\nd,,,4,\ne,,,5,\nf,,,6,\ng,,,7,\nh,,,8,\n",
              2); /* at most four different ones */
    size_t count = f.values.customer_count;
    assert_int_equal(count, 8);
    for (size_t i = 0; i < count; i++) {
        const char *id = ((const char **)f.values.ids.data)[i];
        before[i] = cvm_arena_string(f.arena, id);
        keys[i] = ((uint64_t *)f.values.keys.data)[i];
        assert_true(i == 0 || keys[i] > keys[i - 1]);
        /* values move with their customers */
        assert_true(((double *)f.values.exact.data)[i] == (double)(id[0] - 'a' + 1));
    }
    read_text(&f,
              "customer_id,segment,high_value,call,sms\n"
              "h,,,8,\ng,,,7,\nf,,,6,\ne,,,5,\nd,,,4,\nc,,,3,\nb,,,2,\na,,,1,\n",
              2);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(((const char **)f.values.ids.data)[i], before[i]);
        assert_true(((uint64_t *)f.values.keys.data)[i] == keys[i]);
        assert_int_equal(
            ((const char **)f.values.ids.data)[((uint32_t *)f.values.by_id.data)[i]][0],
            'a' + (int)i);
    }
    close_fixture(&f);
}

static void blocks_are_padded_and_empty_fields_ineligible(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f);
    read_text(&f, "customer_id,segment,high_value,call,sms\na,,,0.1,\n", 0);
    const float *values = f.values.values.data;
    const double *exact = f.values.exact.data;
    assert_true(exact[0] == 0.1 && values[0] == 0.1f);
    for (size_t at = 1; at < 2 * CVM_PROBLEM_BLOCK; at++) {
        assert_true(values[at] == CVM_PROBLEM_INELIGIBLE);
        assert_true(exact[at] == (double)CVM_PROBLEM_INELIGIBLE);
    }
    close_fixture(&f);
}

static void classes_tell_apart_what_rows_need_and_no_more(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f);
    read_text(&f,
              "customer_id,segment,high_value,call,sms\n"
              "a,n,1,1,1\nb,n,0,1,1\nc,s,0,1,1\nd,w,0,1,1\ne,n,0,1,1\n",
              0);
    assert_int_equal(f.values.class_count, 3); /* n high, n, others */
    size_t n = (size_t)cvm_problem_file_row(&f.file, "n");
    size_t h = (size_t)cvm_problem_file_row(&f.file, "h");
    for (size_t i = 0; i < f.values.customer_count; i++) {
        size_t class = ((uint16_t *)f.values.classes.data)[i];
        char id = ((const char **)f.values.ids.data)[i][0];
        assert_int_equal(cvm_problem_class_is_in(&f.values, class, n),
                         id == 'a' || id == 'b' || id == 'e');
        assert_int_equal(cvm_problem_class_is_in(&f.values, class, h), id == 'a');
    }
    close_fixture(&f);
}

static void groups_are_numbered_in_order_of_key(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f);
    read_text(&f,
              "customer_id,segment,high_value,group,call,sms\n"
              "a,,,x,1,\nb,,,,1,\nc,,,y,1,\nd,,,x,1,\ne,,,y,1,\nf,,,z,1,\n",
              0);
    uint32_t seen = 0;
    uint32_t number[256] = {0};
    static const char names[] = {'x', 0, 'y', 'x', 'y', 'z'};
    assert_int_equal(f.values.group_count, 3);
    for (size_t i = 0; i < f.values.customer_count; i++) {
        unsigned char name = (unsigned char)names[((const char **)f.values.ids.data)[i][0] - 'a'];
        uint32_t group = ((uint32_t *)f.values.groups.data)[i];
        if (name == 0) {
            assert_true(group == CVM_NO_GROUP);
            continue;
        }
        number[name] = number[name] == 0 ? ++seen : number[name];
        assert_int_equal(group, number[name] - 1);
    }
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(treatments_and_rows_stand_in_order_of_name),
        cmocka_unit_test(equal_keys_of_different_ids_get_the_next_free_ones),
        cmocka_unit_test(blocks_are_padded_and_empty_fields_ineligible),
        cmocka_unit_test(classes_tell_apart_what_rows_need_and_no_more),
        cmocka_unit_test(groups_are_numbered_in_order_of_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
