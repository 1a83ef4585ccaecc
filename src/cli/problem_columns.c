/* problem_columns.c - the customers of values.csv in ascending order of key, as the solver wants
 * them: nothing of the order of the file is left. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/problem_reading.h"
#include "storage/customers.h"

struct place {
    uint64_t word; /* compared first */
    uint32_t customer;
};

struct ordering {
    const char *const *ids;
};

static int compare_places(const void *a, const void *b, void *state)
{
    const struct place *left = a;
    const struct place *right = b;
    const struct ordering *ordering = state;
    if (left->word != right->word) {
        return left->word < right->word ? -1 : 1;
    }
    return strcmp(ordering->ids[left->customer], ordering->ids[right->customer]);
}

/* By one byte; whether anything may have moved, to `to`. */
static bool sort_by_byte(const struct place *from, struct place *to, size_t count, int shift)
{
    size_t starts[257] = {0};
    for (size_t i = 0; i < count; i++) {
        starts[(from[i].word >> shift & 0xff) + 1]++;
    }
    for (size_t b = 1; b <= 256; b++) {
        if (starts[b] == count) {
            return false;
        }
        starts[b] += starts[b - 1];
    }
    for (size_t i = 0; i < count; i++) {
        to[starts[from[i].word >> shift & 0xff]++] = from[i];
    }
    return true;
}

/* A byte of the word at a time, least first, which for millions of them beats comparing; then the
 * few with equal words by id. `scratch` is as large as `places`. */
static void sort_places(struct place *places, struct place *scratch, size_t count,
                        const char *const *ids)
{
    struct ordering ordering = {ids};
    struct place *from = places;
    struct place *to = scratch;
    for (int shift = 0; shift < 64; shift += 8) {
        if (sort_by_byte(from, to, count, shift)) {
            struct place *swapped = from;
            from = to;
            to = swapped;
        }
    }
    if (from != places) {
        memcpy(places, from, count * sizeof(*places));
    }
    for (size_t first = 0, end = 0; first < count; first = end) {
        for (end = first + 1; end < count && places[end].word == places[first].word; end++) {
        }
        if (end - first > 1) {
            qsort_r(places + first, end - first, sizeof(*places), compare_places, &ordering);
        }
    }
}

/* What building the columns needs beside the reader and the values. */
struct building {
    struct cvm_values_reader *reader;
    struct cvm_problem_values *values;
    size_t count;
    struct cvm_buffer places;  /* struct place */
    struct cvm_buffer scratch; /* the same */
    struct cvm_buffer ids;     /* const char *, per record of the file */
    struct cvm_error *err;
};

static enum cvm_status sort_by_key(struct building *b)
{
    const struct cvm_values_reader *r = b->reader;
    struct place *places = b->places.data;
    const char **ids = b->ids.data;
    const uint64_t *at = CVM_COLUMN_DATA(&r->text_at, uint64_t);
    for (size_t i = 0; i < b->count; i++) {
        ids[i] = CVM_COLUMN_DATA(&r->texts, char) + at[i];
        places[i].word = cvm_customer_key(ids[i], strlen(ids[i])) & r->key_mask;
        places[i].customer = (uint32_t)i;
    }
    struct ordering ordering = {ids};
    sort_places(places, b->scratch.data, b->count, ids);
    for (size_t i = 1; i < b->count; i++) {
        const uint32_t *lines = CVM_COLUMN_DATA(&r->lines, uint32_t);
        uint32_t one = lines[places[i - 1].customer];
        uint32_t other = lines[places[i].customer];
        if (compare_places(&places[i - 1], &places[i], &ordering) == 0) {
            enum cvm_status status = CVM_FAIL(
                b->err, CVM_E_INVALID, "customer '%s' is there twice, in lines %u and %u",
                ids[places[i].customer], one < other ? one : other, one < other ? other : one);
            return cvm_error_where(b->err, status, "%s:%u", r->file->values_path,
                                   one < other ? other : one);
        }
    }
    return CVM_OK;
}

/* Ids mostly begin alike; the 8 bytes behind that decide nearly always. */
static uint64_t word_behind(const char *id, size_t prefix)
{
    uint64_t word = 0;
    for (size_t i = 0; i < 8; i++) {
        unsigned char byte = (unsigned char)id[prefix];
        word = word << 8 | byte;
        prefix += byte != 0 ? 1 : 0;
    }
    return word;
}

static size_t common_prefix(const char *const *ids, size_t count)
{
    size_t prefix = count == 0 ? 0 : strlen(ids[0]);
    for (size_t i = 1; i < count && prefix > 0; i++) {
        size_t length = 0;
        while (length < prefix && ids[i][length] == ids[0][length]) {
            length++;
        }
        prefix = length;
    }
    return prefix;
}

/* Also the places are used again. */
static void fill_ids(struct building *b)
{
    struct place *places = b->places.data;
    const char **from = b->ids.data;
    const char **ids = b->values->ids.data;
    uint64_t *keys = b->values->keys.data;
    uint32_t *by_id = b->values->by_id.data;
    size_t prefix = common_prefix(from, b->count);
    for (size_t i = 0; i < b->count; i++) {
        bool is_taken = i > 0 && places[i].word <= keys[i - 1];
        keys[i] = is_taken ? keys[i - 1] + 1 : places[i].word;
        ids[i] = from[places[i].customer];
    }
    for (size_t i = 0; i < b->count; i++) {
        places[i] = (struct place){word_behind(ids[i], prefix), (uint32_t)i};
    }
    sort_places(places, b->scratch.data, b->count, ids);
    for (size_t i = 0; i < b->count; i++) {
        by_id[i] = places[i].customer;
    }
}

static void fill_values(struct building *b)
{
    const struct place *places = b->places.data;
    const double *from = CVM_COLUMN_DATA(&b->reader->numbers, double);
    size_t treatments = b->reader->file->treatment_count;
    size_t padded = (b->count + CVM_PROBLEM_BLOCK - 1) / CVM_PROBLEM_BLOCK * CVM_PROBLEM_BLOCK;
    float *values = b->values->values.data;
    double *exact = b->values->exact.data;
    struct cvm_problem shape = {.treatment_count = treatments};
    for (size_t i = 0; i < padded; i++) {
        size_t at = cvm_problem_at(&shape, i, 0);
        const double *own = i < b->count ? from + (size_t)places[i].customer * treatments : NULL;
        for (size_t t = 0; t < treatments; t++, at += CVM_PROBLEM_BLOCK) {
            double value = own != NULL ? own[t] : NAN;
            exact[at] = isnan(value) ? (double)CVM_PROBLEM_INELIGIBLE : value;
            values[at] = (float)exact[at];
        }
    }
}

static int compare_class_rows(const void *a, const void *b, void *state)
{
    const struct cvm_values_reader *r = state;
    const uint64_t *left = r->class_rows[*(const uint16_t *)a];
    const uint64_t *right = r->class_rows[*(const uint16_t *)b];
    for (size_t i = 0; i < CVM_PROBLEM_ROWS_MAX / 64; i++) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}

/* Numbered anew, so that the order of the file does not show. */
static void fill_classes(struct building *b)
{
    struct cvm_values_reader *r = b->reader;
    const struct place *places = b->places.data;
    const uint16_t *from = CVM_COLUMN_DATA(&r->classes, uint16_t);
    uint16_t *to = b->values->classes.data;
    uint16_t order[CVM_PROBLEM_CLASSES_MAX];
    uint16_t renamed[CVM_PROBLEM_CLASSES_MAX];
    for (size_t c = 0; c < r->class_count; c++) {
        order[c] = (uint16_t)c;
    }
    qsort_r(order, r->class_count, sizeof(order[0]), compare_class_rows, r);
    for (size_t c = 0; c < r->class_count; c++) {
        renamed[order[c]] = (uint16_t)c;
        memcpy(b->values->class_rows[c], r->class_rows[order[c]], sizeof(r->class_rows[0]));
    }
    for (size_t i = 0; i < b->count; i++) {
        to[i] = renamed[from[places[i].customer]];
    }
    b->values->class_count = r->class_count > 0 ? r->class_count : 1;
}

/* Numbered in the order of their first customers by key. */
static enum cvm_status fill_groups(struct building *b)
{
    const struct place *places = b->places.data;
    const struct cvm_group_hash *hashes =
        CVM_COLUMN_DATA(&b->reader->groups, struct cvm_group_hash);
    uint32_t *groups = b->values->groups.data;
    struct cvm_buffer table = {0}; /* first customer of a group + 1 */
    size_t slots = 16;
    while (slots < 2 * b->count) {
        slots *= 2;
    }
    enum cvm_status status = cvm_buffer_reserve(&table, slots * sizeof(uint32_t), b->err);
    if (status != CVM_OK) {
        return status;
    }
    uint32_t *firsts = table.data;
    for (size_t i = 0; i < b->count; i++) {
        const struct cvm_group_hash *hash = &hashes[places[i].customer];
        if (hash->a == 0) {
            groups[i] = CVM_NO_GROUP;
            continue;
        }
        size_t slot = hash->b & (slots - 1);
        while (firsts[slot] != 0 &&
               memcmp(&hashes[places[firsts[slot] - 1].customer], hash, sizeof(*hash)) != 0) {
            slot = (slot + 1) & (slots - 1);
        }
        if (firsts[slot] == 0) {
            firsts[slot] = (uint32_t)i + 1;
            groups[i] = (uint32_t)b->values->group_count++;
        } else {
            groups[i] = groups[firsts[slot] - 1];
        }
    }
    cvm_buffer_finish(&table);
    return CVM_OK;
}

static enum cvm_status reserve(struct building *b)
{
    struct cvm_problem_values *v = b->values;
    const struct cvm_values_reader *r = b->reader;
    size_t blocks = b->count / CVM_PROBLEM_BLOCK + 1;
    size_t pairs = blocks * CVM_PROBLEM_BLOCK * r->file->treatment_count;
    const struct {
        struct cvm_buffer *buffer;
        size_t bytes;
    } parts[] = {
        {&b->places, (b->count + 1) * sizeof(struct place)},
        {&b->scratch, (b->count + 1) * sizeof(struct place)},
        {&b->ids, (b->count + 1) * sizeof(char *)},
        {&v->values, pairs * sizeof(float)},
        {&v->exact, pairs * sizeof(double)},
        {&v->keys, (b->count + 1) * sizeof(uint64_t)},
        {&v->amounts, r->has_amounts ? (b->count + 1) * sizeof(double) : 0},
        {&v->classes, r->condition_count > 0 ? (b->count + 1) * sizeof(uint16_t) : 0},
        {&v->groups, r->has_groups ? (b->count + 1) * sizeof(uint32_t) : 0},
        {&v->ids, (b->count + 1) * sizeof(char *)},
        {&v->by_id, (b->count + 1) * sizeof(uint32_t)},
    };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        enum cvm_status status = cvm_buffer_reserve(parts[i].buffer, parts[i].bytes, b->err);
        if (status != CVM_OK) {
            return status;
        }
    }
    return CVM_OK;
}

static enum cvm_status build(struct building *b)
{
    const struct place *places = NULL;
    enum cvm_status status = reserve(b);
    if (status == CVM_OK) {
        status = sort_by_key(b);
    }
    if (status != CVM_OK) {
        return status;
    }
    places = b->places.data;
    fill_values(b);
    cvm_column_finish(&b->reader->numbers); /* the largest, and done with */
    for (size_t i = 0; b->reader->has_amounts && i < b->count; i++) {
        ((double *)b->values->amounts.data)[i] =
            CVM_COLUMN_DATA(&b->reader->amounts, double)[places[i].customer];
    }
    if (b->reader->condition_count > 0) {
        fill_classes(b);
    }
    if (b->reader->has_groups) {
        status = fill_groups(b);
    }
    fill_ids(b);
    return status;
}

enum cvm_status cvm_values_reader_end(struct cvm_values_reader *reader,
                                      struct cvm_problem_values *out_values, struct cvm_error *err)
{
    struct building b = {
        .reader = reader, .values = out_values, .count = reader->count, .err = err};
    memset(out_values, 0, sizeof(*out_values));
    if (reader->columns == NULL) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_INVALID, "'%s' is empty", reader->file->values_path);
        return cvm_error_hint(err, status,
                              "Its first line names the columns: customer_id, segment, "
                              "high_value, amount, and one per treatment.");
    }
    out_values->customer_count = reader->count;
    out_values->amount_max = reader->amount_max;
    out_values->class_count = 1;
    enum cvm_status status = build(&b);
    cvm_buffer_finish(&b.places);
    cvm_buffer_finish(&b.scratch);
    cvm_buffer_finish(&b.ids);
    out_values->texts = reader->texts; /* the ids point into it */
    cvm_column_init(&reader->texts, 1);
    return status;
}

void cvm_problem_values_finish(struct cvm_problem_values *values)
{
    cvm_buffer_finish(&values->values);
    cvm_buffer_finish(&values->exact);
    cvm_buffer_finish(&values->keys);
    cvm_buffer_finish(&values->amounts);
    cvm_buffer_finish(&values->classes);
    cvm_buffer_finish(&values->groups);
    cvm_buffer_finish(&values->ids);
    cvm_buffer_finish(&values->by_id);
    cvm_column_finish(&values->texts);
}
