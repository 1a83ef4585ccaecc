/* One writer in one process at a time. */
#include "storage/store.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/store_support.h"

struct child {
    pid_t pid;
    int from; /* a byte when it holds the store */
    int to;   /* a byte lets it go */
};

/* A process that opens the store for writing, says so, and closes it when told. */
static struct child start_writer(const char *url)
{
    int from[2];
    int to[2];
    assert_int_equal(pipe(from), 0);
    assert_int_equal(pipe(to), 0);
    (void)fflush(NULL);
    struct child child = {.pid = fork(), .from = from[0], .to = to[1]};
    assert_true(child.pid >= 0);
    if (child.pid == 0) {
        struct cvm_store *store = NULL;
        struct cvm_store_options options = {.access = CVM_DB_WRITE, .clock = cvm_clock_system};
        char byte = 0;
        (void)close(to[1]);
        if (cvm_store_open(url, &options, &store, NULL) != CVM_OK || write(from[1], "x", 1) != 1 ||
            read(to[0], &byte, 1) < 0) {
            _exit(1);
        }
        cvm_store_close(store);
        _exit(0);
    }
    (void)close(from[1]);
    (void)close(to[0]);
    char byte = 0;
    assert_int_equal(read(child.from, &byte, 1), 1);
    return child;
}

static void end_writer(struct child *child)
{
    int result = 0;
    (void)close(child->from);
    (void)close(child->to);
    assert_int_equal(waitpid(child->pid, &result, 0), child->pid);
}

static enum cvm_status try_write(const char *url, int64_t wait_ms, struct cvm_error *err)
{
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .lock_wait_ms = wait_ms, .clock = cvm_clock_system};
    enum cvm_status status = cvm_store_open(url, &options, &store, err);
    cvm_store_close(store);
    return status;
}

static void a_second_writer_is_told_who_writes(void **state)
{
    (void)state;
    const char *url = support_file_url("lock");
    struct cvm_error err = {0};
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    struct child child = start_writer(url);
    char pid[32];
    (void)snprintf(pid, sizeof(pid), "process %ld ", (long)child.pid);
    assert_int_equal(try_write(url, 0, &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.message, pid));
    assert_non_null(strstr(err.message, "lock_test"));
    assert_int_equal(try_write(url, 50, &err), CVM_E_UNAVAILABLE);
    int from = 0;
    assert_int_equal(write(child.to, "x", 1), 1);
    /* the migration waits by itself */
    ASSERT_OK(cvm_store_migrate(url, 0, &from, &from, ERR));
    end_writer(&child);
    ASSERT_OK(try_write(url, 0, ERR));
}

static void a_writer_waits_for_the_one_before(void **state)
{
    (void)state;
    const char *url = support_file_url("wait");
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    struct child child = start_writer(url);
    assert_int_equal(write(child.to, "x", 1), 1);
    ASSERT_OK(try_write(url, 60000, ERR));
    end_writer(&child);
}

static void a_dead_writer_blocks_nobody(void **state)
{
    (void)state;
    const char *url = support_file_url("dead");
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    struct child child = start_writer(url);
    assert_int_equal(kill(child.pid, SIGKILL), 0);
    end_writer(&child);
    ASSERT_OK(try_write(url, 0, ERR));
}

static void one_process_can_not_write_twice_either(void **state)
{
    (void)state;
    const char *url = support_file_url("twice");
    struct cvm_error err = {0};
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, true);
    assert_int_equal(try_write(url, 0, &err), CVM_E_UNAVAILABLE);
    cvm_store_close(store);
    ASSERT_OK(try_write(url, 0, ERR));
}

static void readers_need_no_lock(void **state)
{
    (void)state;
    const char *url = support_file_url("readers");
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    struct child child = start_writer(url);
    struct cvm_store *reader = support_open_url(url, CVM_DB_READ, false);
    assert_int_equal(support_number(cvm_store_db(reader), "SELECT count(*) FROM audit"), 0);
    cvm_store_close(reader);
    end_writer(&child);
}

static void processes_can_not_share_a_file(void **state)
{
    (void)state;
    const char *url = support_file_url("shared");
    struct cvm_error err = {0};
    struct cvm_store *store = NULL;
    struct cvm_store_options options = {.access = CVM_DB_SHARED, .clock = cvm_clock_system};
    cvm_store_close(support_open_url(url, CVM_DB_WRITE, true));
    struct child child = start_writer(url);
    assert_int_equal(cvm_store_open(url, &options, &store, &err), CVM_E_UNAVAILABLE);
    assert_non_null(strstr(err.hint, "PostgreSQL"));
    end_writer(&child);
    ASSERT_OK(cvm_store_open(url, &options, &store, ERR)); /* one process may: it writes alone */
    assert_int_equal(cvm_db_access_of(cvm_store_db(store)), CVM_DB_WRITE);
    assert_int_equal(try_write(url, 0, &err), CVM_E_UNAVAILABLE);
    cvm_store_close(store);
}

/* A clock that stands still must not make the wait endless. */
static void a_wait_ends_also_when_the_clock_stands_still(void **state)
{
    (void)state;
    const char *url = support_file_url("still");
    struct cvm_store *store = support_open_url(url, CVM_DB_WRITE, true);
    struct cvm_store *second = NULL;
    struct cvm_error err = {0};
    struct cvm_store_options options = {
        .access = CVM_DB_WRITE, .lock_wait_ms = 60, .clock = cvm_clock_fixed(&support_now_ms)};
    assert_int_equal(cvm_store_open(url, &options, &second, &err), CVM_E_UNAVAILABLE);
    assert_null(second);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_writer_is_told_who_writes),
        cmocka_unit_test(a_writer_waits_for_the_one_before),
        cmocka_unit_test(a_dead_writer_blocks_nobody),
        cmocka_unit_test(one_process_can_not_write_twice_either),
        cmocka_unit_test(readers_need_no_lock),
        cmocka_unit_test(processes_can_not_share_a_file),
        cmocka_unit_test(a_wait_ends_also_when_the_clock_stands_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
