#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules/rule_tree.h"

/* ---- places ---- */

/* Columns count characters, not bytes: an analyst counts what the editor shows. */
enum cvm_status cvm_rule_place(const struct cvm_rule_reading *reading, const char *at,
                               enum cvm_status status)
{
    const char *newline = strchr(reading->text, '\n');
    bool has_lines = newline != NULL && newline[strspn(newline, " \t\r\n")] != '\0';
    int line = 1;
    int column = 1;

    for (const char *p = reading->text; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xC0) != 0x80) {
            column++;
        }
    }
    return has_lines ? cvm_error_context(reading->err, status, "line %d, column %d", line, column)
                     : cvm_error_context(reading->err, status, "column %d", column);
}

enum cvm_status cvm_rule_no_memory(const struct cvm_rule_reading *reading)
{
    return CVM_FAIL(reading->err, CVM_E_LIMIT, "no memory for a rule");
}

/* ---- names and numbers ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum cvm_status read_name(const struct cvm_rule_reading *reading, const char *at,
                                 struct cvm_rule_token *token)
{
    const char *end = at;
    while (is_letter(*end) || is_digit(*end) || *end == '.') {
        end++;
    }
    size_t length = (size_t)(end - at);
    if (length >= CVM_RULE_NAME_MAX) {
        return CVM_RULE_FAIL(reading, at, "the name is longer than %d bytes",
                             CVM_RULE_NAME_MAX - 1);
    }
    char *name = cvm_arena_copy(reading->arena, at, length);
    if (name == NULL) {
        return cvm_rule_no_memory(reading);
    }
    *token = (struct cvm_rule_token){
        .kind = CVM_TOKEN_NAME, .from = at, .to = end, .text = name, .length = length};
    return CVM_OK;
}

static const char *skip_digits(const char *at)
{
    while (is_digit(*at)) {
        at++;
    }
    return at;
}

/* Digits, a point with digits, an exponent; not strtod()'s "inf", "0x1p3" or "5.". NULL if it is
 * none. */
static const char *number_end(const char *at)
{
    const char *end = skip_digits(at);
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        if (end == fraction) {
            return NULL;
        }
    }
    if (*end == 'e' || *end == 'E') {
        const char *exponent = end + 1;
        exponent += *exponent == '+' || *exponent == '-' ? 1 : 0;
        end = skip_digits(exponent);
        if (end == exponent) {
            return NULL;
        }
    }
    return is_letter(*end) || *end == '.' ? NULL : end;
}

static enum cvm_status read_number(const struct cvm_rule_reading *reading, const char *at,
                                   struct cvm_rule_token *token)
{
    char digits[64];
    const char *end = number_end(at);
    size_t length = end == NULL ? 0 : (size_t)(end - at);

    if (length > 0 && length < sizeof(digits)) {
        memcpy(digits, at, length);
        digits[length] = '\0';
        double value = strtod(digits, NULL);
        if (isfinite(value)) {
            *token = (struct cvm_rule_token){
                .kind = CVM_TOKEN_NUMBER, .from = at, .to = end, .number = value};
            return CVM_OK;
        }
    }
    return CVM_RULE_FAIL(reading, at, "not a number");
}

/* ---- texts ---- */

static int hex_digit(char c)
{
    return is_digit(c)              ? c - '0'
           : (c >= 'a' && c <= 'f') ? c - 'a' + 10
           : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                    : -1;
}

/* The bytes of a character of the basic plane; their number. */
static size_t write_utf8(unsigned code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    out[0] = (char)(0xE0 | code >> 12);
    out[1] = (char)(0x80 | (code >> 6 & 0x3F));
    out[2] = (char)(0x80 | (code & 0x3F));
    return 3;
}

/* The four hex digits of \uXXXX; 0 if they are none, or no character by themselves. */
static unsigned read_code(const char *at)
{
    unsigned code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return 0;
        }
        code = code << 4 | (unsigned)digit;
    }
    return code >= 0xD800 && code <= 0xDFFF ? 0 : code;
}

/* One escape at *at into out; moves both on. */
static enum cvm_status read_escape(const struct cvm_rule_reading *reading, const char **at,
                                   char **out)
{
    static const char known[] = "'\"\\nt";
    static const char meaning[] = "'\"\\\n\t";
    const char *escape = *at;
    const char *found = escape[1] == '\0' ? NULL : strchr(known, escape[1]);

    if (found != NULL) {
        *(*out)++ = meaning[found - known];
        *at += 2;
        return CVM_OK;
    }
    unsigned code = escape[1] == 'u' ? read_code(escape + 2) : 0;
    if (code == 0) {
        return CVM_RULE_FAIL(reading, escape,
                             "after '\\' in a text comes ' \" \\ n t or u and four hex digits");
    }
    *out += write_utf8(code, *out);
    *at += 6;
    return CVM_OK;
}

/* The closing quote; NULL when the line ends before it. */
static const char *closing_quote(const char *at)
{
    const char *p = at + 1;
    while (*p != *at) {
        p += *p == '\\' && p[1] != '\0' ? 1 : 0; /* what is escaped closes nothing */
        if (*p == '\0' || *p == '\n') {
            return NULL;
        }
        p++;
    }
    return p;
}

static enum cvm_status read_text(const struct cvm_rule_reading *reading, const char *at,
                                 struct cvm_rule_token *token)
{
    const char *end = closing_quote(at);
    if (end == NULL) {
        return CVM_RULE_FAIL(reading, at, "the quote is never closed");
    }
    /* Never longer than as written: \uXXXX, six bytes, becomes at most three. */
    char *text = cvm_arena_alloc(reading->arena, (size_t)(end - at), 1);
    char *out = text;
    if (text == NULL) {
        return cvm_rule_no_memory(reading);
    }
    for (const char *p = at + 1; p < end;) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        enum cvm_status status = read_escape(reading, &p, &out);
        if (status != CVM_OK) {
            return status;
        }
    }
    *token = (struct cvm_rule_token){.kind = CVM_TOKEN_TEXT,
                                     .from = at,
                                     .to = end + 1,
                                     .text = text,
                                     .length = (size_t)(out - text)};
    return CVM_OK;
}

/* ---- signs ---- */

static enum cvm_status fail_sign(const struct cvm_rule_reading *reading, const char *at)
{
    static const struct {
        const char *sign;
        const char *message;
    } wrong[] = {
        {"=", "'=' is no comparison; equality is '=='"}, {"&", "'&' is no operator; 'and' is '&&'"},
        {"|", "'|' is no operator; 'or' is '||'"},       {"`", "a text stands in ' or \""},
        {";", "a rule is one expression, without ';'"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (*at == wrong[i].sign[0]) {
            return CVM_RULE_FAIL(reading, at, "%s", wrong[i].message);
        }
    }
    int length = 1; /* of the character */
    while (((unsigned char)at[length] & 0xC0) == 0x80) {
        length++;
    }
    return CVM_RULE_FAIL(reading, at, "'%.*s' has no meaning in a rule", length, at);
}

static enum cvm_status read_sign(const struct cvm_rule_reading *reading, const char *at,
                                 struct cvm_rule_token *token)
{
    /* The longer ones first, for "<" is the start of "<=". */
    static const char *const signs[] = {"&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-",
                                        "*",  "/",  "%",  "(",  ")",  "[",  "]", ",", "?", ":"};

    if (strncmp(at, "<>", 2) == 0) {
        return CVM_RULE_FAIL(reading, at, "'<>' is written '!='");
    }
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        size_t length = strlen(signs[i]);
        if (strncmp(at, signs[i], length) == 0) {
            *token = (struct cvm_rule_token){.kind = CVM_TOKEN_SIGN,
                                             .from = at,
                                             .to = at + length,
                                             .text = signs[i],
                                             .length = length};
            return CVM_OK;
        }
    }
    return fail_sign(reading, at);
}

enum cvm_status cvm_rule_token_read(const struct cvm_rule_reading *reading, const char *at,
                                    struct cvm_rule_token *out_token)
{
    const char *before = at;
    at += strspn(at, " \t\r\n");
    if (*at == '\0') { /* what is lacking there belongs behind the last token */
        *out_token = (struct cvm_rule_token){.kind = CVM_TOKEN_END, .from = before, .to = at};
        return CVM_OK;
    }
    if (is_letter(*at)) {
        return read_name(reading, at, out_token);
    }
    if (is_digit(*at) || *at == '.') {
        return read_number(reading, at, out_token);
    }
    return *at == '\'' || *at == '"' ? read_text(reading, at, out_token)
                                     : read_sign(reading, at, out_token);
}
