#include "base/schema.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/date.h"

#define MESSAGE_SIZE    400
#define FOUND_SIZE      96
#define NAME_LENGTH_MAX 64
#define MICRO_DIGITS    6
#define MICRO_PER_UNIT  1000000
#define DATE_LENGTH     10
#define NUMBER_TEXT_MAX 128
#define SPAN_MS_MAX     (INT64_C(365) * 86400000)

/* One value, of the type that its field says. */
union value {
    const char *text;
    bool boolean;
    int64_t integer;
    double number;
    int word;
    int32_t day;
    struct cvm_schema_texts texts;
    const struct cvm_yaml_node *node;
};

/* Fail at `node` about the key `key`, which a list item does not know itself. */
static enum cvm_status fail_key(const struct cvm_yaml_node *node, const char *key,
                                const char *message, struct cvm_error *err)
{
    enum cvm_status status = key == NULL
                                 ? CVM_FAIL(err, CVM_E_INVALID, "%s", message)
                                 : CVM_FAIL(err, CVM_E_INVALID, "key '%s': %s", key, message);
    return cvm_error_where(err, status, "%s:%d", node->file, node->line);
}

enum cvm_status cvm_schema_fail(const struct cvm_yaml_node *node, struct cvm_error *err,
                                const char *format, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    return fail_key(node, node->key, message, err);
}

static bool is_plain(const struct cvm_yaml_node *node)
{
    return node->type == CVM_YAML_SCALAR && !node->is_quoted;
}

/* "key:" with nothing after it, or one of YAML's words for nothing. */
static bool is_nothing(const struct cvm_yaml_node *node)
{
    return is_plain(node) && (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
                              strcasecmp(node->text, "null") == 0);
}

/* What stands there, for messages. */
static const char *describe(const struct cvm_yaml_node *node, char found[FOUND_SIZE])
{
    const int shown_max = 60;
    if (node->type == CVM_YAML_LIST) {
        return "a list";
    }
    if (node->type == CVM_YAML_MAP) {
        return "a map";
    }
    if (is_nothing(node)) {
        return "nothing";
    }
    int length = (int)strnlen(node->text, (size_t)shown_max + 1);
    bool is_cut = length > shown_max;
    while (is_cut && length > 0 && ((unsigned char)node->text[length] & 0xC0) == 0x80) {
        length--; /* not inside a character */
    }
    const char *quote = node->is_quoted ? "text " : "";
    (void)snprintf(found, FOUND_SIZE, "%s'%.*s'%s", quote, length, node->text, is_cut ? "..." : "");
    return found;
}

static enum cvm_status fail_allowed(const struct cvm_yaml_node *node, const char *allowed,
                                    struct cvm_error *err)
{
    char found[FOUND_SIZE];
    return cvm_schema_fail(node, err, "found %s, %s is allowed", describe(node, found), allowed);
}

/* A number as people write it: 0.5, 1000000000. */
static const char *write_number(double number, char text[32])
{
    (void)snprintf(text, 32, fabs(number) < 1e15 ? "%.15g" : "%g", number);
    return text;
}

static enum cvm_status fail_range(const struct cvm_yaml_node *node, const char *noun, double min,
                                  double max, struct cvm_error *err)
{
    char allowed[128];
    char low[32];
    char high[32];
    if (min == 0 && max == 0) {
        (void)snprintf(allowed, sizeof(allowed), "%s", noun);
    } else if (isinf(max)) {
        (void)snprintf(allowed, sizeof(allowed), "%s, %s or more,", noun, write_number(min, low));
    } else if (isinf(min)) {
        (void)snprintf(allowed, sizeof(allowed), "%s, %s or less,", noun, write_number(max, high));
    } else {
        (void)snprintf(allowed, sizeof(allowed), "%s from %s to %s", noun, write_number(min, low),
                       write_number(max, high));
    }
    return fail_allowed(node, allowed, err);
}

static bool is_in_range(double value, double min, double max)
{
    return (min == 0 && max == 0) || (value >= min && value <= max);
}

/* Digits with an optional sign, point and exponent: what strtod takes beyond that (hexadecimal,
 * nan, white space) is not a number in a catalogue. */
static bool parse_number(const struct cvm_yaml_node *node, double *out_number)
{
    const char *text = is_plain(node) ? node->text : "";
    size_t length = strnlen(text, NUMBER_TEXT_MAX);
    char *end = NULL;
    if (length == 0 || length == NUMBER_TEXT_MAX || strspn(text, "0123456789+-.eE") != length) {
        return false;
    }
    double number = strtod(text, &end);
    if (*end != '\0' || !isfinite(number)) {
        return false;
    }
    *out_number = number;
    return true;
}

enum cvm_status cvm_schema_number(const struct cvm_yaml_node *node, double min, double max,
                                  double *out_number, struct cvm_error *err)
{
    double number = 0;
    if (!parse_number(node, &number) || !is_in_range(number, min, max)) {
        return fail_range(node, "a number", min, max, err);
    }
    *out_number = number;
    return CVM_OK;
}

static enum cvm_status read_int(const struct cvm_yaml_node *node,
                                const struct cvm_schema_field *field, int64_t *out_integer,
                                struct cvm_error *err)
{
    const char *text = is_plain(node) ? node->text : "";
    const char *digits = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    bool is_whole = *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
    errno = 0;
    long long integer = is_whole ? strtoll(text, NULL, 10) : 0;
    if (!is_whole || errno != 0 || !is_in_range((double)integer, field->min, field->max)) {
        return fail_range(node, "a whole number", field->min, field->max, err);
    }
    *out_integer = integer;
    return CVM_OK;
}

/* Decimal text to millionths, exactly. False when it is no such number or does not fit. */
static bool parse_micro(const char *text, int64_t *out_micro, size_t *out_decimals)
{
    bool is_negative = text[0] == '-';
    const char *p = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    size_t whole = strspn(p, "0123456789");
    bool has_point = p[whole] == '.';
    const char *fraction = p + whole + (has_point ? 1 : 0);
    size_t decimals = has_point ? strspn(fraction, "0123456789") : 0;
    int64_t micro = 0;

    if (whole == 0 || fraction[decimals] != '\0' || (has_point && decimals == 0)) {
        return false;
    }
    *out_decimals = decimals;
    for (size_t i = 0; i < whole + MICRO_DIGITS; i++) {
        size_t at = i - whole; /* used behind the point only */
        int digit = i < whole ? p[i] - '0' : at < decimals ? fraction[at] - '0' : 0;
        if (__builtin_mul_overflow(micro, 10, &micro) ||
            __builtin_sub_overflow(micro, digit, &micro)) {
            return false; /* negative all along: that side holds one more */
        }
    }
    if (!is_negative && __builtin_sub_overflow(0, micro, &micro)) {
        return false;
    }
    *out_micro = micro;
    return true;
}

static enum cvm_status read_micro(const struct cvm_yaml_node *node,
                                  const struct cvm_schema_field *field, int64_t *out_micro,
                                  struct cvm_error *err)
{
    int64_t micro = 0;
    size_t decimals = 0;
    if (!is_plain(node) || !parse_micro(node->text, &micro, &decimals)) {
        return fail_range(node, "an amount", field->min, field->max, err);
    }
    if (decimals > MICRO_DIGITS) {
        return fail_allowed(node, "an amount with at most 6 decimals", err);
    }
    if (!is_in_range((double)micro / MICRO_PER_UNIT, field->min, field->max)) {
        return fail_range(node, "an amount", field->min, field->max, err);
    }
    *out_micro = micro;
    return CVM_OK;
}

static enum cvm_status read_bool(const struct cvm_yaml_node *node, bool *out_boolean,
                                 struct cvm_error *err)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off"};
    for (size_t i = 0; is_plain(node) && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(node->text, words[i]) == 0) {
            *out_boolean = i % 2 == 0;
            return CVM_OK;
        }
    }
    return fail_allowed(node, "true or false", err);
}

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_.");
    return text[0] >= 'a' && text[0] <= 'z' && text[length] == '\0' && length <= NAME_LENGTH_MAX;
}

static enum cvm_status read_text(const struct cvm_yaml_node *node,
                                 const struct cvm_schema_field *field, const char **out_text,
                                 struct cvm_error *err)
{
    if (node->type != CVM_YAML_SCALAR || (field->required && is_nothing(node))) {
        return fail_allowed(node, "text", err);
    }
    if (field->type == CVM_SCHEMA_NAME && !is_name(node->text)) {
        return fail_allowed(node, "a name of at most 64 of a-z 0-9 _ . that begins with a letter",
                            err);
    }
    *out_text = is_nothing(node) ? "" : node->text;
    return CVM_OK;
}

static enum cvm_status read_date(const struct cvm_yaml_node *node, int32_t *out_day,
                                 struct cvm_error *err)
{
    int32_t day = 0;
    if (node->type != CVM_YAML_SCALAR || strlen(node->text) != DATE_LENGTH ||
        !cvm_day_parse(node->text, DATE_LENGTH, &day, NULL, NULL)) {
        return fail_allowed(node, "a date that exists, like 2026-03-20,", err);
    }
    *out_day = day;
    return CVM_OK;
}

static enum cvm_status read_span(const struct cvm_yaml_node *node,
                                 const struct cvm_schema_field *field, int64_t *out_ms,
                                 struct cvm_error *err)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    const char *text = is_plain(node) ? node->text : "";
    size_t digits = strspn(text, "0123456789");
    int64_t ms = -1;
    for (size_t i = 0; digits > 0 && digits < 12 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) == 0) {
            ms = strtoll(text, NULL, 10) * units[i].ms;
        }
    }
    if (ms < 0 || ms > SPAN_MS_MAX) {
        return fail_allowed(node, "a span of time, like 250ms, 30s, 10m, 4h or 2d,", err);
    }
    if (!is_in_range((double)ms, field->min, field->max)) {
        return fail_range(node, "a span, in milliseconds", field->min, field->max, err);
    }
    *out_ms = ms;
    return CVM_OK;
}

/* Is `candidate` so close to `text` that it may be a slip? Keeps the best distance seen. */
static bool is_nearer(const char *text, const char *candidate, size_t *best)
{
    size_t length = strlen(text);
    size_t distance = cvm_text_distance(text, candidate);
    size_t near_max = length < 6 ? 1 + (length > 3) : length / 3;
    if (distance > near_max || distance >= *best) {
        return false;
    }
    *best = distance;
    return true;
}

static enum cvm_status read_word(const struct cvm_yaml_node *node,
                                 const struct cvm_schema_field *field, int *out_word,
                                 struct cvm_error *err)
{
    const char *text = node->type == CVM_YAML_SCALAR ? node->text : "";
    const char *near = NULL;
    size_t best = SIZE_MAX;
    char allowed[256] = "one of";
    size_t used = strlen(allowed);

    for (int i = 0; field->words[i] != NULL; i++) {
        if (strcmp(text, field->words[i]) == 0) {
            *out_word = i;
            return CVM_OK;
        }
        near = is_nearer(text, field->words[i], &best) ? field->words[i] : near;
        int added = snprintf(allowed + used, sizeof(allowed) - used, i == 0 ? " %s" : ", %s",
                             field->words[i]);
        used = used + (size_t)added < sizeof(allowed) ? used + (size_t)added : used;
    }
    if (near != NULL) {
        char found[FOUND_SIZE];
        return cvm_schema_fail(node, err, "found %s, %s is allowed; did you mean '%s'?",
                               describe(node, found), allowed, near);
    }
    return fail_allowed(node, allowed, err);
}

static enum cvm_status read_texts(struct cvm_arena *arena, const struct cvm_yaml_node *node,
                                  struct cvm_schema_texts *out_texts, struct cvm_error *err)
{
    struct cvm_schema_texts texts = {NULL, 0};
    const struct cvm_yaml_node *item = node->type == CVM_YAML_LIST ? node->first_child : node;
    size_t capacity = node->type == CVM_YAML_LIST ? node->child_count : 1;
    char found[FOUND_SIZE];
    char message[MESSAGE_SIZE];

    if (node->type == CVM_YAML_MAP) {
        return fail_allowed(node, "a list of texts", err);
    }
    if (is_nothing(node) || capacity == 0) {
        *out_texts = texts;
        return CVM_OK;
    }
    texts.items = CVM_NEW_ARRAY(arena, capacity, const char *);
    if (texts.items == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the list '%s'", node->key);
    }
    for (; texts.count < capacity; item = item->next) {
        if (item->type != CVM_YAML_SCALAR || is_nothing(item)) {
            (void)snprintf(message, sizeof(message), "found %s in the list, text is allowed",
                           describe(item, found));
            return fail_key(item, node->key, message, err);
        }
        texts.items[texts.count++] = item->text;
    }
    *out_texts = texts;
    return CVM_OK;
}

static enum cvm_status read_value(struct cvm_arena *arena, const struct cvm_schema_field *field,
                                  const struct cvm_yaml_node *node, union value *out_value,
                                  struct cvm_error *err)
{
    switch (field->type) {
    case CVM_SCHEMA_TEXT:
    case CVM_SCHEMA_NAME:
        return read_text(node, field, &out_value->text, err);
    case CVM_SCHEMA_BOOL:
        return read_bool(node, &out_value->boolean, err);
    case CVM_SCHEMA_INT:
        return read_int(node, field, &out_value->integer, err);
    case CVM_SCHEMA_NUMBER:
        return cvm_schema_number(node, field->min, field->max, &out_value->number, err);
    case CVM_SCHEMA_MICRO:
        return read_micro(node, field, &out_value->integer, err);
    case CVM_SCHEMA_WORD:
        return read_word(node, field, &out_value->word, err);
    case CVM_SCHEMA_DATE:
        return read_date(node, &out_value->day, err);
    case CVM_SCHEMA_SPAN:
        return read_span(node, field, &out_value->integer, err);
    case CVM_SCHEMA_TEXTS:
        return read_texts(arena, node, &out_value->texts, err);
    case CVM_SCHEMA_NODE:
        out_value->node = node;
        return CVM_OK;
    }
    return CVM_FAIL(err, CVM_E_INTERNAL, "schema field '%s' has no type", field->key);
}

static size_t value_size(enum cvm_schema_type type)
{
    switch (type) {
    case CVM_SCHEMA_BOOL:
        return sizeof(bool);
    case CVM_SCHEMA_INT:
    case CVM_SCHEMA_MICRO:
    case CVM_SCHEMA_SPAN:
        return sizeof(int64_t);
    case CVM_SCHEMA_NUMBER:
        return sizeof(double);
    case CVM_SCHEMA_WORD:
        return sizeof(int);
    case CVM_SCHEMA_DATE:
        return sizeof(int32_t);
    case CVM_SCHEMA_TEXTS:
        return sizeof(struct cvm_schema_texts);
    case CVM_SCHEMA_TEXT:
    case CVM_SCHEMA_NAME:
    case CVM_SCHEMA_NODE:
        break;
    }
    return sizeof(const char *);
}

static void store_value(const struct cvm_schema_field *field, const union value *value,
                        void *out_struct)
{
    const bool is_present = true;
    memcpy((char *)out_struct + field->offset, value, value_size(field->type));
    if (field->present_offset != 0) {
        memcpy((char *)out_struct + field->present_offset - 1, &is_present, sizeof(is_present));
    }
}

static enum cvm_status fail_unknown(const struct cvm_schema *schema,
                                    const struct cvm_yaml_node *node, struct cvm_error *err)
{
    const char *near = NULL;
    size_t best = SIZE_MAX;
    char known[256] = "";
    size_t used = 0;
    for (const struct cvm_schema_field *f = schema->fields; f->key != NULL; f++) {
        near = is_nearer(node->key, f->key, &best) ? f->key : near;
        int added = snprintf(known + used, sizeof(known) - used, used == 0 ? "%s" : ", %s", f->key);
        used = used + (size_t)added < sizeof(known) ? used + (size_t)added : used;
    }
    enum cvm_status status =
        near == NULL
            ? CVM_FAIL(err, CVM_E_INVALID, "unknown key '%s' in %s", node->key, schema->what)
            : CVM_FAIL(err, CVM_E_INVALID, "unknown key '%s' in %s; did you mean '%s'?", node->key,
                       schema->what, near);
    (void)cvm_error_hint(err, status, "Known keys: %s.", known);
    return cvm_error_where(err, status, "%s:%d", node->file, node->line);
}

static const struct cvm_schema_field *find_field(const struct cvm_schema *schema, const char *key)
{
    for (const struct cvm_schema_field *f = schema->fields; f->key != NULL; f++) {
        if (strcmp(f->key, key) == 0) {
            return f;
        }
    }
    return NULL;
}

/* Read every member of `map`; with out_struct NULL only check them. */
static enum cvm_status read_members(struct cvm_arena *arena, const struct cvm_schema *schema,
                                    const struct cvm_yaml_node *map, void *out_struct,
                                    struct cvm_error *err)
{
    for (const struct cvm_yaml_node *n = map->first_child; n != NULL; n = n->next) {
        const struct cvm_schema_field *field = find_field(schema, n->key);
        union value value;
        if (field == NULL) {
            return fail_unknown(schema, n, err);
        }
        memset(&value, 0, sizeof(value));
        enum cvm_status status = read_value(arena, field, n, &value, err);
        if (status != CVM_OK) {
            return status;
        }
        if (out_struct != NULL) {
            store_value(field, &value, out_struct);
        }
    }
    return CVM_OK;
}

static enum cvm_status check_required(const struct cvm_schema *schema,
                                      const struct cvm_yaml_node *map, struct cvm_error *err)
{
    for (const struct cvm_schema_field *f = schema->fields; f->key != NULL; f++) {
        if (f->required && cvm_yaml_member(map, f->key) == NULL) {
            enum cvm_status status =
                CVM_FAIL(err, CVM_E_INVALID, "key '%s' is missing in %s", f->key, schema->what);
            return cvm_error_where(err, status, "%s:%d", map->file, map->line);
        }
    }
    return CVM_OK;
}

enum cvm_status cvm_schema_read(struct cvm_arena *arena, const struct cvm_schema *schema,
                                const struct cvm_yaml_node *map, void *out_struct,
                                struct cvm_error *err)
{
    char found[FOUND_SIZE];
    if (map->type != CVM_YAML_MAP) {
        return cvm_schema_fail(map, err, "found %s where %s is wanted, a map of keys is allowed",
                               describe(map, found), schema->what);
    }
    /* Twice, so that the struct is written only when all of the map is good. */
    enum cvm_status status = read_members(arena, schema, map, NULL, err);
    if (status == CVM_OK) {
        status = check_required(schema, map, err);
    }
    return status == CVM_OK ? read_members(arena, schema, map, out_struct, err) : status;
}
