/* What changed between two sets of catalogue files: key by key, whatever the layout or the
 * comments.
 */
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"
#include "base/yaml.h"
#include "model/catalogue_read.h"

#define SHOWN_BYTES_MAX 300
#define CHANGES_MAX     100000
#define NAMED_MAX       1024 /* items compared by name: every pair of them is looked at */

struct change_list {
    struct cvm_arena *arena;
    struct cvm_error *err;
    struct cvm_catalogue_change *changes;
    size_t count;
    size_t capacity;
};

static enum cvm_status fail_memory(const struct change_list *list)
{
    return CVM_FAIL(list->err, CVM_E_LIMIT, "the difference needs more memory than allowed");
}

/* Arena memory is not given back: doubling keeps the waste below the final size. */
static enum cvm_status add_change(struct change_list *list, struct cvm_catalogue_change change)
{
    if (change.path == NULL) {
        return fail_memory(list);
    }
    if (list->count == CHANGES_MAX) {
        return CVM_FAIL(list->err, CVM_E_LIMIT, "more than %d differences", CHANGES_MAX);
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct cvm_catalogue_change *grown =
            CVM_NEW_ARRAY(list->arena, capacity, struct cvm_catalogue_change);
        if (grown == NULL) {
            return fail_memory(list);
        }
        if (list->count > 0) {
            memcpy(grown, list->changes, list->count * sizeof(grown[0]));
        }
        list->changes = grown;
        list->capacity = capacity;
    }
    list->changes[list->count++] = change;
    return CVM_OK;
}

/* ---- values as text ---- */

struct shown {
    char text[SHOWN_BYTES_MAX + 8];
    size_t length;
    bool is_cut;
};

static void show(struct shown *shown, const char *text)
{
    size_t length = strlen(text);
    size_t room = SHOWN_BYTES_MAX - shown->length;

    if (shown->is_cut || length > room) {
        shown->is_cut = true;
        return;
    }
    memcpy(shown->text + shown->length, text, length);
    shown->length += length;
}

static void show_node(struct shown *shown, const struct cvm_yaml_node *node)
{
    if (node->type == CVM_YAML_SCALAR) {
        show(shown, node->text);
        return;
    }
    bool is_map = node->type == CVM_YAML_MAP;
    show(shown, is_map ? "{" : "[");
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL && !shown->is_cut;
         n = n->next) {
        if (is_map) {
            show(shown, n->key);
            show(shown, ": ");
        }
        show_node(shown, n);
        show(shown, n->next == NULL ? "" : ", ");
    }
    show(shown, is_map ? "}" : "]");
}

static const char *text_of(const struct change_list *list, const struct cvm_yaml_node *node)
{
    struct shown shown = {.length = 0};
    show_node(&shown, node);
    if (shown.is_cut) {
        memcpy(shown.text + shown.length, "...", 3);
        shown.length += 3;
    }
    return cvm_arena_copy(list->arena, shown.text, shown.length);
}

/* "path.part", or "path: part" behind a file's name. */
static const char *join(const struct change_list *list, const char *path, const char *glue,
                        const char *part)
{
    size_t length = strlen(path) + strlen(glue) + strlen(part);
    char *joined = CVM_NEW_ARRAY(list->arena, length + 1, char);
    if (joined != NULL) {
        memcpy(joined, path, strlen(path));
        memcpy(joined + strlen(path), glue, strlen(glue));
        memcpy(joined + strlen(path) + strlen(glue), part, strlen(part) + 1);
    }
    return joined;
}

static enum cvm_status add_nodes(struct change_list *list, const char *path,
                                 const struct cvm_yaml_node *before,
                                 const struct cvm_yaml_node *after)
{
    struct cvm_catalogue_change change = {.path = path};
    change.before = before == NULL ? NULL : text_of(list, before);
    change.after = after == NULL ? NULL : text_of(list, after);
    if ((before != NULL && change.before == NULL) || (after != NULL && change.after == NULL)) {
        return fail_memory(list);
    }
    return add_change(list, change);
}

/* ---- lists ---- */

/* What identifies an item of a list: its name under one of these keys. */
static const char *identity_of(const struct cvm_yaml_node *item)
{
    static const char *const keys[] = {"source",   "topic",  "feature",     "insight", "segment",
                                       "resource", "budget", "suppression", "limit",   "rest",
                                       "sequence", "group",  "name",        "id"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const struct cvm_yaml_node *node = cvm_yaml_member(item, keys[i]);
        /* Only the first key: a feature's "source" does not name it. */
        if (node != NULL && node == item->first_child && node->type == CVM_YAML_SCALAR) {
            return node->text;
        }
    }
    return NULL;
}

/* Every item has an identity, and no two the same. */
static bool has_identities(const struct cvm_yaml_node *list)
{
    if (list->child_count > NAMED_MAX) {
        return false;
    }
    for (const struct cvm_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        const char *identity = identity_of(n);
        if (identity == NULL) {
            return false;
        }
        for (const struct cvm_yaml_node *m = list->first_child; m != n; m = m->next) {
            if (strcmp(identity_of(m), identity) == 0) {
                return false;
            }
        }
    }
    return list->first_child != NULL;
}

static const struct cvm_yaml_node *find_item(const struct cvm_yaml_node *list, const char *identity)
{
    for (const struct cvm_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        if (strcmp(identity_of(n), identity) == 0) {
            return n;
        }
    }
    return NULL;
}

static enum cvm_status compare_nodes(struct change_list *list, const char *path, const char *glue,
                                     const struct cvm_yaml_node *before,
                                     const struct cvm_yaml_node *after);

/* "path[identity]" */
static const char *item_path(const struct change_list *list, const char *path, const char *identity)
{
    const char *open = join(list, path, "[", identity);
    return open == NULL ? NULL : join(list, open, "]", "");
}

/* Order counts: the first segment that holds wins. */
static bool is_reordered(const struct cvm_yaml_node *before, const struct cvm_yaml_node *after)
{
    const struct cvm_yaml_node *b = before->first_child;
    for (const struct cvm_yaml_node *a = after->first_child; a != NULL; a = a->next) {
        if (find_item(before, identity_of(a)) == NULL) {
            continue;
        }
        while (b != NULL && find_item(after, identity_of(b)) == NULL) {
            b = b->next;
        }
        if (b == NULL || strcmp(identity_of(a), identity_of(b)) != 0) {
            return true;
        }
        b = b->next;
    }
    return false;
}

static const char *identities_of(const struct change_list *list, const struct cvm_yaml_node *node)
{
    struct shown shown = {.length = 0};
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL; n = n->next) {
        show(&shown, identity_of(n));
        show(&shown, n->next == NULL ? "" : ", ");
    }
    return cvm_arena_copy(list->arena, shown.text, shown.length);
}

static enum cvm_status compare_named(struct change_list *list, const char *path,
                                     const struct cvm_yaml_node *before,
                                     const struct cvm_yaml_node *after)
{
    enum cvm_status status = CVM_OK;

    for (const struct cvm_yaml_node *b = before->first_child; b != NULL && status == CVM_OK;
         b = b->next) {
        const struct cvm_yaml_node *a = find_item(after, identity_of(b));
        const char *place = item_path(list, path, identity_of(b));
        if (place == NULL) {
            return fail_memory(list);
        }
        status = compare_nodes(list, place, ".", b, a);
    }
    for (const struct cvm_yaml_node *a = after->first_child; a != NULL && status == CVM_OK;
         a = a->next) {
        if (find_item(before, identity_of(a)) == NULL) {
            status = add_nodes(list, item_path(list, path, identity_of(a)), NULL, a);
        }
    }
    if (status == CVM_OK && is_reordered(before, after)) {
        struct cvm_catalogue_change change = {.path = join(list, path, " ", "order"),
                                              .before = identities_of(list, before),
                                              .after = identities_of(list, after)};
        status = add_change(list, change);
    }
    return status;
}

static bool has_scalars(const struct cvm_yaml_node *list)
{
    for (const struct cvm_yaml_node *n = list->first_child; n != NULL; n = n->next) {
        if (n->type != CVM_YAML_SCALAR) {
            return false;
        }
    }
    return true;
}

static bool is_same_scalar(const struct cvm_yaml_node *a, const struct cvm_yaml_node *b)
{
    double x = 0;
    double y = 0;
    return strcmp(a->text, b->text) == 0 ||
           (cvm_schema_number(a, 0, 0, &x, NULL) == CVM_OK &&
            cvm_schema_number(b, 0, 0, &y, NULL) == CVM_OK && x == y);
}

static bool is_same_scalars(const struct cvm_yaml_node *before, const struct cvm_yaml_node *after)
{
    const struct cvm_yaml_node *b = before->first_child;
    const struct cvm_yaml_node *a = after->first_child;
    while (b != NULL && a != NULL && is_same_scalar(b, a)) {
        b = b->next;
        a = a->next;
    }
    return b == NULL && a == NULL;
}

static enum cvm_status compare_indexed(struct change_list *list, const char *path,
                                       const struct cvm_yaml_node *before,
                                       const struct cvm_yaml_node *after)
{
    const struct cvm_yaml_node *b = before->first_child;
    const struct cvm_yaml_node *a = after->first_child;
    enum cvm_status status = CVM_OK;

    for (int i = 1; (b != NULL || a != NULL) && status == CVM_OK; i++) {
        char index[16] = "";
        size_t at = sizeof(index) - 1;
        for (int rest = i; rest > 0; rest /= 10) {
            index[--at] = (char)('0' + rest % 10);
        }
        const char *place = item_path(list, path, index + at);
        if (place == NULL) {
            return fail_memory(list);
        }
        status = compare_nodes(list, place, ".", b, a);
        b = b == NULL ? NULL : b->next;
        a = a == NULL ? NULL : a->next;
    }
    return status;
}

static enum cvm_status compare_lists(struct change_list *list, const char *path,
                                     const struct cvm_yaml_node *before,
                                     const struct cvm_yaml_node *after)
{
    if (has_scalars(before) && has_scalars(after)) {
        return is_same_scalars(before, after) ? CVM_OK : add_nodes(list, path, before, after);
    }
    if (has_identities(before) && has_identities(after)) {
        return compare_named(list, path, before, after);
    }
    return compare_indexed(list, path, before, after);
}

static enum cvm_status compare_maps(struct change_list *list, const char *path, const char *glue,
                                    const struct cvm_yaml_node *before,
                                    const struct cvm_yaml_node *after)
{
    enum cvm_status status = CVM_OK;

    for (const struct cvm_yaml_node *b = before->first_child; b != NULL && status == CVM_OK;
         b = b->next) {
        const char *place = join(list, path, glue, b->key);
        if (place == NULL) {
            return fail_memory(list);
        }
        status = compare_nodes(list, place, ".", b, cvm_yaml_member(after, b->key));
    }
    for (const struct cvm_yaml_node *a = after->first_child; a != NULL && status == CVM_OK;
         a = a->next) {
        if (cvm_yaml_member(before, a->key) == NULL) {
            status = add_nodes(list, join(list, path, glue, a->key), NULL, a);
        }
    }
    return status;
}

static enum cvm_status compare_nodes(struct change_list *list, const char *path, const char *glue,
                                     const struct cvm_yaml_node *before,
                                     const struct cvm_yaml_node *after)
{
    if (before == NULL || after == NULL || before->type != after->type) {
        return add_nodes(list, path, before, after);
    }
    switch (before->type) {
    case CVM_YAML_SCALAR:
        return is_same_scalar(before, after) ? CVM_OK : add_nodes(list, path, before, after);
    case CVM_YAML_LIST:
        return compare_lists(list, path, before, after);
    case CVM_YAML_MAP:
        return compare_maps(list, path, glue, before, after);
    }
    return CVM_OK;
}

/* ---- files ---- */

static enum cvm_status read_file(struct change_list *list, const struct cvm_catalogue_file *file,
                                 const struct cvm_yaml_node **out_root)
{
    return cvm_yaml_read(list->arena, file->name, file->text, file->length, out_root, list->err);
}

static enum cvm_status compare_files(struct change_list *list,
                                     const struct cvm_catalogue_file *before,
                                     const struct cvm_catalogue_file *after)
{
    const struct cvm_yaml_node *old_root = NULL;
    const struct cvm_yaml_node *new_root = NULL;

    if (before->length == after->length &&
        (before->length == 0 || memcmp(before->text, after->text, before->length) == 0)) {
        return CVM_OK;
    }
    enum cvm_status status = read_file(list, before, &old_root);
    if (status == CVM_OK) {
        status = read_file(list, after, &new_root);
    }
    return status == CVM_OK ? compare_nodes(list, before->name, ": ", old_root, new_root) : status;
}

/* A whole file came or went. */
static enum cvm_status add_file(struct change_list *list, const struct cvm_catalogue_file *file,
                                bool is_new)
{
    const char *path = cvm_arena_string(list->arena, file->name);
    return add_change(list, (struct cvm_catalogue_change){.path = path,
                                                          .before = is_new ? NULL : "the file",
                                                          .after = is_new ? "the file" : NULL});
}

enum cvm_status cvm_catalogue_diff(struct cvm_arena *arena,
                                   const struct cvm_catalogue_files *before,
                                   const struct cvm_catalogue_files *after,
                                   const struct cvm_catalogue_change **out_changes,
                                   size_t *out_count, struct cvm_error *err)
{
    struct change_list list = {.arena = arena, .err = err};
    enum cvm_status status = CVM_OK;
    size_t b = 0;
    size_t a = 0;

    /* Both are sorted by name: a merge. */
    while ((b < before->count || a < after->count) && status == CVM_OK) {
        int order = b == before->count  ? 1
                    : a == after->count ? -1
                                        : strcmp(before->files[b].name, after->files[a].name);
        if (order == 0) {
            status = compare_files(&list, &before->files[b], &after->files[a]);
        } else {
            status = order < 0 ? add_file(&list, &before->files[b], false)
                               : add_file(&list, &after->files[a], true);
        }
        b += order <= 0 ? 1 : 0;
        a += order >= 0 ? 1 : 0;
    }
    if (status == CVM_OK) {
        *out_changes = list.changes;
        *out_count = list.count;
    }
    return status;
}
