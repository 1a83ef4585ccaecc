#include "base/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

static void a_buffer_keeps_its_contents_while_it_grows(void **state)
{
    (void)state;
    struct cvm_buffer buffer = {0};
    size_t filled = 0;
    for (size_t size = 100; size < (size_t)20 << 20; size = size * 3) {
        assert_int_equal(cvm_buffer_reserve(&buffer, size, NULL), CVM_OK);
        assert_true(buffer.size_bytes >= size);
        assert_int_equal((uintptr_t)buffer.data % 64, 0);
        unsigned char *bytes = buffer.data;
        for (size_t i = 0; i < filled; i += 61) {
            assert_int_equal(bytes[i], i % 251);
        }
        for (size_t i = filled; i < size; i++) {
            assert_int_equal(bytes[i], 0);
            bytes[i] = (unsigned char)(i % 251);
        }
        filled = size;
    }
    cvm_buffer_finish(&buffer);
    assert_null(buffer.data);
    cvm_buffer_finish(&buffer);
}

static void a_buffer_that_is_big_enough_stays_where_it_is(void **state)
{
    (void)state;
    struct cvm_buffer buffer = {0};
    assert_int_equal(cvm_buffer_reserve(&buffer, 5000, NULL), CVM_OK);
    void *data = buffer.data;
    assert_int_equal(cvm_buffer_reserve(&buffer, 10, NULL), CVM_OK);
    assert_ptr_equal(buffer.data, data);
    cvm_buffer_finish(&buffer);
}

static void a_buffer_that_cannot_grow_keeps_what_it_has(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    struct cvm_buffer buffer = {0};
    assert_int_equal(cvm_buffer_reserve(&buffer, SIZE_MAX, &err), CVM_E_LIMIT);
    assert_null(buffer.data);
    assert_int_equal(cvm_buffer_reserve(&buffer, 100, NULL), CVM_OK);
    *(int *)buffer.data = 42;
    assert_int_equal(cvm_buffer_reserve(&buffer, SIZE_MAX / 4, &err), CVM_E_LIMIT);
    assert_int_equal(*(int *)buffer.data, 42);
    cvm_buffer_finish(&buffer);
}

static void a_column_grows_one_by_one(void **state)
{
    (void)state;
    struct cvm_column column;
    cvm_column_init(&column, sizeof(uint64_t));
    for (uint64_t i = 0; i < 1000000; i++) {
        void *at = NULL;
        assert_int_equal(cvm_column_extend(&column, 1, &at, NULL), CVM_OK);
        *(uint64_t *)at = i * i;
    }
    assert_int_equal(column.count, 1000000);
    for (uint64_t i = 0; i < 1000000; i++) {
        assert_true(CVM_COLUMN_DATA(&column, uint64_t)[i] == i * i);
    }
    cvm_column_finish(&column);
    assert_int_equal(column.count, 0);
}

static void a_column_that_overflows_stays_as_it_was(void **state)
{
    (void)state;
    struct cvm_error err = {0};
    struct cvm_column column;
    void *at = NULL;
    cvm_column_init(&column, 8);
    assert_int_equal(cvm_column_extend(&column, 3, &at, NULL), CVM_OK);
    void *before = at;
    assert_int_equal(cvm_column_extend(&column, SIZE_MAX - 1, &at, &err), CVM_E_LIMIT);
    assert_int_equal(cvm_column_extend(&column, SIZE_MAX / 8, &at, &err), CVM_E_LIMIT);
    assert_ptr_equal(at, before);
    assert_int_equal(column.count, 3);
    cvm_column_finish(&column);
}

static void a_column_extended_by_nothing_is_still_readable(void **state)
{
    (void)state;
    struct cvm_column column;
    void *at = NULL;
    cvm_column_init(&column, 8);
    assert_int_equal(cvm_column_extend(&column, 0, &at, NULL), CVM_OK);
    assert_non_null(at);
    assert_int_equal(column.count, 0);
    cvm_column_finish(&column);
}

static void a_buffer_in_a_file_keeps_what_is_written(void **state)
{
    struct cvm_buffer buffer = {0};
    struct cvm_error err;
    (void)state;
    assert_int_equal(cvm_buffer_map_file(&buffer, 3 << 20, "/tmp", &err), CVM_OK);
    unsigned char *bytes = buffer.data;
    assert_true(buffer.size_bytes >= 3 << 20);
    assert_int_equal(bytes[(3 << 20) - 1], 0);
    bytes[12345] = 7;
    assert_int_equal(madvise(bytes, buffer.size_bytes, MADV_DONTNEED), 0);
    assert_int_equal(bytes[12345], 7); /* its page went to the file, not away */
    cvm_buffer_finish(&buffer);
    assert_null(buffer.data);
    assert_int_equal(cvm_buffer_map_file(&buffer, 10, "/no/such/folder", &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, "/no/such/folder"));
    assert_int_equal(cvm_buffer_map_file(&buffer, (size_t)1 << 60, "/tmp", &err), CVM_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_keeps_its_contents_while_it_grows),
        cmocka_unit_test(a_buffer_that_is_big_enough_stays_where_it_is),
        cmocka_unit_test(a_buffer_that_cannot_grow_keeps_what_it_has),
        cmocka_unit_test(a_column_grows_one_by_one),
        cmocka_unit_test(a_column_that_overflows_stays_as_it_was),
        cmocka_unit_test(a_column_extended_by_nothing_is_still_readable),
        cmocka_unit_test(a_buffer_in_a_file_keeps_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
