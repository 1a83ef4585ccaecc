/* text_search.c - looking into text: distance, phrases, snippets, patterns. */
#include "base/text.h"

#include <string.h>

#define DISTANCE_BYTES_MAX 64

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

size_t cvm_text_distance(const char *a, const char *b)
{
    size_t a_length = strnlen(a, DISTANCE_BYTES_MAX);
    size_t b_length = strnlen(b, DISTANCE_BYTES_MAX);
    size_t row[DISTANCE_BYTES_MAX + 1];
    for (size_t j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(replaced, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_length];
}

/* Small letter of a Latin character of two bytes (U+0080..U+07FF); others stay. Pairs of other
 * lengths (U+0130, U+0178 are none of ours) stay too, so that a hit is as long as its phrase. */
static unsigned fold_latin(unsigned code)
{
    if (code >= 0xC0 && code <= 0xDE && code != 0xD7) {
        return code + 0x20;
    }
    if (code == 0x178) {
        return 0xFF;
    }
    bool even_is_capital = (code >= 0x100 && code <= 0x137 && code != 0x130 && code != 0x131) ||
                           (code >= 0x14A && code <= 0x177) || (code >= 0x1DE && code <= 0x1EF) ||
                           (code >= 0x1F8 && code <= 0x21F) || (code >= 0x222 && code <= 0x233);
    bool odd_is_capital = (code >= 0x139 && code <= 0x148) || (code >= 0x179 && code <= 0x17E) ||
                          (code >= 0x1CD && code <= 0x1DC);
    if (even_is_capital) {
        return code | 1U;
    }
    return odd_is_capital && code % 2 == 1 ? code + 1 : code;
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* One folded character; *at moves past it. Invalid bytes stand for themselves. */
static unsigned read_folded(const char **at, const char *end)
{
    unsigned char first = (unsigned char)**at;
    (*at)++;
    if (first < 0x80) {
        return first >= 'A' && first <= 'Z' ? first + 0x20U : first;
    }
    if (first >= 0xC2 && first <= 0xDF && *at < end && is_continuation(**at)) {
        unsigned code = (first & 0x1FU) << 6 | ((unsigned char)**at & 0x3FU);
        (*at)++;
        return fold_latin(code);
    }
    unsigned code = first;
    for (int i = 0; i < 3 && *at < end && is_continuation(**at); i++) {
        code = code << 8 | (unsigned char)**at;
        (*at)++;
    }
    return code + 0x800; /* apart from the two-byte characters; only compared, never written */
}

static bool is_word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether the character that begins at `at` is a letter or digit. Beyond ASCII everything counts as
 * a letter but signs of Latin-1 and the general punctuation block (dashes, quotes, "..."). */
static bool begins_with_word(const char *at, const char *end)
{
    unsigned char first = (unsigned char)at[0];
    if (first < 0x80) {
        return is_word_byte(at[0]);
    }
    unsigned char second = end - at > 1 ? (unsigned char)at[1] : 0;
    if (first == 0xC2) {
        return second == 0xAA || second == 0xB5 || second == 0xBA;
    }
    if (first == 0xC3) {
        return second != 0x97 && second != 0xB7;
    }
    return !(first == 0xE2 && (second == 0x80 || second == 0x81));
}

static const char *character_before(const char *start, const char *at)
{
    do {
        at--;
    } while (at > start && is_continuation(*at));
    return at;
}

/* A word may not go on across either end of [hit, hit_end). */
static bool is_whole(const char *text, const char *end, const char *hit, const char *hit_end)
{
    if (hit > text && begins_with_word(hit, end) &&
        begins_with_word(character_before(text, hit), end)) {
        return false;
    }
    return hit_end == end || !begins_with_word(hit_end, end) ||
           !begins_with_word(character_before(hit, hit_end), end);
}

/* The end of the phrase if it stands at `at`, else NULL. */
static const char *match_at(const char *at, const char *end, const char *phrase,
                            const char *phrase_end)
{
    while (phrase < phrase_end) {
        if (at == end || read_folded(&at, end) != read_folded(&phrase, phrase_end)) {
            return NULL;
        }
    }
    return at;
}

ptrdiff_t cvm_text_find_phrase(const char *text, size_t length, const char *phrase)
{
    size_t phrase_length = strlen(phrase);
    if (phrase_length == 0 || phrase_length > length) {
        return -1;
    }
    const char *end = text + length;
    const char *phrase_end = phrase + phrase_length;
    char first = phrase[0];
    bool is_letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    char mask = is_letter ? (char)~0x20 : (char)~0; /* capital and small letters differ by 0x20 */
    bool is_ascii = (unsigned char)first < 0x80;
    for (const char *at = text; end - at >= (ptrdiff_t)phrase_length; at++) {
        if (is_ascii ? (*at & mask) != (first & mask) : (unsigned char)*at < 0xC2) {
            continue;
        }
        const char *hit_end = match_at(at, end, phrase, phrase_end);
        if (hit_end != NULL && is_whole(text, end, at, hit_end)) {
            return at - text;
        }
    }
    return -1;
}

void cvm_text_snippet(struct cvm_text *out, const char *text, size_t length, size_t offset,
                      size_t hit_length, size_t context_chars)
{
    if (length == 0 || hit_length == 0 || offset >= length) {
        return;
    }
    const char *end = text + length;
    const char *start = text + offset;
    const char *stop = start + smaller(hit_length, length - offset);
    for (size_t i = 0; i < context_chars && start > text; i++) {
        start = character_before(text, start);
    }
    for (size_t i = 0; i < context_chars && stop < end; i++) {
        stop++;
        while (stop < end && is_continuation(*stop)) {
            stop++;
        }
    }
    if (start > text) {
        cvm_text_add(out, "...");
    }
    cvm_text_add_bytes(out, start, (size_t)(stop - start));
    if (stop < end) {
        cvm_text_add(out, "...");
    }
}

bool cvm_text_matches_pattern(const char *text, const char *pattern)
{
    const char *star = NULL; /* the last '*' seen, and the text it was first tried against */
    const char *tried = NULL;
    while (*text != '\0') {
        if (*pattern == '*') {
            star = pattern++;
            tried = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star + 1;
            text = ++tried;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
