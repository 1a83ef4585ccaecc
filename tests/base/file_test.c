#include "base/file.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char folder[64];
    char path[PATH_MAX];
    struct cvm_arena *arena;
    struct cvm_error err;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    (void)snprintf(f->folder, sizeof(f->folder), "/tmp/cvm_file_test_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    f->arena = cvm_arena_create((size_t)1 << 20);
    assert_non_null(f->arena);
    *state = f;
    return 0;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    (void)nftw(f->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    cvm_arena_destroy(f->arena);
    free(f);
    return 0;
}

/* A path inside the test's folder; valid until the next call. */
static const char *in(struct fixture *f, const char *name)
{
    (void)snprintf(f->path, sizeof(f->path), "%s/%s", f->folder, name);
    return f->path;
}

static void write_file(struct fixture *f, const char *name, const char *text)
{
    assert_int_equal(cvm_file_write(in(f, name), text, strlen(text), &f->err), CVM_OK);
}

static void check_file(struct fixture *f, const char *name, const char *expected)
{
    char *data = NULL;
    size_t length = 0;
    assert_int_equal(cvm_file_read(f->arena, in(f, name), 1000, &data, &length, &f->err), CVM_OK);
    assert_string_equal(data, expected);
    assert_int_equal(length, strlen(expected));
}

static void what_is_written_is_read_back(void **state)
{
    struct fixture *f = *state;
    assert_false(cvm_file_exists(in(f, "a")));
    write_file(f, "a", "hello");
    assert_true(cvm_file_exists(in(f, "a")));
    assert_false(cvm_file_is_folder(in(f, "a")));
    check_file(f, "a", "hello");
    write_file(f, "a", "");
    check_file(f, "a", "");
}

static void writing_leaves_nothing_but_the_file(void **state)
{
    struct fixture *f = *state;
    write_file(f, "a", "one");
    write_file(f, "a", "two");
    assert_int_equal(unlink(in(f, "a")), 0);
    assert_int_equal(rmdir(f->folder), 0);
}

static void a_file_keeps_its_mode_and_a_link_its_target(void **state)
{
    struct fixture *f = *state;
    char link[PATH_MAX];
    struct stat info;
    write_file(f, "a", "one");
    assert_int_equal(chmod(in(f, "a"), 0640), 0);
    (void)snprintf(link, sizeof(link), "%s/link", f->folder);
    assert_int_equal(symlink("a", link), 0);
    write_file(f, "link", "two");
    check_file(f, "a", "two");
    assert_int_equal(stat(in(f, "a"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    assert_int_equal(lstat(link, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

static void a_missing_file_is_not_found_and_a_large_one_is_over_the_limit(void **state)
{
    struct fixture *f = *state;
    char *data = NULL;
    size_t length = 7;
    assert_int_equal(cvm_file_read(f->arena, in(f, "none"), 10, &data, &length, &f->err),
                     CVM_E_NOT_FOUND);
    write_file(f, "a", "12345678901");
    assert_int_equal(cvm_file_read(f->arena, in(f, "a"), 10, &data, &length, &f->err), CVM_E_LIMIT);
    assert_int_equal(cvm_file_read(f->arena, f->folder, 10, &data, &length, &f->err),
                     CVM_E_INVALID);
    struct cvm_arena *tiny = cvm_arena_create(4);
    assert_int_equal(cvm_file_read(tiny, in(f, "a"), 100, &data, &length, &f->err), CVM_E_LIMIT);
    cvm_arena_destroy(tiny);
    assert_null(data);
    assert_int_equal(length, 7);
}

static void a_file_without_a_size_is_read_to_its_end(void **state)
{
    struct fixture *f = *state;
    char *data = NULL;
    size_t length = 0;
    assert_int_equal(cvm_file_read(f->arena, "/proc/self/status", 1 << 16, &data, &length, &f->err),
                     CVM_OK);
    assert_true(length > 100);
    assert_int_equal(cvm_file_read(f->arena, "/dev/zero", 10000, &data, &length, &f->err),
                     CVM_E_LIMIT);
}

static void a_device_is_written_and_not_replaced(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode)); /* else something before this test has replaced it */
    assert_int_equal(symlink("/dev/null", in(f, "null")), 0);
    write_file(f, "null", "x");
    assert_int_equal(lstat(in(f, "null"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(cvm_file_write("/dev/full", "x", 1, &f->err), CVM_E_LIMIT);
}

static void a_file_in_pieces_is_there_once_it_is_committed(void **state)
{
    struct fixture *f = *state;
    struct cvm_file_out *file = NULL;
    write_file(f, "a", "old");
    assert_int_equal(cvm_file_out_open(in(f, "a"), &file, &f->err), CVM_OK);
    assert_true(fputs("one ", cvm_file_out_stream(file)) >= 0);
    cvm_file_out_close(file);
    check_file(f, "a", "old");
    assert_int_equal(cvm_file_out_open(in(f, "a"), &file, &f->err), CVM_OK);
    assert_true(fputs("one ", cvm_file_out_stream(file)) >= 0);
    check_file(f, "a", "old");
    assert_true(fputs("two", cvm_file_out_stream(file)) >= 0);
    assert_int_equal(cvm_file_out_commit(file, &f->err), CVM_OK);
    cvm_file_out_close(file);
    cvm_file_out_close(NULL);
    check_file(f, "a", "one two");
    assert_int_equal(unlink(in(f, "a")), 0);
    assert_int_equal(rmdir(f->folder), 0); /* nothing else was left */
}

static void a_device_in_pieces_is_neither_replaced_nor_removed(void **state)
{
    struct fixture *f = *state;
    struct cvm_file_out *file = NULL;
    struct stat info;
    assert_int_equal(symlink("/dev/full", in(f, "full")), 0);
    assert_int_equal(cvm_file_out_open(in(f, "full"), &file, &f->err), CVM_OK);
    assert_true(fputs("x", cvm_file_out_stream(file)) >= 0);
    assert_int_equal(cvm_file_out_commit(file, &f->err), CVM_E_LIMIT);
    cvm_file_out_close(file);
    assert_int_equal(lstat(in(f, "full"), &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat("/dev/full", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
}

static void writing_where_it_cannot_be_fails_with_the_reason(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(cvm_file_write(in(f, "no/such/folder"), "x", 1, &f->err), CVM_E_NOT_FOUND);
    assert_non_null(strstr(f->err.message, "No such file or directory"));
    assert_int_equal(cvm_file_write(f->folder, "x", 1, &f->err), CVM_E_INVALID);
    write_file(f, "a", "x");
    assert_int_not_equal(cvm_file_write(in(f, "a/b"), "x", 1, &f->err), CVM_OK);
}

static void folders_are_made_with_their_parents(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(cvm_folder_create(in(f, "a/b//c/"), &f->err), CVM_OK);
    assert_true(cvm_file_is_folder(in(f, "a/b/c")));
    assert_int_equal(cvm_folder_create(in(f, "a/b"), &f->err), CVM_OK);
    write_file(f, "file", "x");
    assert_int_equal(cvm_folder_create(in(f, "file"), &f->err), CVM_E_INVALID);
    assert_int_equal(cvm_folder_create(in(f, "file/b"), &f->err), CVM_E_INVALID);
    assert_int_equal(cvm_folder_create("", &f->err), CVM_E_INVALID);
}

static void a_listing_is_sorted_and_as_deep_as_asked(void **state)
{
    struct fixture *f = *state;
    struct cvm_file_list list = {0};
    assert_int_equal(cvm_folder_list(f->arena, f->folder, 3, &list, &f->err), CVM_OK);
    assert_int_equal(list.count, 0);
    assert_int_equal(cvm_folder_create(in(f, "b/c"), &f->err), CVM_OK);
    assert_int_equal(cvm_folder_create(in(f, ".git"), &f->err), CVM_OK);
    const char *const names[] = {"z", "a", "b/x", "b/c/y", ".hidden", ".git/x", "B"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        write_file(f, names[i], "");
    }
    assert_int_equal(cvm_folder_list(f->arena, f->folder, 0, &list, &f->err), CVM_OK);
    assert_int_equal(list.count, 3);
    assert_int_equal(cvm_folder_list(f->arena, f->folder, 2, &list, &f->err), CVM_OK);
    const char *const expected[] = {"B", "a", "b/c/y", "b/x", "z"};
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < list.count; i++) {
        assert_string_equal(list.paths[i], expected[i]);
    }
}

static void a_listing_that_fails_leaves_the_output_untouched(void **state)
{
    struct fixture *f = *state;
    struct cvm_file_list list = {.count = 7};
    assert_int_equal(cvm_folder_list(f->arena, in(f, "none"), 0, &list, &f->err), CVM_E_NOT_FOUND);
    write_file(f, "a", "");
    struct cvm_arena *tiny = cvm_arena_create(16);
    assert_int_equal(cvm_folder_list(tiny, f->folder, 0, &list, &f->err), CVM_E_LIMIT);
    cvm_arena_destroy(tiny);
    assert_int_equal(list.count, 7);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_is_read_back),
        TEST(writing_leaves_nothing_but_the_file),
        TEST(a_file_keeps_its_mode_and_a_link_its_target),
        TEST(a_missing_file_is_not_found_and_a_large_one_is_over_the_limit),
        TEST(a_file_without_a_size_is_read_to_its_end),
        TEST(a_device_is_written_and_not_replaced),
        TEST(a_file_in_pieces_is_there_once_it_is_committed),
        TEST(a_device_in_pieces_is_neither_replaced_nor_removed),
        TEST(writing_where_it_cannot_be_fails_with_the_reason),
        TEST(folders_are_made_with_their_parents),
        TEST(a_listing_is_sorted_and_as_deep_as_asked),
        TEST(a_listing_that_fails_leaves_the_output_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
