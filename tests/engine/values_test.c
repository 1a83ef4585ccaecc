/* Columns of a shard's values: appended by chunk, stored, opened again, refused when damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "allocation/problem.h"
#include "engine/values.h"

#define TREATMENTS 3

/* Customer n of the test base has key 10 n + 1 and value 100 n + t. */
static void add_chunk(struct cvm_shard_values *values, size_t first, size_t count)
{
    struct cvm_chunk *chunk = NULL;
    float numbers[TREATMENTS * 64];
    unsigned char reasons[TREATMENTS * 64];
    float margins[64];
    float churns[64];
    float tirings[64];
    unsigned char segments[64];
    struct cvm_contact_facts facts[64];
    struct cvm_verdicts verdicts = {.values = numbers,
                                    .reasons = reasons,
                                    .margins = margins,
                                    .churns = churns,
                                    .tirings = tirings,
                                    .segments = segments,
                                    .facts = facts,
                                    .stride = 64};
    assert_int_equal(cvm_chunk_create(64, 1, &chunk, NULL), CVM_OK);
    for (size_t i = 0; i < count; i++) {
        char id[24];
        int length = snprintf(id, sizeof(id), "C%zu", first + i);
        chunk->keys[i] = 10 * (first + i) + 1;
        chunk->id_offsets[i] = (uint32_t)chunk->ids.length;
        cvm_text_add_bytes(&chunk->ids, id, (size_t)length + 1);
        chunk->event_counts[i] = 2;
        margins[i] = (float)(first + i);
        churns[i] = 0.25F;
        tirings[i] = 0.5F;
        facts[i] = (struct cvm_contact_facts){.usable = 1};
        segments[i] = (unsigned char)((first + i) % 4);
        for (size_t t = 0; t < TREATMENTS; t++) {
            numbers[t * 64 + i] = (float)(100 * (first + i) + t);
            reasons[t * 64 + i] = (unsigned char)t;
        }
    }
    chunk->count = count;
    assert_int_equal(cvm_shard_values_add(values, chunk, &verdicts, NULL), CVM_OK);
    cvm_chunk_destroy(chunk);
}

static void chunks_of_any_size_give_the_same_columns(void **state)
{
    struct cvm_shard_values one;
    struct cvm_shard_values many;
    struct cvm_text a;
    struct cvm_text b;
    (void)state;
    cvm_shard_values_init(&one, TREATMENTS);
    cvm_shard_values_init(&many, TREATMENTS);
    cvm_text_init(&a, 0);
    cvm_text_init(&b, 0);
    add_chunk(&one, 0, 50);
    add_chunk(&many, 0, 1);
    add_chunk(&many, 1, 30);
    add_chunk(&many, 31, 19);
    assert_int_equal(cvm_shard_values_encode(&one, &a, NULL), CVM_OK);
    assert_int_equal(cvm_shard_values_encode(&many, &b, NULL), CVM_OK);
    assert_int_equal(a.length, b.length);
    assert_memory_equal(a.data, b.data, a.length);
    assert_string_equal(cvm_shard_values_id(&many, 49), "C49");
    assert_int_equal(many.dated_events, 100);
    cvm_text_finish(&a);
    cvm_text_finish(&b);
    cvm_shard_values_finish(&one);
    cvm_shard_values_finish(&many);
}

static void a_stored_block_gives_back_every_value(void **state)
{
    struct cvm_shard_values values;
    struct cvm_values_view view;
    struct cvm_text body;
    (void)state;
    cvm_shard_values_init(&values, TREATMENTS);
    cvm_text_init(&body, 0);
    add_chunk(&values, 0, 37);
    assert_int_equal(cvm_shard_values_encode(&values, &body, NULL), CVM_OK);
    assert_int_equal(cvm_values_open(body.data, body.length, &view, NULL), CVM_OK);
    assert_int_equal(view.count, 37);
    for (size_t i = 0; i < view.count; i++) {
        assert_int_equal(cvm_values_find(&view, 10 * i + 1), i);
        assert_true(cvm_values_margin(&view, i) == (float)i);
        assert_true(cvm_values_churn(&view, i) == 0.25F);
        assert_true(cvm_values_tiring(&view, i) == 0.5F);
        assert_int_equal(cvm_values_segment(&view, i), i % 4);
        for (size_t t = 0; t < TREATMENTS; t++) {
            assert_true(cvm_values_value(&view, i, t) == (float)(100 * i + t));
            assert_int_equal(cvm_values_reason(&view, i, t), t);
        }
    }
    assert_true(cvm_values_find(&view, 5) == SIZE_MAX);
    assert_true(cvm_values_find(&view, UINT64_MAX) == SIZE_MAX);
    cvm_text_finish(&body);
    cvm_shard_values_finish(&values);
}

/* The same block as version 1 had it: without the column of tirings, which stood behind 8 bytes of
 * key, 4 of margin and 4 of churn per customer. */
static void a_block_of_the_first_version_is_read_with_nobody_tired(void **state)
{
    enum { COUNT = 5, HEADER = 16, BEFORE = HEADER + COUNT * 16 };
    struct cvm_shard_values values;
    struct cvm_values_view view;
    struct cvm_text body;
    (void)state;
    cvm_shard_values_init(&values, TREATMENTS);
    cvm_text_init(&body, 0);
    add_chunk(&values, 0, COUNT);
    assert_int_equal(cvm_shard_values_encode(&values, &body, NULL), CVM_OK);
    memmove(body.data + BEFORE, body.data + BEFORE + COUNT * 4,
            body.length - BEFORE - (size_t)COUNT * 4);
    body.data[4] = 1;
    assert_int_equal(cvm_values_open(body.data, body.length - (size_t)COUNT * 4, &view, NULL),
                     CVM_OK);
    for (size_t i = 0; i < view.count; i++) {
        assert_true(cvm_values_tiring(&view, i) == 1.0F);
        assert_true(cvm_values_margin(&view, i) == (float)i);
        assert_int_equal(cvm_values_segment(&view, i), i % 4);
        assert_true(cvm_values_value(&view, i, 2) == (float)(100 * i + 2));
    }
    cvm_text_finish(&body);
    cvm_shard_values_finish(&values);
}

/* The second version had no groups and households: the same columns without them. */
static void a_block_of_the_second_version_is_read_with_nobody_in_a_group(void **state)
{
    struct cvm_shard_values values;
    struct cvm_values_view view;
    struct cvm_text body;
    (void)state;
    cvm_shard_values_init(&values, TREATMENTS);
    cvm_text_init(&body, 0);
    add_chunk(&values, 0, 5);
    assert_int_equal(cvm_shard_values_encode(&values, &body, NULL), CVM_OK);
    body.data[4] = 2;
    assert_int_equal(cvm_values_open(body.data, body.length, &view, NULL), CVM_OK);
    for (size_t i = 0; i < view.count; i++) {
        assert_true(cvm_values_groups(&view, i) == 0);
        assert_true(cvm_values_household(&view, i) == CVM_NO_GROUP);
        assert_true(cvm_values_tiring(&view, i) == 0.5F);
        assert_true(cvm_values_value(&view, i, 1) == (float)(100 * i + 1));
    }
    cvm_text_finish(&body);
    cvm_shard_values_finish(&values);
}

static void a_stored_block_keeps_groups_and_households(void **state)
{
    (void)state;
    for (int kept = 0; kept < 4; kept++) { /* each may be there without the other */
        struct cvm_shard_values values;
        struct cvm_values_view view;
        struct cvm_text body;
        cvm_shard_values_init(&values, TREATMENTS);
        values.has_groups = (kept & 1) != 0;
        values.has_households = (kept & 2) != 0;
        cvm_text_init(&body, 0);
        add_chunk(&values, 0, 9);
        add_chunk(&values, 9, 10);
        if (values.has_groups) {
            ((uint64_t *)values.groups.data)[11] = UINT64_C(1) << 63 | 5;
        }
        if (values.has_households) {
            ((uint32_t *)values.households.data)[11] = 70000;
            ((unsigned char *)values.allowances.data)[11] = 2;
        }
        assert_int_equal(cvm_shard_values_encode(&values, &body, NULL), CVM_OK);
        assert_int_equal(cvm_values_open(body.data, body.length, &view, NULL), CVM_OK);
        assert_int_equal(view.count, 19);
        for (size_t i = 0; i < view.count; i++) {
            bool is_one = i == 11;
            assert_true(cvm_values_groups(&view, i) ==
                        (is_one && values.has_groups ? UINT64_C(1) << 63 | 5 : 0));
            assert_true(cvm_values_household(&view, i) ==
                        (is_one && values.has_households ? 70000 : CVM_NO_GROUP));
            assert_int_equal(cvm_values_allowance(&view, i),
                             is_one && values.has_households ? 2 : 0);
            assert_int_equal(cvm_values_segment(&view, i), i % 4);
            assert_int_equal(cvm_values_reason(&view, i, 2), 2);
        }
        cvm_text_finish(&body);
        cvm_shard_values_finish(&values);
    }
}

static void a_damaged_block_is_refused_at_every_length(void **state)
{
    struct cvm_shard_values values;
    struct cvm_values_view view = {.count = 99};
    struct cvm_text body;
    (void)state;
    cvm_shard_values_init(&values, TREATMENTS);
    cvm_text_init(&body, 0);
    add_chunk(&values, 0, 3);
    assert_int_equal(cvm_shard_values_encode(&values, &body, NULL), CVM_OK);
    for (size_t length = 0; length < body.length; length++) {
        assert_int_equal(cvm_values_open(body.data, length, &view, NULL), CVM_E_CORRUPT);
    }
    body.data[0] ^= 1;
    assert_int_equal(cvm_values_open(body.data, body.length, &view, NULL), CVM_E_CORRUPT);
    assert_int_equal(view.count, 99);
    cvm_text_finish(&body);
    cvm_shard_values_finish(&values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_any_size_give_the_same_columns),
        cmocka_unit_test(a_stored_block_gives_back_every_value),
        cmocka_unit_test(a_block_of_the_first_version_is_read_with_nobody_tired),
        cmocka_unit_test(a_block_of_the_second_version_is_read_with_nobody_in_a_group),
        cmocka_unit_test(a_stored_block_keeps_groups_and_households),
        cmocka_unit_test(a_damaged_block_is_refused_at_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
