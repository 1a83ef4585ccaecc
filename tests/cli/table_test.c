#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/command.h"
#include "cli/document.h"

static char *print(struct cvm_table *table)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    cvm_table_print(table, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void columns_are_padded_and_numbers_stand_right(void **state)
{
    static const char *const headers[] = {"name", ">count", "why"};
    struct cvm_table table;
    (void)state;
    cvm_table_init(&table, headers, 3);
    cvm_table_add(&table, "a");
    cvm_table_add_format(&table, "%d", 7);
    cvm_table_add(&table, "x");
    cvm_table_add(&table, "longer");
    cvm_table_add(&table, "1,234,567");
    cvm_table_add(&table, NULL);
    char *text = print(&table);
    assert_string_equal(text, "name        count  why\n"
                              "a               7  x\n"
                              "longer  1,234,567  \n");
    free(text);
}

static void width_is_counted_in_characters_not_bytes(void **state)
{
    static const char *const headers[] = {"n", "m"};
    struct cvm_table table;
    (void)state;
    cvm_table_init(&table, headers, 2);
    cvm_table_add(&table, "M\xc3\xbcller");
    cvm_table_add(&table, "1");
    cvm_table_add(&table, "Miller");
    cvm_table_add(&table, "2");
    char *text = print(&table);
    assert_string_equal(text, "n       m\n"
                              "M\xc3\xbcller  1\n"
                              "Miller  2\n");
    free(text);
}

static void a_table_without_rows_is_its_header(void **state)
{
    static const char *const headers[] = {"a", ">b"};
    struct cvm_table table;
    (void)state;
    cvm_table_init(&table, headers, 2);
    char *text = print(&table);
    assert_string_equal(text, "a  b\n");
    free(text);
}

static void numbers_for_people_are_grouped(void **state)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    (void)state;
    assert_string_equal(cvm_grouped(0, text), "0");
    assert_string_equal(cvm_grouped(999, text), "999");
    assert_string_equal(cvm_grouped(1000, text), "1,000");
    assert_string_equal(cvm_grouped(-1234567, text), "-1,234,567");
    assert_string_equal(cvm_grouped(INT64_MIN, text), "-9,223,372,036,854,775,808");
    assert_string_equal(cvm_money(1234.565, text), "1,234.57");
    assert_string_equal(cvm_money(-0.001, text), "0.00");
    assert_string_equal(cvm_money(-12.5, text), "-12.50");
    assert_string_equal(cvm_money(1e300, text), "1e+300");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_padded_and_numbers_stand_right),
        cmocka_unit_test(width_is_counted_in_characters_not_bytes),
        cmocka_unit_test(a_table_without_rows_is_its_header),
        cmocka_unit_test(numbers_for_people_are_grouped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
