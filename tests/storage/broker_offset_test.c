/* Where work goes on in a log of messages, kept with the work. */
#include "storage/broker_offset.h"

#include <string.h>

#include "storage/turn.h"
#include "support/store_support.h"

static void move(struct cvm_store *store, const char *queue, int64_t partition_no, int64_t next)
{
    struct cvm_broker_offset offset = {queue, partition_no, next};
    ASSERT_OK(cvm_broker_offset_move(store, &offset, ERR));
}

static int64_t next_of(struct cvm_store *store, const char *queue, int64_t partition_no)
{
    int64_t next = -1;
    ASSERT_OK(cvm_broker_offset_get(store, queue, partition_no, &next, ERR));
    return next;
}

static void an_offset_is_one_of_its_queue_and_partition_and_only_grows(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    int64_t next = 77;
    assert_int_equal(cvm_broker_offset_get(store, "data", 0, &next, NULL), CVM_E_NOT_FOUND);
    assert_int_equal(next, 77);
    move(store, "data", 0, 5);
    move(store, "data", 65536, 9);
    move(store, "treatment", 0, INT64_C(1) << 40);
    assert_int_equal(next_of(store, "data", 0), 5);
    move(store, "data", 0, 4); /* who lost the partition comes late */
    move(store, "data", 0, 5);
    assert_int_equal(next_of(store, "data", 0), 5);
    move(store, "data", 0, 6);
    assert_int_equal(next_of(store, "data", 0), 6);
    assert_int_equal(next_of(store, "data", 65536), 9);
    assert_true(next_of(store, "treatment", 0) == INT64_C(1) << 40);
    assert_false(cvm_db_in_transaction(cvm_store_db(store)));
    cvm_store_close(store);
}

static bool begin(struct cvm_store *store, unsigned char number, int64_t next,
                  struct cvm_turn_transaction *turn)
{
    struct cvm_broker_offset offset = {"data", 3, next};
    struct cvm_turn_key key = {.consumer = "data", .offset = &offset};
    memset(key.message_id, number, sizeof(key.message_id));
    ASSERT_OK(cvm_turn_begin(store, &key, turn, ERR));
    return turn->is_new;
}

static void an_offset_is_kept_with_its_turn_or_not_at_all(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_turn_transaction turn;
    int64_t next = 0;
    assert_true(begin(store, 1, 11, &turn));
    cvm_turn_abandon(&turn);
    assert_int_equal(cvm_broker_offset_get(store, "data", 3, &next, NULL), CVM_E_NOT_FOUND);
    assert_true(begin(store, 1, 11, &turn));
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    assert_int_equal(next_of(store, "data", 3), 11);
    assert_false(begin(store, 1, 12, &turn)); /* sent twice: nothing is open, the caller moves it */
    assert_int_equal(next_of(store, "data", 3), 11);
    cvm_store_close(store);
}

static void of_turns_that_share_a_transaction_one_undoes_its_own_offset(void **state)
{
    (void)state;
    struct cvm_store *store = support_fresh();
    struct cvm_turn_transaction turn;
    support_begin(store);
    assert_true(begin(store, 1, 21, &turn));
    ASSERT_OK(cvm_turn_commit(&turn, ERR));
    assert_true(begin(store, 2, 22, &turn));
    cvm_turn_abandon(&turn);
    support_commit(store);
    assert_int_equal(next_of(store, "data", 3), 21);
    cvm_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offset_is_one_of_its_queue_and_partition_and_only_grows),
        cmocka_unit_test(an_offset_is_kept_with_its_turn_or_not_at_all),
        cmocka_unit_test(of_turns_that_share_a_transaction_one_undoes_its_own_offset),
    };
    return SUPPORT_RUN("broker_offset", tests);
}
