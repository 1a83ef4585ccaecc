/* import_csv.c - a CSV record becomes what a JSON record would be: an object of strings. */
#include <string.h>

#include "base/csv.h"
#include "storage/import_mapper.h"

static enum cvm_status check_names(const struct cvm_mapper *mapper, struct cvm_error *err)
{
    for (size_t a = 0; a < mapper->column_count; a++) {
        struct cvm_slice name = mapper->columns[a].name;
        for (size_t b = 0; b < a; b++) {
            struct cvm_slice other = mapper->columns[b].name;
            if (name.length == other.length && memcmp(name.data, other.data, name.length) == 0) {
                return CVM_FAIL(err, CVM_E_INVALID, "column '%.*s' appears twice in the header",
                                (int)name.length, name.data);
            }
        }
    }
    return CVM_OK;
}

static enum cvm_status read_header(struct cvm_mapper *mapper, const struct cvm_record_block *block,
                                   struct cvm_error *err)
{
    struct cvm_slice *names = NULL;
    size_t count = 0;
    cvm_arena_reset(mapper->header_arena);
    mapper->header = (struct cvm_slice){0};
    char *header = cvm_arena_copy(mapper->header_arena, block->header, block->header_length);
    if (header == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a CSV header of %zu bytes",
                        block->header_length);
    }
    mapper->separator = cvm_csv_separator(header, block->header_length);
    enum cvm_status status = cvm_csv_split(mapper->header_arena, header, block->header_length,
                                           mapper->separator, &names, &count, err);
    if (status != CVM_OK) {
        return cvm_error_context(err, status, "header");
    }
    mapper->columns = CVM_NEW_ARRAY(mapper->header_arena, count + 1, struct cvm_import_csv_column);
    if (mapper->columns == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for %zu CSV columns", count);
    }
    for (size_t c = 0; c < count; c++) {
        mapper->columns[c].name = names[c];
        mapper->columns[c].is_nested = memchr(names[c].data, '.', names[c].length) != NULL;
    }
    mapper->column_count = count;
    status = check_names(mapper, err);
    if (status == CVM_OK) {
        mapper->header = (struct cvm_slice){header, block->header_length};
    }
    return status;
}

enum cvm_status cvm_import_csv_start(struct cvm_mapper *mapper,
                                     const struct cvm_record_block *block, struct cvm_error *err)
{
    bool is_same = mapper->header.data != NULL && mapper->header.length == block->header_length &&
                   memcmp(mapper->header.data, block->header, block->header_length) == 0;
    return is_same ? CVM_OK : read_header(mapper, block, err);
}

static struct cvm_json_value *add_member(struct cvm_mapper *mapper, struct cvm_json_value *object,
                                         struct cvm_slice key, enum cvm_json_type type)
{
    struct cvm_json_value *member = CVM_NEW(mapper->arena, struct cvm_json_value);
    if (member == NULL) {
        return NULL;
    }
    member->type = type;
    member->key = key;
    struct cvm_json_value **tail = &object->first_child;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = member;
    object->child_count++;
    return member;
}

static struct cvm_json_value *object_at(struct cvm_mapper *mapper, struct cvm_json_value *object,
                                        struct cvm_slice key)
{
    for (struct cvm_json_value *m = object->first_child; m != NULL; m = m->next) {
        if (m->type == CVM_JSON_OBJECT && m->key.length == key.length &&
            memcmp(m->key.data, key.data, key.length) == 0) {
            return m;
        }
    }
    return add_member(mapper, object, key, CVM_JSON_OBJECT);
}

/* "a.b.c" leads to member c of object b of object a. */
static bool add_nested(struct cvm_mapper *mapper, struct cvm_json_value *root,
                       struct cvm_slice name, struct cvm_slice field)
{
    struct cvm_json_value *object = root;
    const char *end = name.data + name.length;
    for (int depth = 0; object != NULL && depth < CVM_PATH_STEPS_MAX; depth++) {
        const char *dot = memchr(name.data, '.', name.length);
        if (dot == NULL) {
            break;
        }
        struct cvm_slice step = {name.data, (size_t)(dot - name.data)};
        object = object_at(mapper, object, step);
        name = (struct cvm_slice){dot + 1, (size_t)(end - dot - 1)};
    }
    struct cvm_json_value *member =
        object == NULL ? NULL : add_member(mapper, object, name, CVM_JSON_STRING);
    if (member != NULL) {
        member->string = field;
    }
    return member != NULL;
}

static bool is_blank(struct cvm_slice field)
{
    size_t at = 0;
    while (at < field.length && (field.data[at] == ' ' || field.data[at] == '\t')) {
        at++;
    }
    return at == field.length;
}

enum cvm_status cvm_import_csv_read(struct cvm_mapper *mapper, const char *text, size_t length,
                                    const struct cvm_json_value **out_root, struct cvm_error *err)
{
    struct cvm_slice *fields = NULL;
    size_t count = 0;
    enum cvm_status status =
        cvm_csv_split(mapper->arena, text, length, mapper->separator, &fields, &count, err);
    if (status != CVM_OK) {
        return status;
    }
    if (count != mapper->column_count) {
        return CVM_FAIL(err, CVM_E_INVALID, "%zu fields where the header has %zu", count,
                        mapper->column_count);
    }
    struct cvm_json_value *nodes = CVM_NEW_ARRAY(mapper->arena, count + 1, struct cvm_json_value);
    if (nodes == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record of %zu fields", count);
    }
    struct cvm_json_value *root = &nodes[count];
    struct cvm_json_value **tail = &root->first_child;
    root->type = CVM_JSON_OBJECT;
    for (size_t f = 0; f < count; f++) {
        if (is_blank(fields[f]) || mapper->columns[f].is_nested) {
            continue;
        }
        nodes[f].type = CVM_JSON_STRING;
        nodes[f].key = mapper->columns[f].name;
        nodes[f].string = fields[f];
        *tail = &nodes[f];
        tail = &nodes[f].next;
        root->child_count++;
    }
    for (size_t f = 0; f < count; f++) {
        if (mapper->columns[f].is_nested && !is_blank(fields[f]) &&
            !add_nested(mapper, root, mapper->columns[f].name, fields[f])) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a record of %zu fields", count);
        }
    }
    *out_root = root;
    return CVM_OK;
}
