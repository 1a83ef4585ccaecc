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

/* ---- characters ---- */

static bool is_between(unsigned code, unsigned first, unsigned last)
{
    return code >= first && code <= last;
}

/* Small letter of a Latin capital; others stay. */
static unsigned fold_latin(unsigned code)
{
    if (is_between(code, 0xC0, 0xDE) && code != 0xD7) {
        return code + 0x20;
    }
    if (code == 0x178) {
        return 0xFF;
    }
    bool even_is_capital = (is_between(code, 0x100, 0x137) && code != 0x130 && code != 0x131) ||
                           is_between(code, 0x14A, 0x177) || is_between(code, 0x1DE, 0x1EF) ||
                           is_between(code, 0x1F8, 0x21F) || is_between(code, 0x222, 0x233) ||
                           is_between(code, 0x1E00, 0x1E95) || is_between(code, 0x1EA0, 0x1EFF);
    bool odd_is_capital = is_between(code, 0x139, 0x148) || is_between(code, 0x179, 0x17E) ||
                          is_between(code, 0x1CD, 0x1DC);
    if (even_is_capital) {
        return code | 1U;
    }
    return odd_is_capital && code % 2 == 1 ? code + 1 : code;
}

/* Small letter of a Greek, Cyrillic or Armenian capital; a final sigma is a sigma. */
static unsigned fold_eastern(unsigned code)
{
    if (is_between(code, 0x391, 0x3AB) || is_between(code, 0x410, 0x42F)) {
        return code + 0x20;
    }
    if (is_between(code, 0x400, 0x40F)) {
        return code + 0x50;
    }
    if (is_between(code, 0x531, 0x556)) {
        return code + 0x30;
    }
    if (is_between(code, 0x460, 0x481) || is_between(code, 0x48A, 0x4BF) ||
        is_between(code, 0x4D0, 0x52F)) {
        return code | 1U;
    }
    switch (code) {
    case 0x386:
        return 0x3AC;
    case 0x388:
    case 0x389:
    case 0x38A:
        return code + 0x25;
    case 0x38C:
        return 0x3CC;
    case 0x38E:
    case 0x38F:
        return code + 0x3F;
    case 0x3C2:
        return 0x3C3;
    default:
        return code;
    }
}

/* Typographic apostrophes and hyphens are those of a keyboard. */
static unsigned fold_sign(unsigned code)
{
    if (code == 0x2018 || code == 0x2019 || code == 0x2BC) {
        return '\'';
    }
    return code == 0x2010 || code == 0x2011 ? '-' : code;
}

static unsigned fold(unsigned code)
{
    if (code < 0x80) {
        return is_between(code, 'A', 'Z') ? code + 0x20 : code;
    }
    return fold_sign(is_between(code, 0x370, 0x58F) ? fold_eastern(code) : fold_latin(code));
}

static bool is_space(unsigned code)
{
    return code == ' ' || is_between(code, '\t', '\r') || code == 0xA0 || code == 0x202F ||
           code == 0x3000;
}

/* Scripts that put no space between words: a word may begin and end anywhere. */
static bool is_written_without_spaces(unsigned code)
{
    return is_between(code, 0xE00, 0xEFF) ||   /* Thai, Lao */
           is_between(code, 0x1000, 0x109F) || /* Myanmar */
           is_between(code, 0x1780, 0x17FF) || /* Khmer */
           is_between(code, 0x2E80, 0x2FDF) || /* radicals */
           is_between(code, 0x3040, 0x312F) || /* Japanese syllables, Bopomofo */
           is_between(code, 0x31A0, 0x9FFF) || /* Han */
           is_between(code, 0xF900, 0xFAFF) || /* Han, compatible */
           is_between(code, 0xFF66, 0xFF9F) || /* Japanese syllables, narrow */
           is_between(code, 0x20000, 0x3FFFF); /* Han, rare */
}

static bool is_sign(unsigned code)
{
    return (code < 0xC0 && code != 0xAA && code != 0xB5 && code != 0xBA) || code == 0xD7 ||
           code == 0xF7 || code == 0x589 || code == 0x60C || code == 0x61B || code == 0x61F ||
           code == 0x6D4 || code == 0x964 || code == 0x965 ||
           is_between(code, 0x2000, 0x2BFF) || /* punctuation, currencies, symbols */
           is_between(code, 0x2E00, 0x2E7F) || /* more punctuation */
           is_between(code, 0x3000, 0x303F) || /* that of Chinese and Japanese */
           is_between(code, 0xFE00, 0xFE6F) || /* variants, small forms */
           is_between(code, 0xFF00, 0xFF0F) || is_between(code, 0xFF1A, 0xFF20) ||
           is_between(code, 0xFF3B, 0xFF40) || is_between(code, 0xFF5B, 0xFF65) ||
           is_between(code, 0x1F000, 0x1FAFF) || code == 0xFFFD || code == 0xFEFF;
}

/* Letters and digits, of which words are made that may not go on beyond a hit. */
static bool is_of_word(unsigned code)
{
    if (code < 0x80) {
        return is_between(code, '0', '9') || is_between(code, 'a', 'z') ||
               is_between(code, 'A', 'Z');
    }
    return !is_sign(code) && !is_written_without_spaces(code);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* One character; *at moves past it. Invalid bytes stand for themselves, beyond all characters. */
static unsigned read_character(const char **at, const char *end)
{
    unsigned char first = (unsigned char)*(*at)++;
    if (first < 0x80) {
        return first;
    }
    int more = first >= 0xF8 ? 0 : first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC2 ? 1 : 0;
    unsigned code = first & (0x3FU >> more);
    int i = 0;
    for (; i < more && *at < end && is_continuation(**at); i++) {
        code = code << 6 | ((unsigned char)**at & 0x3FU);
        (*at)++;
    }
    if (more == 0 || i < more) {
        return 0x40000U + first;
    }
    return code;
}

static unsigned peek_character(const char *at, const char *end)
{
    return read_character(&at, end);
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
    if (hit > text && is_of_word(peek_character(hit, end)) &&
        is_of_word(peek_character(character_before(text, hit), end))) {
        return false;
    }
    return hit_end == end || !is_of_word(peek_character(hit_end, end)) ||
           !is_of_word(peek_character(character_before(hit, hit_end), end));
}

static const char *after_spaces(const char *at, const char *end)
{
    while (at < end && is_space(peek_character(at, end))) {
        (void)read_character(&at, end);
    }
    return at;
}

/* The end of the phrase if it stands at `at`, else NULL. */
static const char *match_at(const char *at, const char *end, const char *phrase,
                            const char *phrase_end)
{
    while (phrase < phrase_end) {
        if (at == end) {
            return NULL;
        }
        unsigned wanted = read_character(&phrase, phrase_end);
        unsigned found = read_character(&at, end);
        if (is_space(wanted) && is_space(found)) {
            phrase = after_spaces(phrase, phrase_end);
            at = after_spaces(at, end);
        } else if (fold(wanted) != fold(found)) {
            return NULL;
        }
    }
    return at;
}

ptrdiff_t cvm_text_find_phrase(const char *text, size_t length, const char *phrase,
                               size_t *out_length)
{
    const char *end = text + length;
    const char *phrase_end = phrase + strlen(phrase);
    char first = phrase[0];
    bool is_letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
    bool is_digit = first >= '0' && first <= '9';
    char mask = is_letter ? (char)~0x20 : (char)~0; /* capital and small letters differ by 0x20 */
    for (const char *at = text; at < end && first != '\0'; at++) {
        if (is_letter || is_digit ? (*at & mask) != (first & mask) : is_continuation(*at)) {
            continue;
        }
        const char *hit_end = match_at(at, end, phrase, phrase_end);
        if (hit_end != NULL && is_whole(text, end, at, hit_end)) {
            if (out_length != NULL) {
                *out_length = (size_t)(hit_end - at);
            }
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
