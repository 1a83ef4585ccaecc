#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

static bool is_zero(const unsigned char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] != 0) {
            return false;
        }
    }
    return true;
}

static void memory_is_zeroed_even_when_a_block_is_used_again(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(64 * MIB);
    const size_t sizes[] = {1, 15, 16, 17, 4096, 100000, 5000000};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            unsigned char *data = cvm_arena_alloc(arena, sizes[i], 1);
            assert_non_null(data);
            assert_true(is_zero(data, sizes[i]));
            memset(data, 0xAB, sizes[i]);
        }
        cvm_arena_reset(arena);
    }
    cvm_arena_destroy(arena);
}

static void raw_memory_does_not_leave_dirt_for_a_zeroed_one(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(64 * MIB);
    unsigned char *raw = cvm_arena_alloc_raw(arena, 3 * MIB, 1);
    assert_non_null(raw);
    memset(raw, 0xCD, 3 * MIB);
    cvm_arena_reset(arena);
    unsigned char *zeroed = cvm_arena_alloc(arena, 3 * MIB, 1);
    assert_non_null(zeroed);
    assert_true(is_zero(zeroed, 3 * MIB));
    cvm_arena_destroy(arena);
}

static void small_ones_are_aligned_to_16_and_big_ones_to_64(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(64 * MIB);
    for (size_t size = 1; size < 200000; size = size * 3 / 2 + 1) {
        void *data = cvm_arena_alloc(arena, size, 1);
        assert_non_null(data);
        assert_int_equal((uintptr_t)data % (size >= 4096 ? 64 : 16), 0);
    }
    cvm_arena_destroy(arena);
}

static void the_limit_is_an_ordinary_failure(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(1024);
    assert_null(cvm_arena_alloc(arena, 1025, 1));
    assert_non_null(cvm_arena_alloc(arena, 1008, 1));
    assert_non_null(cvm_arena_alloc(arena, 16, 1));
    assert_null(cvm_arena_alloc(arena, 1, 1));
    assert_int_equal(cvm_arena_used(arena), 1024);
    cvm_arena_reset(arena);
    assert_int_equal(cvm_arena_used(arena), 0);
    assert_non_null(cvm_arena_alloc(arena, 1024, 1));
    cvm_arena_destroy(arena);

    arena = cvm_arena_create(0);
    assert_null(cvm_arena_alloc(arena, 1, 1));
    assert_null(cvm_arena_string(arena, ""));
    cvm_arena_destroy(arena);
}

static void a_size_that_overflows_fails(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(SIZE_MAX);
    assert_null(cvm_arena_alloc(arena, SIZE_MAX, 2));
    assert_null(cvm_arena_alloc(arena, SIZE_MAX / 8 + 1, 8));
    assert_null(cvm_arena_alloc_raw(arena, SIZE_MAX, 1));
    assert_null(cvm_arena_copy(arena, "x", SIZE_MAX));
    cvm_arena_destroy(arena);
}

static void allocations_do_not_overlap(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(64 * MIB);
    enum { COUNT = 2000 };
    unsigned char *pieces[COUNT];
    size_t sizes[COUNT];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            sizes[i] = i * 7919 % 20000 + 1;
            pieces[i] = cvm_arena_alloc(arena, sizes[i], 1);
            assert_non_null(pieces[i]);
            memset(pieces[i], (int)(i % 251), sizes[i]);
        }
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(pieces[i][0], i % 251);
            assert_int_equal(pieces[i][sizes[i] - 1], i % 251);
        }
        cvm_arena_reset(arena);
    }
    cvm_arena_destroy(arena);
}

static void reset_gives_the_same_memory_again(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(64 * MIB);
    void *first = cvm_arena_alloc(arena, 8 * MIB, 1);
    cvm_arena_reset(arena);
    assert_ptr_equal(cvm_arena_alloc(arena, 8 * MIB, 1), first);
    cvm_arena_destroy(arena);
}

static void copies_end_in_a_nul(void **state)
{
    (void)state;
    struct cvm_arena *arena = cvm_arena_create(4096);
    assert_string_equal(cvm_arena_string(arena, "hello"), "hello");
    assert_string_equal(cvm_arena_copy(arena, "hello", 3), "hel");
    assert_string_equal(cvm_arena_copy(arena, NULL, 0), "");
    cvm_arena_destroy(arena);
}

static void nothing_may_be_destroyed_and_zero_bytes_allocated(void **state)
{
    (void)state;
    cvm_arena_destroy(NULL);
    struct cvm_arena *arena = cvm_arena_create(4096);
    assert_non_null(cvm_arena_alloc(arena, 0, 8));
    assert_non_null(CVM_NEW(arena, int64_t));
    assert_non_null(CVM_NEW_ARRAY(arena, 10, int64_t));
    cvm_arena_destroy(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_even_when_a_block_is_used_again),
        cmocka_unit_test(raw_memory_does_not_leave_dirt_for_a_zeroed_one),
        cmocka_unit_test(small_ones_are_aligned_to_16_and_big_ones_to_64),
        cmocka_unit_test(the_limit_is_an_ordinary_failure),
        cmocka_unit_test(a_size_that_overflows_fails),
        cmocka_unit_test(allocations_do_not_overlap),
        cmocka_unit_test(reset_gives_the_same_memory_again),
        cmocka_unit_test(copies_end_in_a_nul),
        cmocka_unit_test(nothing_may_be_destroyed_and_zero_bytes_allocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
