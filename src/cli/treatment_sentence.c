#include "cli/treatment_sentence.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool cvm_is_letter(char c)
{
    return isalpha((unsigned char)c) != 0 || (unsigned char)c >= 0x80 || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t currency_length(const char *at)
{
    static const char *const signs[] = {"£", "€", "$"};
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (strncmp(at, signs[i], strlen(signs[i])) == 0) {
            return strlen(signs[i]);
        }
    }
    return 0;
}

/* "1,000", "10.50": points and commas count only between digits. */
static size_t number_length(const char *at)
{
    size_t length = at[0] == '-' ? 1 : 0;
    while (is_digit(at[length]) ||
           ((at[length] == '.' || at[length] == ',') && is_digit(at[length + 1]))) {
        length++;
    }
    return length;
}

/* "call-back" and "don't" are one word each. */
static size_t word_length(const char *at)
{
    size_t length = 0;
    while (cvm_is_letter(at[length]) || is_digit(at[length]) ||
           ((at[length] == '-' || at[length] == '\'') && length > 0 &&
            cvm_is_letter(at[length + 1]) && cvm_is_letter(at[length - 1]))) {
        if (length > 0 && currency_length(at + length) > 0) {
            break;
        }
        length++;
    }
    return length;
}

/* The quote that ends what this one begins; NULL = it begins nothing. */
static const char *closing_quote(const char *text, size_t at, size_t *out_length)
{
    static const char *const pairs[][2] = {
        {"\"", "\""}, {"\u201c", "\u201d"}, {"\u2018", "\u2019"}, {"«", "»"}, {"'", "'"}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        size_t length = strlen(pairs[i][0]);
        bool is_apostrophe = i == 4 && at > 0 && cvm_is_letter(text[at - 1]);
        if (strncmp(text + at, pairs[i][0], length) == 0 && !is_apostrophe &&
            strstr(text + at + length, pairs[i][1]) != NULL) {
            *out_length = length;
            return pairs[i][1];
        }
    }
    return NULL;
}

static struct cvm_token read_token(const char *text, size_t at)
{
    bool begins_number = is_digit(text[at]) ||
                         (text[at] == '-' && is_digit(text[at + 1]) &&
                          (at == 0 || (!cvm_is_letter(text[at - 1]) && !is_digit(text[at - 1]))));
    if (begins_number) {
        return (struct cvm_token){CVM_TOKEN_NUMBER, at, number_length(text + at), false, false};
    }
    if (currency_length(text + at) > 0) {
        return (struct cvm_token){CVM_TOKEN_CURRENCY, at, currency_length(text + at), false, false};
    }
    size_t length = word_length(text + at);
    return length > 0 ? (struct cvm_token){CVM_TOKEN_WORD, at, length, false, false}
                      : (struct cvm_token){CVM_TOKEN_SYMBOL, at, 1, false, false};
}

void cvm_sentence_read_tokens(struct cvm_treatment_sentence *sentence)
{
    const char *text = sentence->text;
    const char *closing = NULL;
    for (size_t at = 0; text[at] != '\0';) {
        size_t length = 0;
        if (closing != NULL && strncmp(text + at, closing, strlen(closing)) == 0) {
            at += strlen(closing);
            closing = NULL;
        } else if (closing == NULL && closing_quote(text, at, &length) != NULL) {
            closing = closing_quote(text, at, &length);
            at += length;
        } else if (isspace((unsigned char)text[at]) != 0) {
            at++;
        } else {
            struct cvm_token token = read_token(text, at);
            const char *end = closing == NULL ? NULL : strstr(text + at, closing);
            if (end != NULL && (size_t)(end - text) < at + token.length) {
                token.length = (size_t)(end - text) - at;
            }
            token.is_quoted = closing != NULL;
            sentence->tokens[sentence->count++] = token;
            at += token.length;
        }
    }
}

bool cvm_sentence_is(const struct cvm_treatment_sentence *sentence, size_t index, const char *word)
{
    if (index >= sentence->count) {
        return false;
    }
    const struct cvm_token *token = &sentence->tokens[index];
    size_t length = strlen(word);
    bool is_same = token->length == length;
    for (size_t i = 0; is_same && i < length; i++) {
        is_same = tolower((unsigned char)sentence->text[token->start + i]) == word[i];
    }
    return is_same;
}

bool cvm_sentence_is_any(const struct cvm_treatment_sentence *sentence, size_t index,
                         const char *const *words)
{
    bool is_one = false;
    for (; !is_one && *words != NULL; words++) {
        is_one = cvm_sentence_is(sentence, index, *words);
    }
    return is_one;
}

size_t cvm_sentence_match(const struct cvm_treatment_sentence *sentence, size_t index,
                          const char *phrase)
{
    size_t matched = 0;
    while (*phrase != '\0') {
        char word[24];
        size_t length = strcspn(phrase, " ");
        memcpy(word, phrase, length);
        word[length] = '\0';
        if (!cvm_sentence_is(sentence, index + matched, word) ||
            sentence->tokens[index + matched].is_quoted != sentence->tokens[index].is_quoted) {
            return 0;
        }
        matched++;
        phrase += length + (phrase[length] == ' ' ? 1 : 0);
    }
    return matched;
}

struct cvm_slice cvm_sentence_part(const struct cvm_treatment_sentence *sentence, size_t first,
                                   size_t last)
{
    const struct cvm_token *end = &sentence->tokens[last];
    size_t start = sentence->tokens[first].start;
    return (struct cvm_slice){sentence->text + start, end->start + end->length - start};
}

void cvm_sentence_tell(struct cvm_text *list, struct cvm_slice what, const char *format, ...)
{
    char rest[160];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rest, sizeof(rest), format, arguments);
    va_end(arguments);
    cvm_text_add_format(list, "'%.*s': %s\n", (int)what.length, what.data, rest);
}
