#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#define PAIRWISE_MAX 16 /* keys up to which comparing all pairs is cheapest */

/* One file being read. */
struct reading {
    struct cvm_arena *arena;
    const char *file;
    const char *text;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    bool has_event;
    struct cvm_error *err;
};

static enum cvm_status fail_line(const struct reading *r, size_t line, const char *what)
{
    enum cvm_status status = CVM_FAIL(r->err, CVM_E_INVALID, "%s", what);
    return cvm_error_where(r->err, status, "%s:%zu", r->file, line);
}

static enum cvm_status fail_event(const struct reading *r, const char *what)
{
    return fail_line(r, r->event.start_mark.line + 1, what);
}

static enum cvm_status fail_memory(const struct reading *r)
{
    enum cvm_status status =
        CVM_FAIL(r->err, CVM_E_LIMIT, "the YAML file needs more memory than allowed");
    return cvm_error_where(r->err, status, "%s:1", r->file);
}

static bool starts_with(const char *text, const char *prefix)
{
    return text != NULL && strncmp(text, prefix, strlen(prefix)) == 0;
}

/* libyaml's words are for people who know its scanner; name the common mistakes in ours. */
static enum cvm_status fail_parser(const struct reading *r)
{
    const yaml_parser_t *parser = &r->parser;
    const char *problem = parser->problem == NULL ? "cannot be read" : parser->problem;
    size_t line = parser->problem_mark.line + 1;

    if (parser->error == YAML_MEMORY_ERROR) {
        return fail_memory(r);
    }
    if (parser->error == YAML_READER_ERROR) {
        /* the reader knows bytes, not lines */
        for (size_t i = line = 0; i < parser->problem_offset; i++) {
            line += r->text[i] == '\n';
        }
        return fail_line(r, line + 1, "a character that YAML does not allow");
    }
    if (starts_with(parser->context, "while scanning a quoted scalar") &&
        starts_with(problem, "found unexpected end of stream")) {
        return fail_line(r, parser->context_mark.line + 1,
                         "a quote that opens on this line is never closed");
    }
    enum cvm_status status =
        parser->context == NULL
            ? CVM_FAIL(r->err, CVM_E_INVALID, "not valid YAML: %s", problem)
            : CVM_FAIL(r->err, CVM_E_INVALID, "not valid YAML: %s %s", problem, parser->context);
    if (strstr(problem, "mapping values are not allowed") != NULL) {
        (void)cvm_error_hint(r->err, status,
                             "Put text that holds ': ' in quotes, and check the indentation.");
    }
    return cvm_error_where(r->err, status, "%s:%zu", r->file, line);
}

static void drop_event(struct reading *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->event);
        r->has_event = false;
    }
}

static enum cvm_status next_event(struct reading *r)
{
    drop_event(r);
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        return fail_parser(r);
    }
    r->has_event = true;
    return CVM_OK;
}

/* Anchors, aliases and tags, wherever an event may carry them. */
static enum cvm_status refuse_indirection(const struct reading *r)
{
    const yaml_event_t *event = &r->event;
    const yaml_char_t *anchor = NULL;
    const yaml_char_t *tag = NULL;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return fail_event(r, "aliases ('*name') are not allowed; write the value out");
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (anchor != NULL) {
        return fail_event(r, "anchors ('&name') are not allowed; write the value out");
    }
    return tag == NULL ? CVM_OK : fail_event(r, "tags ('!name') are not allowed");
}

/* The text of the current scalar. */
static enum cvm_status copy_scalar(const struct reading *r, const char **out_text)
{
    const char *value = (const char *)r->event.data.scalar.value;
    size_t length = r->event.data.scalar.length;

    if (memchr(value, '\0', length) != NULL) {
        return fail_event(r, "text holds a NUL byte");
    }
    *out_text = cvm_arena_copy(r->arena, value, length);
    return *out_text == NULL ? fail_memory(r) : CVM_OK;
}

static enum cvm_status fail_duplicate(const struct reading *r, const struct cvm_yaml_node *first,
                                      const struct cvm_yaml_node *second)
{
    enum cvm_status status =
        CVM_FAIL(r->err, CVM_E_INVALID, "key '%s' appears twice in one map, first on line %d",
                 second->key, first->line);
    return cvm_error_where(r->err, status, "%s:%d", r->file, second->line);
}

static int compare_keys(const void *a, const void *b)
{
    const struct cvm_yaml_node *x = *(const struct cvm_yaml_node *const *)a;
    const struct cvm_yaml_node *y = *(const struct cvm_yaml_node *const *)b;
    int order = strcmp(x->key, y->key);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

/* Sorting: n log n whatever the file holds. */
static enum cvm_status check_many_keys(const struct reading *r, const struct cvm_yaml_node *map)
{
    const struct cvm_yaml_node **sorted =
        CVM_NEW_ARRAY(r->arena, map->child_count, const struct cvm_yaml_node *);
    size_t count = 0;
    if (sorted == NULL) {
        return fail_memory(r);
    }
    for (const struct cvm_yaml_node *n = map->first_child; n != NULL; n = n->next) {
        sorted[count++] = n;
    }
    qsort(sorted, count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0) {
            return fail_duplicate(r, sorted[i - 1], sorted[i]);
        }
    }
    return CVM_OK;
}

static enum cvm_status check_keys(const struct reading *r, const struct cvm_yaml_node *map)
{
    if (map->child_count > PAIRWISE_MAX) {
        return check_many_keys(r, map);
    }
    for (const struct cvm_yaml_node *n = map->first_child; n != NULL; n = n->next) {
        for (const struct cvm_yaml_node *m = map->first_child; m != n; m = m->next) {
            if (strcmp(m->key, n->key) == 0) {
                return fail_duplicate(r, m, n);
            }
        }
    }
    return CVM_OK;
}

/* Read the key of a map entry and move to its value. */
static enum cvm_status read_key(struct reading *r, const char **out_key)
{
    const yaml_event_t *event = &r->event;
    enum cvm_status status = refuse_indirection(r);
    if (status != CVM_OK) {
        return status;
    }
    if (event->type != YAML_SCALAR_EVENT) {
        return fail_event(r, "a list or a map cannot be a key");
    }
    if (event->data.scalar.length == 0) {
        return fail_event(r, "a key is empty");
    }
    if (strcmp((const char *)event->data.scalar.value, "<<") == 0) {
        return fail_event(r, "merge keys ('<<') are not allowed; write the keys out");
    }
    status = copy_scalar(r, out_key);
    return status == CVM_OK ? next_event(r) : status;
}

static enum cvm_status read_node(struct reading *r, int depth, struct cvm_yaml_node *node);

/* `type` is that of the event that ends the container. */
static enum cvm_status read_children(struct reading *r, int depth, yaml_event_type_t end,
                                     struct cvm_yaml_node *node)
{
    struct cvm_yaml_node **tail = &node->first_child;
    if (depth >= CVM_YAML_DEPTH_MAX) {
        return fail_event(r, "nested too deeply");
    }
    enum cvm_status status = next_event(r);
    while (status == CVM_OK && r->event.type != end) {
        struct cvm_yaml_node *child = CVM_NEW(r->arena, struct cvm_yaml_node);
        if (child == NULL) {
            return fail_memory(r);
        }
        int key_line = (int)r->event.start_mark.line + 1;
        if (node->type == CVM_YAML_MAP) {
            status = read_key(r, &child->key);
        }
        if (status == CVM_OK) {
            status = read_node(r, depth + 1, child);
        }
        if (status == CVM_OK) {
            child->line = child->key == NULL ? child->line : key_line;
            *tail = child;
            tail = &child->next;
            node->child_count++;
            status = next_event(r);
        }
    }
    if (status == CVM_OK && node->type == CVM_YAML_MAP) {
        status = check_keys(r, node);
    }
    return status;
}

/* Read the node that the current event begins; the current event becomes its last one. */
static enum cvm_status read_node(struct reading *r, int depth, struct cvm_yaml_node *node)
{
    enum cvm_status status = refuse_indirection(r);
    if (status != CVM_OK) {
        return status;
    }
    node->file = r->file;
    node->line = (int)r->event.start_mark.line + 1;
    switch (r->event.type) {
    case YAML_SCALAR_EVENT:
        node->type = CVM_YAML_SCALAR;
        node->is_quoted = r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return copy_scalar(r, &node->text);
    case YAML_SEQUENCE_START_EVENT:
        node->type = CVM_YAML_LIST;
        return read_children(r, depth, YAML_SEQUENCE_END_EVENT, node);
    case YAML_MAPPING_START_EVENT:
        node->type = CVM_YAML_MAP;
        return read_children(r, depth, YAML_MAPPING_END_EVENT, node);
    default:
        return CVM_FAIL(r->err, CVM_E_INTERNAL, "unexpected YAML event %d", (int)r->event.type);
    }
}

static bool is_empty_scalar(const struct cvm_yaml_node *node)
{
    return node->type == CVM_YAML_SCALAR && !node->is_quoted && node->text[0] == '\0';
}

static void make_empty_map(struct cvm_yaml_node *root)
{
    root->type = CVM_YAML_MAP;
    root->text = NULL;
    root->line = 1;
}

static enum cvm_status read_document(struct reading *r, struct cvm_yaml_node *root)
{
    enum cvm_status status = next_event(r); /* stream start */
    if (status == CVM_OK) {
        status = next_event(r); /* document start, or the end of an empty stream */
    }
    if (status != CVM_OK) {
        return status;
    }
    if (r->event.type == YAML_STREAM_END_EVENT) {
        make_empty_map(root);
        return CVM_OK;
    }
    if (r->event.data.document_start.tag_directives.start !=
        r->event.data.document_start.tag_directives.end) {
        return fail_event(r, "%TAG directives are not allowed");
    }
    status = next_event(r);
    if (status == CVM_OK) {
        status = read_node(r, 0, root);
    }
    if (status == CVM_OK && is_empty_scalar(root)) {
        make_empty_map(root);
    }
    if (status == CVM_OK) {
        status = next_event(r); /* document end */
    }
    if (status == CVM_OK) {
        status = next_event(r);
    }
    if (status == CVM_OK && r->event.type != YAML_STREAM_END_EVENT) {
        return fail_event(r, "a second document begins here; one per file is allowed");
    }
    return status;
}

/* What libyaml would accept, or refuse without saying why. */
static enum cvm_status check_bytes(const struct reading *r, const char *text, size_t length)
{
    size_t line = 1;
    const char *end = text + length;
    for (const char *p = text; p < end; line++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *line_end = newline == NULL ? end : newline;
        if (memchr(p, '\0', (size_t)(line_end - p)) != NULL) {
            return fail_line(r, line, "a NUL byte");
        }
        if (!cvm_utf8_is_valid(p, (size_t)(line_end - p))) {
            return fail_line(r, line, "invalid UTF-8");
        }
        bool has_tab = false;
        while (p < line_end && (*p == ' ' || *p == '\t')) {
            has_tab = has_tab || *p == '\t';
            p++;
        }
        if (has_tab && p < line_end && *p != '\r' && *p != '#') {
            return fail_line(r, line, "a tab in the indentation; use spaces");
        }
        p = line_end + 1;
    }
    return CVM_OK;
}

enum cvm_status cvm_yaml_read(struct cvm_arena *arena, const char *file, const char *text,
                              size_t length, const struct cvm_yaml_node **out_root,
                              struct cvm_error *err)
{
    struct reading r = {.arena = arena, .err = err};
    if (length > CVM_YAML_BYTES_MAX) {
        enum cvm_status status =
            CVM_FAIL(err, CVM_E_LIMIT, "%zu bytes of YAML: at most %zu are allowed", length,
                     CVM_YAML_BYTES_MAX);
        return cvm_error_where(err, status, "%s:1", file);
    }
    r.file = cvm_arena_string(arena, file);
    struct cvm_yaml_node *root = CVM_NEW(arena, struct cvm_yaml_node);
    if (r.file == NULL || root == NULL) {
        r.file = file;
        return fail_memory(&r);
    }
    root->file = r.file;
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) { /* byte-order mark */
        text += 3;
        length -= 3;
    }
    r.text = text;
    enum cvm_status status = check_bytes(&r, text, length);
    if (status != CVM_OK) {
        return status;
    }
    if (yaml_parser_initialize(&r.parser) == 0) {
        return fail_memory(&r);
    }
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, length);
    status = read_document(&r, root);
    drop_event(&r);
    yaml_parser_delete(&r.parser);
    if (status == CVM_OK) {
        *out_root = root;
    }
    return status;
}

const struct cvm_yaml_node *cvm_yaml_member(const struct cvm_yaml_node *map, const char *key)
{
    if (map == NULL || map->type != CVM_YAML_MAP) {
        return NULL;
    }
    for (const struct cvm_yaml_node *n = map->first_child; n != NULL; n = n->next) {
        if (strcmp(n->key, key) == 0) {
            return n;
        }
    }
    return NULL;
}

/* Words that a YAML reader takes for something else than text. */
static bool is_special_word(const char *value)
{
    static const char *const words[] = {"true", "false", "yes", "no",   "on",   "off",  "y",
                                        "n",    "null",  "~",   ".nan", ".inf", "-.inf"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(value, words[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Deliberately narrow: what is quoted without need is still right. */
static bool is_plain_text(const char *value)
{
    size_t length = strlen(value);
    bool starts_well = is_letter_or_digit(value[0]) || value[0] == '_' || value[0] == '/';
    bool looks_numeric =
        strspn(value, "0123456789.eExXoO_+-:") == length || (value[0] >= '0' && value[0] <= '9');

    if (!starts_well || looks_numeric || value[length - 1] == ' ' || is_special_word(value)) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (!is_letter_or_digit(value[i]) && strchr(" _-./@%+()*=;$?!'", value[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* The character at `text`, 0xFFFD where the bytes are not UTF-8. */
static size_t decode(const char *text, uint32_t *out_code)
{
    unsigned char lead = (unsigned char)text[0];
    size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    uint32_t code = lead < 0x80 ? lead : lead & (0xFFu >> (size + 1));

    if (strnlen(text, size) < size || !cvm_utf8_is_valid(text, size)) {
        *out_code = 0xFFFD;
        return 1;
    }
    for (size_t i = 1; i < size; i++) {
        code = code << 6 | ((unsigned char)text[i] & 0x3Fu);
    }
    *out_code = code;
    return size;
}

/* Characters that may stand in double quotes as they are. The line and paragraph separators may
 * not: YAML 1.1 folds them into spaces. */
static bool is_printable(uint32_t code)
{
    return (code >= 0x20 && code <= 0x7E) || (code >= 0xA0 && code <= 0x2027) ||
           (code >= 0x202A && code <= 0xD7FF) || (code >= 0xE000 && code <= 0xFEFE) ||
           (code >= 0xFF00 && code <= 0xFFFC) || code >= 0x10000;
}

static void add_quoted_char(struct cvm_text *out, uint32_t code, const char *bytes, size_t size)
{
    if (code == '"' || code == '\\') {
        cvm_text_add_char(out, '\\');
        cvm_text_add_char(out, (char)code);
    } else if (code == '\n') {
        cvm_text_add(out, "\\n");
    } else if (code == '\t') {
        cvm_text_add(out, "\\t");
    } else if (is_printable(code)) {
        cvm_text_add_bytes(out, bytes, size);
    } else {
        cvm_text_add_format(out, code < 0x100 ? "\\x%02x" : "\\u%04x", code);
    }
}

void cvm_yaml_add_scalar(struct cvm_text *out, const char *value)
{
    if (value[0] != '\0' && is_plain_text(value)) {
        cvm_text_add(out, value);
        return;
    }
    cvm_text_add_char(out, '"');
    while (*value != '\0') {
        uint32_t code = 0;
        size_t size = decode(value, &code);
        add_quoted_char(out, code, value, size);
        value += size;
    }
    cvm_text_add_char(out, '"');
}
