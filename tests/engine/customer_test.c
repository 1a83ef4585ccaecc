/* One customer through a cache: the same bits as without one, and never those of an older version.
 */
#include "run_base.h"

#include "engine/customer.h"
#include "engine/pending.h"
#include "storage/cache.h"

#define CUSTOMERS 200

static int set_up(void **state)
{
    *state = base_create(CUSTOMERS, NULL);
    return 0;
}

static int tear_down(void **state)
{
    base_destroy(*state);
    return 0;
}

static struct cvm_cache *open_cache(void)
{
    struct cvm_cache *cache = NULL;
    struct cvm_error err;
    must(cvm_cache_open("memory:4MB", &(struct cvm_cache_options){0}, &cache, &err), &err);
    return cache;
}

static struct cvm_chunk *read_customer(struct cvm_engine *engine, int64_t number)
{
    struct cvm_feature_window window = {AS_OF, CVM_DAY_NONE, NULL};
    struct cvm_chunk *chunk = NULL;
    struct cvm_error err;
    char id[CVM_WORLD_ID_SIZE];
    uint64_t key = 0;
    cvm_world_customer_id(number, id);
    must(cvm_customer_find(engine->readers[0], id, &key, &err), &err);
    must(cvm_engine_customer(engine, key, window, &chunk, &err), &err);
    return chunk;
}

static void assert_same(const struct cvm_chunk *one, const struct cvm_chunk *other)
{
    assert_int_equal(one->count, 1);
    assert_int_equal(other->count, 1);
    assert_true(one->keys[0] == other->keys[0]);
    assert_int_equal(one->event_counts[0], other->event_counts[0]);
    assert_string_equal(cvm_chunk_id(one, 0), cvm_chunk_id(other, 0));
    const struct cvm_consent *mine = &one->consents[0];
    const struct cvm_consent *others = &other->consents[0];
    assert_int_equal(mine->recorded, others->recorded);
    assert_int_equal(mine->granted, others->granted);
    assert_int_equal(mine->updated_day, others->updated_day);
    assert_int_equal(mine->quiet_start_min, others->quiet_start_min);
    assert_int_equal(mine->quiet_end_min, others->quiet_end_min);
    assert_int_equal(mine->preferred_time, others->preferred_time);
    assert_int_equal(mine->has_record, others->has_record);
    assert_string_equal(mine->language, others->language);
    assert_memory_equal(one->features, other->features, one->feature_count * sizeof(double));
}

static void a_customer_from_the_cache_has_the_same_bits(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 64);
    struct cvm_cache *cache = open_cache();
    for (int64_t customer = 0; customer < CUSTOMERS; customer++) {
        engine->cache = NULL;
        struct cvm_chunk *plain = read_customer(engine, customer);
        engine->cache = cache;
        struct cvm_chunk *made = read_customer(engine, customer);
        struct cvm_chunk *kept = read_customer(engine, customer);
        assert_same(made, plain);
        assert_same(kept, plain);
        cvm_chunk_destroy(plain);
        cvm_chunk_destroy(made);
        cvm_chunk_destroy(kept);
    }
    assert_int_equal(cvm_cache_counts_of(cache).hits, CUSTOMERS);
    assert_int_equal(cvm_cache_counts_of(cache).puts, CUSTOMERS);
    engine->cache = NULL;
    cvm_engine_close(engine);
    cvm_cache_close(cache);
}

/* Contacts that are released and not yet reported count in features, and no batch tells of them. */
static void contacts_that_are_lent_are_part_of_the_name(void **state)
{
    const struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 64);
    struct cvm_cache *cache = open_cache();
    struct cvm_pending pending;
    void *slot = NULL;
    struct cvm_error err;
    engine->cache = cache;
    struct cvm_chunk *before = read_customer(engine, 7);
    cvm_pending_init(&pending);
    must(cvm_column_extend(&pending.contacts, 1, &slot, &err), &err);
    *(struct cvm_pending_contact *)slot =
        (struct cvm_pending_contact){.key = before->keys[0], .day = AS_OF - 1, .action = 5};
    engine->pending = &pending;
    struct cvm_chunk *lent = read_customer(engine, 7);
    engine->cache = NULL;
    struct cvm_chunk *plain = read_customer(engine, 7);
    assert_same(lent, plain);
    assert_memory_not_equal(lent->features, before->features,
                            before->feature_count * sizeof(double));
    assert_int_equal(cvm_cache_counts_of(cache).hits, 0);
    cvm_chunk_destroy(before);
    cvm_chunk_destroy(lent);
    cvm_chunk_destroy(plain);
    cvm_pending_finish(&pending);
    cvm_engine_close(engine);
    cvm_cache_close(cache);
}

static void nothing_of_before_an_import_is_read_after_it(void **state)
{
    struct base *base = *state;
    struct cvm_engine *engine = open_engine(base, 1, 64);
    struct cvm_cache *cache = open_cache();
    engine->cache = cache;
    for (int round = 0; round < 2; round++) {
        for (int again = 0; again < 2; again++) {
            for (int64_t customer = 0; customer < 20; customer++) {
                cvm_chunk_destroy(read_customer(engine, customer));
            }
        }
        assert_int_equal(cvm_cache_counts_of(cache).hits, 20 * (round + 1));
        assert_int_equal(cvm_cache_counts_of(cache).stale, 20 * round);
        base_import(base, CUSTOMERS + round, 1);
    }
    engine->cache = NULL;
    cvm_engine_close(engine);
    cvm_cache_close(cache);
}

#define WITH_BASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BASE(a_customer_from_the_cache_has_the_same_bits),
        WITH_BASE(contacts_that_are_lent_are_part_of_the_name),
        WITH_BASE(nothing_of_before_an_import_is_read_after_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
