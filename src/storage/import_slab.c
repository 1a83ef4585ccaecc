#include "storage/import_slab.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_BYTES      ((size_t)1 << 20)
#define SLAB_CUSTOMERS  1024
#define TEXTS_BYTES_MAX ((size_t)4 << 30)
/* One id with more is a fault of the source (a test account, a missing id written as "0"), which
 * must not take the memory of the import. */
#define CUSTOMER_RECORDS_MAX 250000
#define CUSTOMER_BYTES_MAX   ((size_t)256 << 20)

struct cvm_import_slab *cvm_import_slab_create(void)
{
    struct cvm_import_slab *slab = calloc(1, sizeof(*slab));
    if (slab == NULL) {
        return NULL;
    }
    cvm_column_init(&slab->bytes, 8);
    cvm_column_init(&slab->items, sizeof(struct cvm_import_item));
    cvm_column_init(&slab->customers, sizeof(struct cvm_import_customer));
    cvm_column_init(&slab->existing, sizeof(struct cvm_import_existing));
    cvm_column_init(&slab->consents, sizeof(struct cvm_import_old_consent));
    cvm_column_init(&slab->inserts, sizeof(struct cvm_import_insert));
    cvm_column_init(&slab->consent_inserts, sizeof(struct cvm_import_insert));
    cvm_column_init(&slab->bodies, sizeof(struct cvm_import_body));
    cvm_column_init(&slab->events, sizeof(struct cvm_import_pack_event));
    slab->arena = cvm_arena_create(TEXTS_BYTES_MAX);
    if (slab->arena == NULL) {
        cvm_import_slab_destroy(slab);
        return NULL;
    }
    return slab;
}

void cvm_import_slab_destroy(struct cvm_import_slab *slab)
{
    if (slab == NULL) {
        return;
    }
    cvm_column_finish(&slab->bytes);
    cvm_column_finish(&slab->items);
    cvm_column_finish(&slab->customers);
    cvm_column_finish(&slab->existing);
    cvm_column_finish(&slab->consents);
    cvm_column_finish(&slab->inserts);
    cvm_column_finish(&slab->consent_inserts);
    cvm_column_finish(&slab->bodies);
    cvm_column_finish(&slab->events);
    cvm_arena_destroy(slab->arena);
    free(slab);
}

static void clear(struct cvm_import_slab *slab)
{
    slab->bytes.count = 0;
    slab->items.count = 0;
    slab->customers.count = 0;
    slab->existing.count = 0;
    slab->consents.count = 0;
    slab->inserts.count = 0;
    slab->consent_inserts.count = 0;
    slab->bodies.count = 0;
    slab->events.count = 0;
    slab->record_count = 0;
    cvm_arena_reset(slab->arena);
}

static enum cvm_status read_next(struct cvm_import_gathering *g, struct cvm_error *err)
{
    g->is_started = true;
    return cvm_sort_merge_next(g->merge, &g->next, err);
}

/* While the slab's bytes may still move, an item holds the offset of its record. */
static const struct cvm_import_record *record_at(const struct cvm_import_slab *slab,
                                                 const struct cvm_import_item *item)
{
    return (const struct cvm_import_record *)((const uint64_t *)slab->bytes.buffer.data +
                                              (uintptr_t)item->record);
}

static enum cvm_status take(struct cvm_import_slab *slab, const struct cvm_import_record *record,
                            struct cvm_error *err)
{
    void *room = NULL;
    void *item = NULL;
    size_t offset = slab->bytes.count;
    enum cvm_status status = cvm_column_extend(&slab->bytes, record->length / 8, &room, err);
    if (status == CVM_OK) {
        status = cvm_column_extend(&slab->items, 1, &item, err);
    }
    if (status != CVM_OK) {
        return status;
    }
    memcpy(room, record, record->length);
    *(struct cvm_import_item *)item = (struct cvm_import_item){
        .record = (const struct cvm_import_record *)offset,
        .identity = record->identity,
    };
    slab->record_count++;
    return CVM_OK;
}

static enum cvm_status reject(struct cvm_import_gathering *g, bool is_erased, struct cvm_error *err)
{
    const struct cvm_import_record *record = g->next;
    struct cvm_record_reject reject = {
        .source = record->source,
        .file = g->files[record->file],
        .record = record->record,
        /* File and number must do for who was erased: the id would be kept again. */
        .reason = is_erased ? "the customer was erased (--allow-erased takes such records)"
                            : "one customer has too many records in one import",
        .text = is_erased ? NULL : cvm_import_record_id(record),
        .length = is_erased ? 0 : record->id_length,
    };
    g->rejected[record->source]++;
    return cvm_import_rejects_add(g->rejects, &reject, err);
}

static enum cvm_status add_customer(struct cvm_import_slab *slab, size_t first_item,
                                    size_t item_count, struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&slab->customers, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_import_customer *)room =
            (struct cvm_import_customer){.first_item = first_item, .item_count = item_count};
    }
    return status;
}

/* Two ids with one key: rare enough for insertion by id, which keeps the order within each. */
static int compare_ids(const struct cvm_import_record *a, const struct cvm_import_record *b)
{
    return strcmp(cvm_import_record_id(a), cvm_import_record_id(b));
}

struct placed {
    const struct cvm_import_record *record;
    size_t place;
    struct cvm_import_item item;
};

static int compare_placed(const void *a, const void *b)
{
    const struct placed *left = a;
    const struct placed *right = b;
    int order = compare_ids(left->record, right->record);
    return order != 0 ? order : (left->place > right->place) - (left->place < right->place);
}

static enum cvm_status split_group(struct cvm_import_slab *slab, size_t first, size_t count,
                                   struct cvm_error *err)
{
    struct cvm_import_item *items = CVM_COLUMN_DATA(&slab->items, struct cvm_import_item) + first;
    bool is_one = true;
    for (size_t i = 1; is_one && i < count; i++) {
        is_one = compare_ids(record_at(slab, &items[0]), record_at(slab, &items[i])) == 0;
    }
    if (is_one) {
        return add_customer(slab, first, count, err);
    }
    struct placed *placed = CVM_NEW_ARRAY(slab->arena, count, struct placed);
    if (placed == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to tell apart customers with one key");
    }
    for (size_t i = 0; i < count; i++) {
        placed[i] = (struct placed){record_at(slab, &items[i]), i, items[i]};
    }
    qsort(placed, count, sizeof(*placed), compare_placed);
    size_t begin = 0;
    enum cvm_status status = CVM_OK;
    for (size_t i = 0; i < count; i++) {
        items[i] = placed[i].item;
    }
    for (size_t i = 1; status == CVM_OK && i <= count; i++) {
        if (i == count || compare_ids(placed[i].record, placed[begin].record) != 0) {
            status = add_customer(slab, first + begin, i - begin, err);
            begin = i;
        }
    }
    return status;
}

/* All records of one key. */
static enum cvm_status take_group(struct cvm_import_slab *slab, struct cvm_import_gathering *g,
                                  struct cvm_error *err)
{
    uint64_t key = g->next->key;
    size_t first = slab->items.count;
    size_t first_byte = slab->bytes.count;
    enum cvm_status status = CVM_OK;
    while (status == CVM_OK && g->next != NULL && g->next->key == key) {
        bool is_full = slab->items.count - first >= CUSTOMER_RECORDS_MAX ||
                       (slab->bytes.count - first_byte) * 8 >= CUSTOMER_BYTES_MAX;
        bool is_erased =
            g->erased != NULL &&
            cvm_erased_set_has(g->erased, key, cvm_import_record_id(g->next), g->next->id_length);
        status = is_full || is_erased ? reject(g, is_erased, err) : take(slab, g->next, err);
        status = status == CVM_OK ? read_next(g, err) : status;
    }
    size_t count = slab->items.count - first;
    return status == CVM_OK && count > 0 ? split_group(slab, first, count, err) : status;
}

static void set_pointers(struct cvm_import_slab *slab)
{
    struct cvm_import_item *items = CVM_COLUMN_DATA(&slab->items, struct cvm_import_item);
    struct cvm_import_customer *customers =
        CVM_COLUMN_DATA(&slab->customers, struct cvm_import_customer);
    for (size_t i = 0; i < slab->items.count; i++) {
        items[i].record = record_at(slab, &items[i]);
    }
    for (size_t c = 0; c < slab->customers.count; c++) {
        const struct cvm_import_record *record = items[customers[c].first_item].record;
        customers[c].base_key = record->key;
        customers[c].id = cvm_import_record_id(record);
    }
}

enum cvm_status cvm_import_slab_fill(struct cvm_import_slab *slab, struct cvm_import_gathering *g,
                                     struct cvm_error *err)
{
    clear(slab);
    enum cvm_status status = g->is_started ? CVM_OK : read_next(g, err);
    while (status == CVM_OK && g->next != NULL && slab->customers.count < SLAB_CUSTOMERS &&
           slab->bytes.count * 8 < SLAB_BYTES) {
        status = take_group(slab, g, err);
    }
    if (status == CVM_OK) {
        set_pointers(slab);
    }
    return status;
}
