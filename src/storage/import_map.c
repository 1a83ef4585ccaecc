/* import_map.c - a record's way from text to canonical form: parse, find its keys, fill values,
 * keep what is unknown, lay it all out in one run of bytes. */
#include "storage/import_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/csv.h"
#include "base/date.h"
#include "base/json_writer.h"
#include "storage/customers.h"
#include "storage/import_mapper.h"

#define ARENA_BYTES_MIN ((size_t)16 << 20)
/* A tree needs at most so many times the bytes of its text; more is a hostile record. */
#define ARENA_PER_BYTE 80

/* ---- life ---- */

static bool create_counts(struct cvm_mapper *mapper)
{
    const struct cvm_catalogue *catalogue = mapper->plan->catalogue;
    mapper->counts = calloc(catalogue->source_count + 1, sizeof(*mapper->counts));
    for (size_t s = 0; mapper->counts != NULL && s < catalogue->source_count; s++) {
        struct cvm_import_counts *counts = &mapper->counts[s];
        counts->first_day = CVM_DAY_NONE;
        counts->last_day = CVM_DAY_NONE;
        counts->missing = calloc(catalogue->sources[s].field_count + 1, sizeof(int64_t));
        if (counts->missing == NULL) {
            return false;
        }
    }
    return mapper->counts != NULL;
}

static bool create_arrays(struct cvm_mapper *mapper)
{
    const struct cvm_import_plan *plan = mapper->plan;
    size_t slots = 1;
    size_t paths = 1;
    size_t fields = 1;
    for (size_t s = 0; s < plan->catalogue->source_count; s++) {
        const struct cvm_import_source *source = &plan->sources[s];
        slots = source->slot_count > slots ? source->slot_count : slots;
        paths = source->path_count > paths ? source->path_count : paths;
        fields = source->source->field_count > fields ? source->source->field_count : fields;
    }
    mapper->slots = calloc(slots, sizeof(*mapper->slots));
    mapper->is_consumed = calloc(slots, sizeof(bool));
    mapper->is_used = calloc(paths, sizeof(bool));
    mapper->values = calloc(fields, sizeof(*mapper->values));
    return mapper->slots != NULL && mapper->is_consumed != NULL && mapper->is_used != NULL &&
           mapper->values != NULL;
}

struct cvm_mapper *cvm_mapper_create(const struct cvm_import_plan *plan,
                                     const struct cvm_mapper_options *options)
{
    struct cvm_mapper *mapper = calloc(1, sizeof(*mapper));
    if (mapper == NULL) {
        return NULL;
    }
    size_t arena_bytes = options->record_bytes_max * ARENA_PER_BYTE;
    mapper->plan = plan;
    mapper->window = options->window;
    mapper->first_days = options->first_days;
    mapper->key_mask = options->key_bits >= 63 ? INT64_MAX : (UINT64_C(1) << options->key_bits) - 1;
    mapper->arena = cvm_arena_create(arena_bytes > ARENA_BYTES_MIN ? arena_bytes : ARENA_BYTES_MIN);
    mapper->header_arena = cvm_arena_create(ARENA_BYTES_MIN);
    mapper->reader = cvm_json_reader_create(options->record_bytes_max + 1);
    cvm_text_init(&mapper->attributes, 0);
    cvm_text_init(&mapper->private_text, 0);
    cvm_text_init(&mapper->section, 0);
    cvm_column_init(&mapper->record, 8);
    if (mapper->arena == NULL || mapper->header_arena == NULL || mapper->reader == NULL ||
        !create_counts(mapper) || !create_arrays(mapper)) {
        cvm_mapper_destroy(mapper);
        return NULL;
    }
    return mapper;
}

void cvm_mapper_destroy(struct cvm_mapper *mapper)
{
    if (mapper == NULL) {
        return;
    }
    for (size_t s = 0; mapper->counts != NULL && s < mapper->plan->catalogue->source_count; s++) {
        free(mapper->counts[s].missing);
    }
    free(mapper->counts);
    free(mapper->slots);
    free(mapper->is_consumed);
    free(mapper->is_used);
    free(mapper->values);
    cvm_column_finish(&mapper->record);
    cvm_text_finish(&mapper->attributes);
    cvm_text_finish(&mapper->private_text);
    cvm_text_finish(&mapper->section);
    cvm_json_reader_destroy(mapper->reader);
    cvm_arena_destroy(mapper->header_arena);
    cvm_arena_destroy(mapper->arena);
    free(mapper);
}

struct cvm_import_counts *cvm_mapper_counts(struct cvm_mapper *mapper, int source)
{
    return &mapper->counts[source];
}

enum cvm_status cvm_mapper_start(struct cvm_mapper *mapper, const struct cvm_record_block *block,
                                 struct cvm_error *err)
{
    if (mapper->source_number != block->source || mapper->source == NULL) {
        memset(mapper->guesses, 0xFF, sizeof(mapper->guesses));
    }
    mapper->source_number = block->source;
    mapper->source = &mapper->plan->sources[block->source];
    mapper->format = block->format;
    return block->format == CVM_RECORDS_CSV ? cvm_import_csv_start(mapper, block, err) : CVM_OK;
}

/* ---- keys ---- */

static bool is_key(const struct cvm_import_source *source, int slot,
                   const struct cvm_json_value *member)
{
    return source->key_lengths[slot] == member->key.length &&
           memcmp(source->keys[slot], member->key.data, member->key.length) == 0;
}

static int find_slot(const struct cvm_import_source *source, const struct cvm_json_value *member)
{
    for (size_t s = 0; s < source->slot_count; s++) {
        if (is_key(source, (int)s, member)) {
            return (int)s;
        }
    }
    return CVM_IMPORT_SLOT_NONE;
}

/* Records of a source mostly have the same members in the same places. */
static void fill_slots(struct cvm_mapper *mapper, const struct cvm_json_value *root)
{
    const struct cvm_import_source *source = mapper->source;
    size_t at = 0;
    memset(mapper->slots, 0, source->slot_count * sizeof(*mapper->slots));
    memset(mapper->is_consumed, 0, source->slot_count * sizeof(bool));
    memset(mapper->is_used, 0, source->path_count * sizeof(bool));
    for (const struct cvm_json_value *m = root->first_child; m != NULL; m = m->next, at++) {
        int16_t *guess = &mapper->guesses[at % CVM_IMPORT_GUESSES];
        if (*guess < 0 || !is_key(source, *guess, m)) {
            int slot = find_slot(source, m);
            if (slot == CVM_IMPORT_SLOT_NONE) {
                continue;
            }
            *guess = (int16_t)slot;
        }
        mapper->slots[*guess] = m->type == CVM_JSON_NULL ? NULL : m;
    }
}

/* ---- customer, date, identity ---- */

static const struct cvm_json_value *find_first(const struct cvm_mapper *mapper,
                                               const struct cvm_import_path *paths, size_t count,
                                               const struct cvm_import_path **out_path)
{
    for (size_t p = 0; p < count; p++) {
        const struct cvm_json_value *value = cvm_import_find(mapper, &paths[p]);
        if (value != NULL) {
            *out_path = &paths[p];
            return value;
        }
    }
    return NULL;
}

static enum cvm_status map_customer(struct cvm_mapper *mapper, struct cvm_slice *out_id,
                                    struct cvm_error *err)
{
    const struct cvm_import_path *path = NULL;
    const struct cvm_source *source = mapper->source->source;
    const struct cvm_json_value *value =
        find_first(mapper, mapper->source->customers, source->customer_path_count, &path);
    if (value == NULL) {
        return CVM_FAIL(err, CVM_E_INVALID, "no customer id");
    }
    if (value->type != CVM_JSON_STRING && value->type != CVM_JSON_INT) {
        return CVM_FAIL(err, CVM_E_INVALID, "the customer id is neither text nor a whole number");
    }
    struct cvm_slice id = value->type == CVM_JSON_STRING ? value->string : value->raw;
    if (id.length == 0) {
        return CVM_FAIL(err, CVM_E_INVALID, "the customer id is empty");
    }
    if (id.length > CVM_IMPORT_ID_BYTES_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "the customer id has %zu bytes, at most %d are allowed",
                        id.length, CVM_IMPORT_ID_BYTES_MAX);
    }
    for (size_t i = 0; i < id.length; i++) {
        if ((unsigned char)id.data[i] < 0x20) {
            return CVM_FAIL(err, CVM_E_INVALID, "the customer id holds a control character");
        }
    }
    mapper->is_used[path->number] = true;
    mapper->is_consumed[path->slot] |= path->is_plain;
    *out_id = id;
    return CVM_OK;
}

static enum cvm_status map_date(struct cvm_mapper *mapper, struct cvm_import_record *head,
                                struct cvm_error *err)
{
    const struct cvm_source *source = mapper->source->source;
    const struct cvm_import_path *path = NULL;
    const struct cvm_json_value *value =
        find_first(mapper, mapper->source->dates, source->date_path_count, &path);
    head->day = CVM_DAY_NONE;
    if (value == NULL) {
        return source->kind == CVM_SOURCE_EVENTS ? CVM_FAIL(err, CVM_E_INVALID, "no date") : CVM_OK;
    }
    struct cvm_slice text = value->type == CVM_JSON_STRING ? value->string : value->raw;
    if (value->type != CVM_JSON_STRING ||
        !cvm_day_parse(text.data, text.length, &head->day, &head->second, NULL)) {
        return CVM_FAIL(err, CVM_E_INVALID, "'%.*s' is no date that exists (YYYY-MM-DD)",
                        (int)(text.length < 40 ? text.length : 40), text.data);
    }
    mapper->is_used[path->number] = true;
    mapper->is_consumed[path->slot] |= path->is_plain;
    return CVM_OK;
}

/* Of what has no date there is one line per customer and source, or one per value of key fields
 * other than the customer: a suppression of each kind. */
static bool is_identity(const struct cvm_source *source, const struct cvm_path *path)
{
    bool is_customer = false;
    for (size_t p = 0; p < source->customer_path_count; p++) {
        is_customer = is_customer || strcmp(source->customer_paths[p].text, path->text) == 0;
    }
    return source->kind == CVM_SOURCE_EVENTS ||
           (source->kind == CVM_SOURCE_ATTRIBUTES && !is_customer);
}

/* Key fields as the source writes them: "7" in CSV and 7 in JSON are the same. */
static void map_identity(const struct cvm_mapper *mapper, const struct cvm_json_value *root,
                         struct cvm_import_record *head)
{
    const struct cvm_source *source = mapper->source->source;
    size_t found = 0;
    uint64_t hash = source->identity_path_count;
    head->content = cvm_json_hash(root);
    for (size_t p = 0; p < source->identity_path_count; p++) {
        if (!is_identity(source, &source->identity_paths[p])) {
            continue;
        }
        const struct cvm_json_value *value =
            cvm_import_find(mapper, &mapper->source->identities[p]);
        uint64_t part = 0;
        if (value != NULL && value->type == CVM_JSON_STRING) {
            part = cvm_hash(value->string.data, value->string.length);
        } else if (value != NULL) {
            part = cvm_hash(value->raw.data, value->raw.length);
        }
        found += value != NULL;
        hash = cvm_hash_mix(hash, part);
    }
    bool is_event = source->kind == CVM_SOURCE_EVENTS;
    head->is_counted = is_event && found == 0;
    head->identity = found > 0 ? hash : is_event ? head->content : 0;
}

/* ---- text of attributes and private data ---- */

/* The text is valid UTF-8: readers have seen to that. */
static void add_string(struct cvm_text *out, struct cvm_slice value)
{
    struct cvm_json_writer writer;
    size_t plain = 0;
    while (plain < value.length && (unsigned char)value.data[plain] >= 0x20 &&
           value.data[plain] != '"' && value.data[plain] != '\\') {
        plain++;
    }
    if (plain == value.length) {
        cvm_text_add_char(out, '"');
        cvm_text_add_bytes(out, value.data, value.length);
        cvm_text_add_char(out, '"');
        return;
    }
    cvm_json_init(&writer, out, false);
    cvm_json_string_n(&writer, value.data, value.length);
}

static void add_value(struct cvm_text *out, const struct cvm_import_field *field,
                      const struct cvm_mapped_value *value)
{
    char day[CVM_DAY_TEXT_SIZE];
    switch (field->attribute->type) {
    case CVM_ATTRIBUTE_NUMBER:
        cvm_text_add_double(out, value->number);
        break;
    case CVM_ATTRIBUTE_BOOLEAN:
        cvm_text_add(out, value->number != 0 ? "true" : "false");
        break;
    case CVM_ATTRIBUTE_WORD: {
        const struct cvm_slice *word = &field->json_words[(size_t)value->number];
        cvm_text_add_bytes(out, word->data, word->length);
        break;
    }
    case CVM_ATTRIBUTE_DATE:
        cvm_text_add_char(out, '"');
        cvm_text_add(out, cvm_day_format((int32_t)value->number, day));
        cvm_text_add_char(out, '"');
        break;
    case CVM_ATTRIBUTE_CODE:
    case CVM_ATTRIBUTE_LABEL:
    case CVM_ATTRIBUTE_TEXT:
        add_string(out, value->text);
        break;
    }
}

static void add_member(struct cvm_text *out, const struct cvm_import_field *field,
                       const struct cvm_mapped_value *value)
{
    cvm_text_add_char(out, out->length == 0 ? '{' : ',');
    cvm_text_add_bytes(out, field->json_key, field->json_key_length);
    add_value(out, field, value);
}

/* Without the white space of the source, so that it does not matter. The depth is the reader's. */
static void add_raw(struct cvm_text *out, const struct cvm_json_value *value)
{
    bool is_object = value->type == CVM_JSON_OBJECT;
    if (value->type == CVM_JSON_STRING) {
        add_string(out, value->string);
        return;
    }
    if (!is_object && value->type != CVM_JSON_ARRAY) {
        cvm_text_add_bytes(out, value->raw.data, value->raw.length);
        return;
    }
    cvm_text_add_char(out, is_object ? '{' : '[');
    for (const struct cvm_json_value *c = value->first_child; c != NULL; c = c->next) {
        if (c != value->first_child) {
            cvm_text_add_char(out, ',');
        }
        if (is_object) {
            add_string(out, c->key);
            cvm_text_add_char(out, ':');
        }
        add_raw(out, c);
    }
    cvm_text_add_char(out, is_object ? '}' : ']');
}

/* Move the open object in `section` under its name in the private text. */
static void close_section(struct cvm_mapper *mapper, const char *name)
{
    struct cvm_text *section = &mapper->section;
    if (section->length > 0) {
        struct cvm_text *out = &mapper->private_text;
        cvm_text_add_char(out, out->length == 0 ? '{' : ',');
        cvm_text_add_format(out, "\"%s\":", name);
        cvm_text_add_bytes(out, section->data, section->length);
        cvm_text_add_char(out, '}');
        out->failed = out->failed || section->failed;
    }
    cvm_text_clear(section);
}

static bool is_private(const struct cvm_attribute *attribute)
{
    return attribute->personal || attribute->type == CVM_ATTRIBUTE_TEXT;
}

static void write_section(struct cvm_mapper *mapper, const char *name, bool personal)
{
    const struct cvm_import_source *source = mapper->source;
    for (size_t o = 0; o < source->source->field_count; o++) {
        size_t f = source->order[o];
        const struct cvm_attribute *attribute = source->fields[f].attribute;
        if (mapper->values[f].is_present && is_private(attribute) &&
            attribute->personal == personal) {
            add_member(&mapper->section, &source->fields[f], &mapper->values[f]);
        }
    }
    close_section(mapper, name);
}

static void write_attributes(struct cvm_mapper *mapper)
{
    const struct cvm_import_source *source = mapper->source;
    bool has_private = false;
    cvm_text_clear(&mapper->attributes);
    for (size_t o = 0; o < source->source->field_count; o++) {
        size_t f = source->order[o];
        const struct cvm_mapped_value *value = &mapper->values[f];
        if (!value->is_present) {
            continue;
        }
        if (is_private(source->fields[f].attribute)) {
            has_private = true;
        } else {
            add_member(&mapper->attributes, &source->fields[f], value);
        }
    }
    cvm_text_add(&mapper->attributes, mapper->attributes.length == 0 ? "{}" : "}");
    if (has_private) {
        write_section(mapper, "text", false);
        write_section(mapper, "personal", true);
    }
}

/* ---- what nothing asked for ---- */

/* Sets of paths are bits of their numbers; paths beyond 64 cover nothing, so that more is kept. */
static uint64_t covering_paths(const struct cvm_mapper *mapper, int slot, uint64_t *out_ignored)
{
    const struct cvm_import_source *source = mapper->source;
    uint64_t mask = 0;
    for (size_t p = 0; p < source->path_count && p < 64; p++) {
        const struct cvm_import_path *path = source->paths[p];
        size_t ignored = (size_t)(path - source->ignored);
        bool is_ignored = path >= source->ignored && ignored < source->source->ignored_path_count;
        if (path->slot == slot && (is_ignored || mapper->is_used[path->number])) {
            mask |= UINT64_C(1) << p;
            *out_ignored |= is_ignored ? UINT64_C(1) << p : 0;
        }
    }
    return mask;
}

struct covering {
    const struct cvm_import_source *source;
    uint64_t ignored;
};

static bool is_covered(const struct covering *c, uint64_t mask, size_t step,
                       const struct cvm_json_value *value);

/* `value` is an element, or no list: whether every leaf of it is reached by a path of the mask. */
static bool is_item_covered(const struct covering *c, uint64_t mask, size_t step,
                            const struct cvm_json_value *value)
{
    uint64_t ends = 0;
    for (uint64_t left = mask; left != 0; left &= left - 1) {
        int number = __builtin_ctzll(left);
        bool is_end = c->source->paths[number]->path->step_count == step + 1;
        ends |= is_end ? UINT64_C(1) << number : 0;
    }
    if (value->type == CVM_JSON_NULL || (ends & c->ignored) != 0) {
        return true;
    }
    if (value->type != CVM_JSON_OBJECT) {
        return value->type != CVM_JSON_ARRAY && ends != 0;
    }
    for (const struct cvm_json_value *m = value->first_child; m != NULL; m = m->next) {
        uint64_t next = 0;
        for (uint64_t left = mask & ~ends; left != 0; left &= left - 1) {
            int number = __builtin_ctzll(left);
            const struct cvm_path *path = c->source->paths[number]->path;
            next |= cvm_slice_equals(m->key, path->steps[step + 1]) ? UINT64_C(1) << number : 0;
        }
        if (!is_covered(c, next, step + 1, m)) {
            return false;
        }
    }
    return true;
}

/* `value` is what step `step` of the paths in the mask leads to. The depth is that of a path. */
static bool is_covered(const struct covering *c, uint64_t mask, size_t step,
                       const struct cvm_json_value *value)
{
    uint64_t lists = 0;
    for (uint64_t left = mask; left != 0; left &= left - 1) {
        int number = __builtin_ctzll(left);
        lists |= c->source->paths[number]->path->is_list[step] ? UINT64_C(1) << number : 0;
    }
    if (value->type != CVM_JSON_ARRAY) {
        return is_item_covered(c, mask & ~lists, step, value);
    }
    /* An aggregate tells all of one element, but not of several. */
    const struct cvm_json_value *only = value->child_count == 1 ? value->first_child : NULL;
    bool is_told =
        value->child_count == 0 || (only != NULL && is_item_covered(c, lists, step, only));
    return (lists != 0 && is_told) || is_item_covered(c, mask & ~lists, step, value);
}

static bool is_unknown(const struct cvm_mapper *mapper, const struct cvm_json_value *member,
                       size_t at)
{
    int slot = mapper->guesses[at % CVM_IMPORT_GUESSES];
    if (member->type == CVM_JSON_NULL) {
        return false;
    }
    if (slot < 0 || mapper->slots[slot] != member) {
        slot = find_slot(mapper->source, member);
    }
    if (slot == CVM_IMPORT_SLOT_NONE) {
        return true;
    }
    if (mapper->is_consumed[slot]) {
        return false;
    }
    struct covering c = {.source = mapper->source};
    uint64_t mask = covering_paths(mapper, slot, &c.ignored);
    return mask == 0 || !is_covered(&c, mask, 0, member);
}

static int compare_keys(const void *a, const void *b)
{
    const struct cvm_json_value *left = *(const struct cvm_json_value *const *)a;
    const struct cvm_json_value *right = *(const struct cvm_json_value *const *)b;
    size_t length = left->key.length < right->key.length ? left->key.length : right->key.length;
    int order = memcmp(left->key.data, right->key.data, length);
    return order != 0
               ? order
               : (left->key.length > right->key.length) - (left->key.length < right->key.length);
}

/* In the order of their keys, so that records which differ in nothing but order are stored alike.
 */
static enum cvm_status write_unknown(struct cvm_mapper *mapper, const struct cvm_json_value *root,
                                     struct cvm_error *err)
{
    const struct cvm_json_value **unknown = NULL;
    size_t count = 0;
    size_t at = 0;
    for (const struct cvm_json_value *m = root->first_child; m != NULL; m = m->next, at++) {
        if (!is_unknown(mapper, m, at)) {
            continue;
        }
        if (unknown == NULL) {
            unknown =
                CVM_NEW_ARRAY(mapper->arena, root->child_count, const struct cvm_json_value *);
            if (unknown == NULL) {
                return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu fields", root->child_count);
            }
        }
        unknown[count++] = m;
    }
    if (count > 1) {
        qsort(unknown, count, sizeof(*unknown), compare_keys);
    }
    for (size_t u = 0; u < count; u++) {
        cvm_text_add_char(&mapper->section, u == 0 ? '{' : ',');
        add_string(&mapper->section, unknown[u]->key);
        cvm_text_add_char(&mapper->section, ':');
        add_raw(&mapper->section, unknown[u]);
    }
    close_section(mapper, "unknown");
    if (mapper->private_text.length > 0) {
        cvm_text_add_char(&mapper->private_text, '}');
    }
    mapper->counts[mapper->source_number].unmapped_fields += (int64_t)count;
    return CVM_OK;
}

/* ---- the record ---- */

static enum cvm_status check_required(struct cvm_mapper *mapper, struct cvm_error *err)
{
    const struct cvm_import_source *source = mapper->source;
    for (size_t f = 0; f < source->source->field_count; f++) {
        const struct cvm_attribute *attribute = source->fields[f].attribute;
        char words[CVM_WORD_LIST_SIZE];
        if (!source->fields[f].field->required || mapper->values[f].is_present) {
            continue;
        }
        if (attribute->words == NULL) {
            return CVM_FAIL(err, CVM_E_INVALID, "no value for the required attribute '%s'",
                            attribute->name);
        }
        cvm_word_list(attribute->words, words);
        return CVM_FAIL(err, CVM_E_INVALID, "no value for the required attribute '%s': %s",
                        attribute->name, words);
    }
    return CVM_OK;
}

static uint16_t write_cells(struct cvm_mapper *mapper, struct cvm_packed_cell *cells)
{
    const struct cvm_import_source *source = mapper->source;
    uint16_t count = 0;
    for (size_t o = 0; o < source->source->field_count; o++) {
        size_t f = source->order[o];
        const struct cvm_attribute *attribute = source->fields[f].attribute;
        if (mapper->values[f].is_present && !is_private(attribute) &&
            attribute->type != CVM_ATTRIBUTE_LABEL) {
            memset(&cells[count], 0, sizeof(cells[count]));
            cells[count].attribute = (uint16_t)source->source->fields[f].attribute;
            cells[count].value =
                attribute->type == CVM_ATTRIBUTE_CODE
                    ? cvm_rule_code(mapper->values[f].text.data, mapper->values[f].text.length)
                    : mapper->values[f].number;
            count++;
        }
    }
    return count;
}

static enum cvm_status lay_out(struct cvm_mapper *mapper, struct cvm_import_record *head,
                               struct cvm_slice id, const struct cvm_consent *consent,
                               struct cvm_error *err)
{
    bool is_consent = head->kind == CVM_SOURCE_CONSENT;
    size_t cells = mapper->source->source->field_count * sizeof(struct cvm_packed_cell);
    size_t texts = id.length + mapper->attributes.length + mapper->private_text.length + 3;
    size_t bytes = sizeof(*head) + cells + sizeof(*consent) + texts + 8;
    if (mapper->attributes.failed || mapper->private_text.failed || bytes > UINT32_MAX) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record of %zu bytes", bytes);
    }
    mapper->record.count = 0;
    void *to = NULL;
    enum cvm_status status = cvm_column_extend(&mapper->record, bytes / 8 + 1, &to, err);
    if (status != CVM_OK) {
        return status;
    }
    char *at = (char *)to + sizeof(*head);
    if (is_consent) {
        memcpy(at, consent, sizeof(*consent));
        at += sizeof(*consent);
    } else {
        head->cell_count = write_cells(mapper, (struct cvm_packed_cell *)(void *)at);
        at += head->cell_count * sizeof(struct cvm_packed_cell);
    }
    head->id_length = (uint16_t)id.length;
    head->attributes_length = (uint32_t)mapper->attributes.length;
    head->private_length = (uint32_t)mapper->private_text.length;
    const struct cvm_slice parts[] = {id,
                                      {mapper->attributes.data, mapper->attributes.length},
                                      {mapper->private_text.data, mapper->private_text.length}};
    for (size_t p = 0; p < 3; p++) {
        if (parts[p].length > 0) {
            memcpy(at, parts[p].data, parts[p].length);
        }
        at += parts[p].length;
        *at++ = '\0';
    }
    while ((size_t)(at - (char *)to) % 8 != 0) {
        *at++ = '\0';
    }
    head->length = (uint32_t)(at - (char *)to);
    memcpy(to, head, sizeof(*head));
    return CVM_OK;
}

static enum cvm_status map_values(struct cvm_mapper *mapper, const struct cvm_json_value *root,
                                  struct cvm_import_record *head, struct cvm_consent *consent,
                                  struct cvm_error *err)
{
    const struct cvm_import_source *source = mapper->source;
    enum cvm_status status = CVM_OK;
    cvm_text_clear(&mapper->private_text);
    cvm_text_clear(&mapper->section);
    if (head->kind == CVM_SOURCE_CONSENT) {
        cvm_text_clear(&mapper->attributes);
        status = cvm_import_map_consent(mapper, consent, err);
        consent->updated_day = head->day;
    } else {
        cvm_import_map_fields(mapper);
        status = check_required(mapper, err);
        if (status == CVM_OK) {
            write_attributes(mapper);
        }
        for (size_t f = 0; status == CVM_OK && f < source->source->field_count; f++) {
            if (source->fields[f].attribute->type == CVM_ATTRIBUTE_TEXT &&
                !source->fields[f].attribute->personal && mapper->values[f].is_present) {
                head->topics |= cvm_import_topics(mapper->plan, mapper->values[f].text.data,
                                                  mapper->values[f].text.length);
            }
        }
    }
    return status == CVM_OK ? write_unknown(mapper, root, err) : status;
}

static bool is_outside(const struct cvm_import_window *window, int32_t day)
{
    return window != NULL && day != CVM_DAY_NONE &&
           ((window->since_day != CVM_DAY_NONE && day < window->since_day) ||
            (window->until_day != CVM_DAY_NONE && day > window->until_day));
}

/* What a purge has taken out does not come back, be it delivered again. */
static enum cvm_status check_age(struct cvm_mapper *mapper, const struct cvm_import_record *head,
                                 struct cvm_error *err)
{
    bool is_too_old = mapper->first_days != NULL && head->kind == CVM_SOURCE_EVENTS &&
                      head->day < mapper->first_days[head->source];
    mapper->counts[head->source].too_old += is_too_old;
    return is_too_old ? CVM_FAIL(err, CVM_E_CONFLICT, "older than its source keeps") : CVM_OK;
}

static enum cvm_status map_record(struct cvm_mapper *mapper, struct cvm_slice text,
                                  struct cvm_import_record *head, bool *out_is_outside,
                                  struct cvm_error *err)
{
    const struct cvm_json_value *root = NULL;
    struct cvm_consent consent = {0};
    struct cvm_slice id = {0};
    enum cvm_status status = mapper->format == CVM_RECORDS_CSV
                                 ? cvm_import_csv_read(mapper, text.data, text.length, &root, err)
                                 : cvm_json_read(mapper->reader, mapper->arena, text.data,
                                                 text.length, true, &root, err);
    if (status == CVM_OK && root->type != CVM_JSON_OBJECT) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the record is no JSON object");
    }
    if (status == CVM_OK) {
        fill_slots(mapper, root);
        status = map_customer(mapper, &id, err);
    }
    if (status == CVM_OK) {
        status = map_date(mapper, head, err);
    }
    if (status == CVM_OK && is_outside(mapper->window, head->day)) {
        *out_is_outside = true;
        return CVM_OK;
    }
    if (status == CVM_OK) {
        status = check_age(mapper, head, err);
    }
    if (status == CVM_OK) {
        map_identity(mapper, root, head);
        head->key = cvm_customer_key(id.data, id.length) & mapper->key_mask;
        head->key += head->key == 0;
        status = map_values(mapper, root, head, &consent, err);
    }
    return status == CVM_OK ? lay_out(mapper, head, id, &consent, err) : status;
}

static void count_record(struct cvm_mapper *mapper, const struct cvm_import_record *head)
{
    struct cvm_import_counts *counts = &mapper->counts[mapper->source_number];
    const struct cvm_source *source = mapper->source->source;
    if (head->kind == CVM_SOURCE_CONSENT) {
        return;
    }
    for (size_t f = 0; f < source->field_count; f++) {
        counts->missing[f] += !mapper->values[f].is_present;
    }
}

static void count_day(struct cvm_import_counts *counts, int32_t day)
{
    if (day == CVM_DAY_NONE) {
        return;
    }
    if (counts->first_day == CVM_DAY_NONE || day < counts->first_day) {
        counts->first_day = day;
    }
    if (day > counts->last_day) {
        counts->last_day = day;
    }
}

enum cvm_status cvm_mapper_map(struct cvm_mapper *mapper, const char *text, size_t length,
                               uint32_t file, int64_t record,
                               const struct cvm_import_record **out_record, struct cvm_error *err)
{
    struct cvm_import_counts *counts = &mapper->counts[mapper->source_number];
    struct cvm_import_record head = {
        .file = file,
        .record = record,
        .source = (uint8_t)mapper->source_number,
        .kind = (uint8_t)mapper->source->source->kind,
    };
    cvm_arena_reset(mapper->arena);
    counts->read++;
    counts->bytes += (int64_t)length;
    bool is_passed_over = false;
    enum cvm_status status =
        map_record(mapper, (struct cvm_slice){text, length}, &head, &is_passed_over, err);
    if (status != CVM_OK) {
        counts->rejected++;
        return status;
    }
    if (is_passed_over) {
        counts->outside++;
        *out_record = NULL;
        return CVM_OK;
    }
    count_record(mapper, &head);
    count_day(counts, head.day);
    *out_record = CVM_COLUMN_DATA(&mapper->record, const struct cvm_import_record);
    return CVM_OK;
}
