#include "engine/pending.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "storage/plan_store.h"

void cvm_pending_init(struct cvm_pending *pending)
{
    cvm_column_init(&pending->contacts, sizeof(struct cvm_pending_contact));
}

void cvm_pending_finish(struct cvm_pending *pending)
{
    cvm_column_finish(&pending->contacts);
}

/* ---- loading ---- */

struct loading {
    struct cvm_pending *pending;
    const struct cvm_catalogue *catalogue;
};

/* The number of a word in the attribute's own list; NaN = the attribute can not say it. */
static double word_of(const struct cvm_catalogue *catalogue, int attribute, const char *word)
{
    const char *const *words =
        attribute == CVM_INDEX_NONE ? NULL : catalogue->attributes[attribute].words;
    for (size_t i = 0; words != NULL && word != NULL && words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            return (double)i;
        }
    }
    return NAN;
}

static enum cvm_status take_contact(void *state, const struct cvm_pending_row *row,
                                    struct cvm_error *err)
{
    struct loading *loading = state;
    const struct cvm_catalogue *catalogue = loading->catalogue;
    const struct cvm_contact_policy *policy = &catalogue->policy;
    int t = cvm_catalogue_treatment(catalogue, row->treatment);
    const struct cvm_treatment *treatment = t == CVM_INDEX_NONE ? NULL : &catalogue->treatments[t];
    void *slot = NULL;
    enum cvm_status status = cvm_column_extend(&loading->pending->contacts, 1, &slot, err);
    if (status != CVM_OK) {
        return status;
    }
    *(struct cvm_pending_contact *)slot = (struct cvm_pending_contact){
        .key = row->key,
        .day = row->as_of_day,
        .channel = word_of(catalogue, policy->channel_attribute, row->channel),
        .purpose = treatment == NULL ? NAN
                                     : word_of(catalogue, policy->purpose_attribute,
                                               cvm_purpose_words[treatment->purpose]),
        .action =
            treatment == NULL ? NAN : cvm_rule_code(treatment->action, strlen(treatment->action)),
    };
    return CVM_OK;
}

static int compare_numbers(double left, double right)
{
    return isnan(left) || isnan(right) ? isnan(left) - isnan(right)
                                       : (left > right) - (left < right);
}

static int compare_contacts(const void *a, const void *b)
{
    const struct cvm_pending_contact *left = a;
    const struct cvm_pending_contact *right = b;
    if (left->key != right->key) {
        return left->key > right->key ? 1 : -1;
    }
    if (left->day != right->day) {
        return left->day > right->day ? 1 : -1;
    }
    int order = compare_numbers(left->channel, right->channel);
    order = order != 0 ? order : compare_numbers(left->purpose, right->purpose);
    return order != 0 ? order : compare_numbers(left->action, right->action);
}

/* The first day that a feature which counts contacts looks at. */
static int32_t first_day(const struct cvm_catalogue *catalogue, int32_t as_of_day)
{
    const uint64_t contacts = UINT64_C(1) << catalogue->policy.source;
    int days = 1;
    for (size_t f = 0; f < catalogue->feature_count; f++) {
        const struct cvm_feature *feature = &catalogue->features[f];
        if (feature->rule.clause_count == 0 && feature->sources == contacts) {
            int window = feature->window_days == 0 ? catalogue->history_days : feature->window_days;
            days = window > days ? window : days;
        }
    }
    return as_of_day - days + 1;
}

static enum cvm_status load(struct cvm_pending *pending, struct cvm_store *store,
                            const struct cvm_catalogue *catalogue,
                            const struct cvm_pending_query *query, struct cvm_error *err)
{
    struct loading loading = {pending, catalogue};
    enum cvm_status status = cvm_decision_pending(store, query, take_contact, &loading, err);
    if (status == CVM_OK && pending->contacts.count > 0) {
        qsort(pending->contacts.buffer.data, pending->contacts.count,
              sizeof(struct cvm_pending_contact), compare_contacts);
    }
    return status;
}

enum cvm_status cvm_pending_load(struct cvm_pending *pending, struct cvm_store *store,
                                 const struct cvm_catalogue *catalogue, int32_t as_of_day,
                                 const char *except_run_id, struct cvm_error *err)
{
    if (catalogue->policy.source == CVM_INDEX_NONE) {
        return CVM_OK;
    }
    struct cvm_pending_query query = {
        .first_day = first_day(catalogue, as_of_day),
        .last_day = as_of_day,
        .last_key = INT64_MAX,
        .except_run_id = except_run_id,
    };
    return load(pending, store, catalogue, &query, err);
}

enum cvm_status cvm_pending_add_customer(struct cvm_pending *pending, struct cvm_store *store,
                                         const struct cvm_catalogue *catalogue, int32_t as_of_day,
                                         uint64_t key, struct cvm_error *err)
{
    if (catalogue->policy.source == CVM_INDEX_NONE) {
        return CVM_OK;
    }
    struct cvm_pending_query query = {
        .first_day = first_day(catalogue, as_of_day),
        .last_day = as_of_day,
        .first_key = key,
        .last_key = key,
    };
    return load(pending, store, catalogue, &query, err);
}

void cvm_pending_forget(struct cvm_pending *pending, uint64_t key, int32_t day)
{
    struct cvm_pending_contact *contacts =
        CVM_COLUMN_DATA(&pending->contacts, struct cvm_pending_contact);
    size_t kept = 0;
    for (size_t i = 0; i < pending->contacts.count; i++) {
        if (contacts[i].key != key || contacts[i].day != day) {
            contacts[kept++] = contacts[i];
        }
    }
    pending->contacts.count = kept;
}

/* ---- lending ---- */

static size_t first_of(const struct cvm_pending *pending, uint64_t key)
{
    const struct cvm_pending_contact *contacts =
        CVM_COLUMN_DATA(&pending->contacts, const struct cvm_pending_contact);
    size_t low = 0;
    size_t high = pending->contacts.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (contacts[middle].key < key) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Cells in ascending attribute. */
static size_t fill_cells(const struct cvm_contact_policy *policy,
                         const struct cvm_pending_contact *contact, struct cvm_packed_cell cells[3])
{
    const struct {
        int attribute;
        double value;
    } all[] = {
        {policy->channel_attribute, contact->channel},
        {policy->purpose_attribute, contact->purpose},
        {policy->action_attribute, contact->action},
    };
    size_t count = 0;
    for (size_t i = 0; i < 3; i++) {
        if (all[i].attribute == CVM_INDEX_NONE || isnan(all[i].value)) {
            continue;
        }
        size_t at = count++;
        for (; at > 0 && cells[at - 1].attribute > all[i].attribute; at--) {
            cells[at] = cells[at - 1];
        }
        cells[at] = (struct cvm_packed_cell){(uint16_t)all[i].attribute, all[i].value};
    }
    return count;
}

static uint64_t mix_number(uint64_t digest, double value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(bits));
    return cvm_hash_mix(digest, isnan(value) ? 1 : bits); /* no word has the bits 1 */
}

uint64_t cvm_pending_digest(const struct cvm_pending *pending, uint64_t key)
{
    const struct cvm_pending_contact *contacts =
        CVM_COLUMN_DATA(&pending->contacts, const struct cvm_pending_contact);
    uint64_t digest = 0;
    for (size_t i = first_of(pending, key); i < pending->contacts.count && contacts[i].key == key;
         i++) {
        digest = cvm_hash_mix(digest, (uint64_t)(uint32_t)contacts[i].day + 1);
        digest = mix_number(digest, contacts[i].channel);
        digest = mix_number(digest, contacts[i].purpose);
        digest = mix_number(digest, contacts[i].action);
    }
    return digest;
}

enum cvm_status cvm_pending_lend(const struct cvm_pending *pending,
                                 const struct cvm_catalogue *catalogue, uint64_t key,
                                 struct cvm_feature_builder *builder, struct cvm_error *err)
{
    const struct cvm_pending_contact *contacts =
        CVM_COLUMN_DATA(&pending->contacts, const struct cvm_pending_contact);
    enum cvm_status status = CVM_OK;
    for (size_t i = first_of(pending, key);
         status == CVM_OK && i < pending->contacts.count && contacts[i].key == key; i++) {
        struct cvm_packed_cell cells[3];
        size_t count = fill_cells(&catalogue->policy, &contacts[i], cells);
        struct cvm_feature_event event = {
            .source = catalogue->policy.source,
            .day = contacts[i].day,
            .cells = cells,
            .cell_count = count,
        };
        status = cvm_feature_builder_event(builder, &event, err);
    }
    return status;
}
