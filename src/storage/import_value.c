/* import_value.c - values of a record by path, type, word list and list aggregate. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "storage/import_mapper.h"

#define NUMBER_TEXT_MAX 64

static const struct cvm_json_value *present(const struct cvm_json_value *value)
{
    return value == NULL || value->type == CVM_JSON_NULL ? NULL : value;
}

static const struct cvm_json_value *find_from(const struct cvm_path *path, size_t step,
                                              const struct cvm_json_value *value)
{
    while (present(value) != NULL) {
        if (path->is_list[step]) {
            const struct cvm_json_value *first =
                value->type == CVM_JSON_ARRAY ? value->first_child : NULL;
            value = first;
        }
        step++;
        if (step == path->step_count) {
            return present(value);
        }
        value = cvm_json_member(value, path->steps[step]);
    }
    return NULL;
}

const struct cvm_json_value *cvm_import_find(const struct cvm_mapper *mapper,
                                             const struct cvm_import_path *path)
{
    return find_from(path->path, 0, mapper->slots[path->slot]);
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && is_digit(*p)) {
        p++;
    }
    return p;
}

/* Digits, one point, an exponent: no hexadecimal, no "nan", no "inf". */
static bool is_number(const char *p, const char *end)
{
    p += p < end && (*p == '-' || *p == '+');
    const char *digits = p;
    p = skip_digits(p, end);
    size_t count = (size_t)(p - digits);
    if (p < end && *p == '.') {
        const char *fraction = p + 1;
        p = skip_digits(fraction, end);
        count += (size_t)(p - fraction);
    }
    if (count > 0 && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '-' || *p == '+');
        const char *exponent = p;
        p = skip_digits(p, end);
        count = p == exponent ? 0 : count;
    }
    return count > 0 && p == end;
}

/* At most 15 digits and 15 decimals: whole number and power of ten are exact doubles, so that one
 * division rounds right. False if the text is of another form. */
static bool read_short(const char *p, const char *end, double *out_number)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    bool is_negative = p < end && *p == '-';
    uint64_t whole = 0;
    size_t decimals = 0;
    bool is_fraction = false;
    p += is_negative;
    if (end - p > 16) {
        return false;
    }
    for (; p < end; p++) {
        if (*p == '.') {
            is_fraction = true;
        } else if (is_digit(*p)) {
            whole = whole * 10 + (uint64_t)(*p - '0');
            decimals += is_fraction;
        } else {
            return false;
        }
    }
    if (whole > 999999999999999 || decimals > 15) {
        return false;
    }
    double number = (double)whole / powers[decimals];
    *out_number = is_negative ? -number : number;
    return true;
}

bool cvm_import_number(const char *text, size_t length, double *out_number)
{
    const char *end = text + length;
    while (text < end && (*text == ' ' || *text == '\t')) {
        text++;
    }
    while (end > text && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    if (end - text >= NUMBER_TEXT_MAX || !is_number(text, end)) {
        return false;
    }
    if (read_short(text, end, out_number)) {
        return true;
    }
    char copy[NUMBER_TEXT_MAX];
    memcpy(copy, text, (size_t)(end - text));
    copy[end - text] = '\0';
    double number = strtod(copy, NULL);
    if (!isfinite(number)) {
        return false;
    }
    *out_number = number;
    return true;
}

/* ---- one value ---- */

static bool find_word(const struct cvm_mapped_field *field, struct cvm_slice raw,
                      double *out_number)
{
    for (size_t w = 0; w < field->word_count; w++) {
        if (cvm_import_words_equal(raw.data, raw.length, field->words[w].raw)) {
            *out_number = field->words[w].value;
            return true;
        }
    }
    return false;
}

static bool find_canonical(const struct cvm_attribute *attribute, struct cvm_slice raw,
                           double *out_number)
{
    for (size_t w = 0; attribute->words != NULL && attribute->words[w] != NULL; w++) {
        if (cvm_import_words_equal(raw.data, raw.length, attribute->words[w])) {
            *out_number = (double)w;
            return true;
        }
    }
    return false;
}

static bool find_boolean(struct cvm_slice raw, double *out_number)
{
    static const char *const words[] = {"false", "true", "no", "yes", "n", "y", "0", "1"};
    for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
        if (cvm_import_words_equal(raw.data, raw.length, words[w])) {
            *out_number = (double)(w % 2);
            return true;
        }
    }
    return false;
}

static struct cvm_slice trimmed(struct cvm_slice text)
{
    while (text.length > 0 && text.data[0] == ' ') {
        text.data++;
        text.length--;
    }
    while (text.length > 0 && text.data[text.length - 1] == ' ') {
        text.length--;
    }
    return text;
}

static bool read_numeric(const struct cvm_import_field *field, const struct cvm_json_value *value,
                         double scale, double *out_number)
{
    double number = 0;
    if (value->type == CVM_JSON_INT || value->type == CVM_JSON_DOUBLE) {
        number = value->number;
    } else if (value->type != CVM_JSON_STRING) {
        return false;
    } else if (find_word(field->field, trimmed(value->string), out_number)) {
        return true;
    } else if (!cvm_import_number(value->string.data, value->string.length, &number)) {
        return false;
    }
    number *= scale;
    if (!isfinite(number)) {
        return false;
    }
    *out_number = number + 0.0; /* -0 becomes 0: they must not differ in text */
    return true;
}

static bool read_word(const struct cvm_import_field *field, const struct cvm_json_value *value,
                      double *out_number)
{
    struct cvm_slice raw = value->type == CVM_JSON_STRING ? trimmed(value->string) : value->raw;
    bool is_boolean = field->attribute->type == CVM_ATTRIBUTE_BOOLEAN;
    if (value->type == CVM_JSON_ARRAY || value->type == CVM_JSON_OBJECT || raw.length == 0) {
        return false;
    }
    if (find_word(field->field, raw, out_number)) {
        return true;
    }
    return is_boolean ? find_boolean(raw, out_number)
                      : find_canonical(field->attribute, raw, out_number);
}

static bool read_date(const struct cvm_json_value *value, double *out_number)
{
    int32_t day = CVM_DAY_NONE;
    if (value->type != CVM_JSON_STRING ||
        !cvm_day_parse(value->string.data, value->string.length, &day, NULL, NULL)) {
        return false;
    }
    *out_number = day;
    return true;
}

static bool read_value(const struct cvm_import_field *field, const struct cvm_json_value *value,
                       double scale, struct cvm_mapped_value *out)
{
    if (value->type == CVM_JSON_NULL) {
        return false;
    }
    switch (field->attribute->type) {
    case CVM_ATTRIBUTE_NUMBER:
        return read_numeric(field, value, scale, &out->number);
    case CVM_ATTRIBUTE_BOOLEAN:
    case CVM_ATTRIBUTE_WORD:
        return read_word(field, value, &out->number);
    case CVM_ATTRIBUTE_DATE:
        return read_date(value, &out->number);
    case CVM_ATTRIBUTE_CODE:
        if (value->type == CVM_JSON_INT) { /* 4711 and "4711" are the same household */
            out->text = value->raw;
            return true;
        }
        out->text = value->string;
        return value->type == CVM_JSON_STRING && value->string.length > 0;
    case CVM_ATTRIBUTE_LABEL:
    case CVM_ATTRIBUTE_TEXT:
        out->text = value->string;
        return value->type == CVM_JSON_STRING && value->string.length > 0;
    }
    return false;
}

/* ---- lists ---- */

struct walking {
    const struct cvm_import_field *field;
    const struct cvm_path *path;
    size_t elements; /* that the path leads to, whatever their type */
    size_t lists;    /* that were found */
    size_t values;   /* of the right type */
    struct cvm_mapped_value result;
};

static void take_leaf(struct walking *w, const struct cvm_json_value *value)
{
    struct cvm_mapped_value found = {0};
    if (present(value) == NULL) {
        return;
    }
    w->elements++;
    if (!read_value(w->field, value, w->path->scale, &found)) {
        return;
    }
    w->values++;
    if (w->values == 1) {
        w->result = found;
        return;
    }
    switch (w->field->field->aggregate) {
    case CVM_LIST_SUM:
        w->result.number += found.number;
        break;
    case CVM_LIST_MIN:
        w->result.number = fmin(w->result.number, found.number);
        break;
    case CVM_LIST_MAX:
        w->result.number = fmax(w->result.number, found.number);
        break;
    case CVM_LIST_FIRST:
    case CVM_LIST_COUNT:
        break;
    }
}

static void walk(struct walking *w, size_t step, const struct cvm_json_value *value);

static void walk_on(struct walking *w, size_t step, const struct cvm_json_value *value)
{
    if (step + 1 == w->path->step_count) {
        take_leaf(w, value);
    } else {
        walk(w, step + 1, cvm_json_member(value, w->path->steps[step + 1]));
    }
}

/* The depth is that of the path. */
static void walk(struct walking *w, size_t step, const struct cvm_json_value *value)
{
    if (present(value) == NULL) {
        return;
    }
    if (!w->path->is_list[step]) {
        walk_on(w, step, value);
        return;
    }
    if (value->type == CVM_JSON_ARRAY) {
        w->lists++;
        for (const struct cvm_json_value *e = value->first_child; e != NULL; e = e->next) {
            walk_on(w, step, e);
        }
    }
}

/* An empty list sums to 0 and counts 0; a list without any value of the right type has no sum. */
static bool read_list(const struct cvm_mapper *mapper, const struct cvm_import_field *field,
                      const struct cvm_import_path *path, struct cvm_mapped_value *out)
{
    struct walking w = {.field = field, .path = path->path};
    walk(&w, 0, mapper->slots[path->slot]);
    bool is_number = field->attribute->type == CVM_ATTRIBUTE_NUMBER;
    if (is_number && field->field->aggregate == CVM_LIST_COUNT) {
        out->number = (double)w.elements;
        return w.lists > 0;
    }
    if (is_number && field->field->aggregate == CVM_LIST_SUM && w.elements == 0 && w.lists > 0) {
        out->number = 0;
        return true;
    }
    w.result.number += 0.0;
    *out = w.result;
    return w.values > 0 && isfinite(w.result.number);
}

/* ---- fields ---- */

static bool read_path(const struct cvm_mapper *mapper, const struct cvm_import_field *field,
                      const struct cvm_import_path *path, struct cvm_mapped_value *out)
{
    if (path->has_list) {
        return read_list(mapper, field, path, out);
    }
    const struct cvm_json_value *value =
        path->is_plain ? mapper->slots[path->slot] : cvm_import_find(mapper, path);
    return value != NULL && read_value(field, value, path->path->scale, out);
}

static bool sum_up(const struct cvm_mapper *mapper, const struct cvm_mapped_field *field,
                   struct cvm_mapped_value *out)
{
    const struct cvm_source *source = mapper->source->source;
    size_t count = 0;
    double sum = 0;
    for (size_t s = 0; s < field->sum_of_count; s++) {
        for (size_t f = 0; f < source->field_count; f++) {
            if (source->fields[f].attribute == field->sum_of[s] && mapper->values[f].is_present) {
                sum += mapper->values[f].number;
                count++;
                break;
            }
        }
    }
    out->number = sum + 0.0;
    return count > 0 && isfinite(sum);
}

void cvm_import_map_fields(struct cvm_mapper *mapper)
{
    const struct cvm_import_source *source = mapper->source;
    for (size_t f = 0; f < source->source->field_count; f++) {
        const struct cvm_import_field *field = &source->fields[f];
        struct cvm_mapped_value *out = &mapper->values[f];
        *out = (struct cvm_mapped_value){0};
        for (size_t p = 0; p < field->path_count && !out->is_present; p++) {
            const struct cvm_import_path *path = &field->paths[p];
            if (mapper->slots[path->slot] != NULL && read_path(mapper, field, path, out)) {
                out->is_present = true;
                mapper->is_used[path->number] = true;
                mapper->is_consumed[path->slot] |= path->is_plain;
            }
        }
        if (!out->is_present && field->field->sum_of_count > 0) {
            out->is_present = sum_up(mapper, field->field, out);
        }
        if (!out->is_present && field->field->has_constant) {
            out->number = field->field->constant;
            out->is_present = true;
        }
    }
}
