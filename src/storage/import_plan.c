#include "storage/import_plan.h"

#include <string.h>

#include "base/json_writer.h"

/* One source being compiled. */
struct compiling {
    struct cvm_arena *arena;
    struct cvm_import_source *plan;
};

static size_t count_paths(const struct cvm_source *source)
{
    size_t count = source->customer_path_count + source->date_path_count +
                   source->identity_path_count + source->ignored_path_count + 4;
    for (size_t f = 0; f < source->field_count; f++) {
        count += source->fields[f].path_count;
    }
    return count;
}

static int slot_of(struct compiling *c, const char *key)
{
    struct cvm_import_source *plan = c->plan;
    for (size_t s = 0; s < plan->slot_count; s++) {
        if (strcmp(plan->keys[s], key) == 0) {
            return (int)s;
        }
    }
    plan->keys[plan->slot_count] = key;
    plan->key_lengths[plan->slot_count] = strlen(key);
    return (int)plan->slot_count++;
}

static struct cvm_import_path *compile_paths(struct compiling *c, const struct cvm_path *paths,
                                             size_t count)
{
    /* One more, so that an empty list is not NULL, which means out of memory here. */
    struct cvm_import_path *out = CVM_NEW_ARRAY(c->arena, count + 1, struct cvm_import_path);
    for (size_t i = 0; out != NULL && i < count; i++) {
        out[i].path = &paths[i];
        out[i].slot = slot_of(c, paths[i].steps[0]);
        out[i].number = (int)c->plan->path_count;
        for (size_t s = 0; s < paths[i].step_count; s++) {
            out[i].has_list = out[i].has_list || paths[i].is_list[s];
        }
        out[i].is_plain = paths[i].step_count == 1 && !out[i].has_list;
        c->plan->paths[c->plan->path_count++] = &out[i];
    }
    return out;
}

static const struct cvm_import_path *compile_optional(struct compiling *c,
                                                      const struct cvm_path *path, bool *failed)
{
    if (path->step_count == 0) {
        return NULL;
    }
    const struct cvm_import_path *out = compile_paths(c, path, 1);
    *failed = *failed || out == NULL;
    return out;
}

/* A text as a JSON string, with `ending` behind it; .data NULL when out of memory. */
static struct cvm_slice quote(struct compiling *c, const char *string, const char *ending)
{
    struct cvm_text text;
    struct cvm_json_writer writer;
    struct cvm_slice quoted = {0};
    cvm_text_init(&text, 0);
    cvm_json_init(&writer, &text, false);
    cvm_json_string(&writer, string);
    cvm_text_add(&text, ending);
    if (!text.failed) {
        quoted.data = cvm_arena_copy(c->arena, text.data, text.length);
        quoted.length = text.length;
    }
    cvm_text_finish(&text);
    return quoted;
}

static bool quote_words(struct compiling *c, struct cvm_import_field *field)
{
    const char *const *words = field->attribute->words;
    size_t count = 0;
    while (words != NULL && words[count] != NULL) {
        count++;
    }
    struct cvm_slice *quoted = CVM_NEW_ARRAY(c->arena, count + 1, struct cvm_slice);
    for (size_t w = 0; quoted != NULL && w < count; w++) {
        quoted[w] = quote(c, words[w], "");
        if (quoted[w].data == NULL) {
            return false;
        }
    }
    field->json_words = quoted;
    return quoted != NULL;
}

static bool set_json(struct compiling *c, struct cvm_import_field *field)
{
    struct cvm_slice key = quote(c, field->attribute->name, ":");
    field->json_key = key.data;
    field->json_key_length = key.length;
    return key.data != NULL && quote_words(c, field);
}

static bool compile_fields(struct compiling *c, const struct cvm_catalogue *catalogue)
{
    const struct cvm_source *source = c->plan->source;
    struct cvm_import_field *fields =
        CVM_NEW_ARRAY(c->arena, source->field_count + 1, struct cvm_import_field);
    size_t *order = CVM_NEW_ARRAY(c->arena, source->field_count + 1, size_t);
    if (fields == NULL || order == NULL) {
        return false;
    }
    for (size_t f = 0; f < source->field_count; f++) {
        const struct cvm_mapped_field *field = &source->fields[f];
        fields[f].field = field;
        fields[f].attribute = &catalogue->attributes[field->attribute];
        fields[f].paths = compile_paths(c, field->paths, field->path_count);
        fields[f].path_count = field->path_count;
        if (fields[f].paths == NULL || !set_json(c, &fields[f])) {
            return false;
        }
        size_t at = f;
        while (at > 0 && source->fields[order[at - 1]].attribute > field->attribute) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = f;
    }
    c->plan->fields = fields;
    c->plan->order = order;
    return true;
}

static bool compile_source(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                           const struct cvm_source *source, struct cvm_import_source *plan)
{
    size_t paths_max = count_paths(source);
    struct compiling c = {.arena = arena, .plan = plan};
    bool failed = false;
    plan->source = source;
    plan->keys = CVM_NEW_ARRAY(arena, paths_max, const char *);
    plan->key_lengths = CVM_NEW_ARRAY(arena, paths_max, size_t);
    plan->paths = CVM_NEW_ARRAY(arena, paths_max, const struct cvm_import_path *);
    if (plan->keys == NULL || plan->key_lengths == NULL || plan->paths == NULL) {
        return false;
    }
    plan->customers = compile_paths(&c, source->customer_paths, source->customer_path_count);
    plan->dates = compile_paths(&c, source->date_paths, source->date_path_count);
    plan->identities = compile_paths(&c, source->identity_paths, source->identity_path_count);
    plan->ignored = compile_paths(&c, source->ignored_paths, source->ignored_path_count);
    plan->consent = compile_optional(&c, &source->consent_path, &failed);
    plan->quiet = compile_optional(&c, &source->quiet_path, &failed);
    plan->preferred = compile_optional(&c, &source->preferred_path, &failed);
    plan->language = compile_optional(&c, &source->language_path, &failed);
    return !failed && plan->customers != NULL && plan->dates != NULL && plan->identities != NULL &&
           plan->ignored != NULL && compile_fields(&c, catalogue);
}

/* ---- phrases ---- */

static bool is_letter(char c)
{
    return ((unsigned char)c | 0x20U) - 'a' < 26U;
}

static bool is_word_byte(char c)
{
    return is_letter(c) || (unsigned)(c - '0') < 10U;
}

/* Knuth's multiplicative hash of three letters of either case. */
static size_t triple_of(const char *text)
{
    unsigned triple = ((unsigned char)text[0] & 0x1FU) << 10 |
                      ((unsigned char)text[1] & 0x1FU) << 5 | ((unsigned char)text[2] & 0x1FU);
    return (triple * 2654435761U) >> 22;
}

static bool begins_with_triple(const char *text, size_t length)
{
    return length >= 3 && is_letter(text[0]) && is_letter(text[1]) && is_letter(text[2]);
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static void add_phrase(struct cvm_import_plan *plan, struct cvm_import_phrase *phrases,
                       const char *text, size_t topic)
{
    struct cvm_import_phrase *phrase = &phrases[plan->phrase_count++];
    size_t length = strlen(text);
    bool is_quick = begins_with_triple(text, length) && is_ascii(text, length);
    uint16_t *head = is_quick ? &plan->triples[triple_of(text)] : &plan->others;
    *phrase = (struct cvm_import_phrase){
        .topic_bit = UINT32_C(1) << topic, .text = text, .length = length, .next = *head};
    *head = (uint16_t)plan->phrase_count;
}

static bool compile_phrases(struct cvm_arena *arena, struct cvm_import_plan *plan)
{
    const struct cvm_catalogue *catalogue = plan->catalogue;
    size_t count = 0;
    for (size_t t = 0; t < catalogue->topic_count; t++) {
        for (const char *const *p = catalogue->topics[t].phrases; *p != NULL; p++) {
            count++;
        }
    }
    struct cvm_import_phrase *phrases = CVM_NEW_ARRAY(arena, count + 1, struct cvm_import_phrase);
    if (phrases == NULL || count >= UINT16_MAX) {
        return false;
    }
    for (size_t t = 0; t < catalogue->topic_count; t++) {
        for (const char *const *p = catalogue->topics[t].phrases; *p != NULL; p++) {
            add_phrase(plan, phrases, *p, t);
        }
    }
    plan->phrases = phrases;
    return true;
}

/* Whether a character of a phrase has others that mean the same, or more of itself after it. */
static bool has_variants(const struct cvm_import_phrase *phrase, size_t i)
{
    char c = phrase->text[i];
    return c == ' ' || c == '\'' || c == '-' || (i > 0 && phrase->text[i - 1] == ' ');
}

/* Whether an ASCII phrase stands at text[at), where a word begins. What touches characters beyond
 * ASCII or is spaced otherwise is left to cvm_text_find_phrase(), which knows them. */
static bool stands_at(const struct cvm_import_phrase *phrase, const char *text, size_t length,
                      size_t at)
{
    size_t end = at + phrase->length;
    if (end > length) {
        return false;
    }
    for (size_t i = 0; i < phrase->length; i++) {
        unsigned char a = (unsigned char)text[at + i];
        unsigned char b = (unsigned char)phrase->text[i];
        a = a >= 'A' && a <= 'Z' ? a + 0x20 : a;
        b = b >= 'A' && b <= 'Z' ? b + 0x20 : b;
        if (a != b) {
            return has_variants(phrase, i) &&
                   cvm_text_find_phrase(text, length, phrase->text, NULL) >= 0;
        }
    }
    bool touches_others = (at > 0 && (unsigned char)text[at - 1] >= 0x80) ||
                          (end < length && (unsigned char)text[end] >= 0x80);
    if (touches_others) {
        return cvm_text_find_phrase(text, length, phrase->text, NULL) >= 0;
    }
    return end == length || !is_word_byte(text[end]) || !is_word_byte(text[end - 1]);
}

uint32_t cvm_import_topics(const struct cvm_import_plan *plan, const char *text, size_t length)
{
    uint32_t topics = 0;
    for (size_t at = 0; at + 2 < length;) {
        if (begins_with_triple(text + at, length - at)) {
            for (uint16_t p = plan->triples[triple_of(text + at)]; p != 0;
                 p = plan->phrases[p - 1].next) {
                const struct cvm_import_phrase *phrase = &plan->phrases[p - 1];
                if ((topics & phrase->topic_bit) == 0 && stands_at(phrase, text, length, at)) {
                    topics |= phrase->topic_bit;
                }
            }
        }
        while (at < length && is_word_byte(text[at])) { /* on to where the next word begins */
            at++;
        }
        while (at < length && !is_word_byte(text[at])) {
            at++;
        }
    }
    for (uint16_t p = plan->others; p != 0; p = plan->phrases[p - 1].next) {
        const struct cvm_import_phrase *phrase = &plan->phrases[p - 1];
        if ((topics & phrase->topic_bit) == 0 &&
            cvm_text_find_phrase(text, length, phrase->text, NULL) >= 0) {
            topics |= phrase->topic_bit;
        }
    }
    return topics;
}

bool cvm_import_words_equal(const char *data, size_t length, const char *word)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char a = (unsigned char)data[i];
        unsigned char b = (unsigned char)word[i];
        a = a >= 'A' && a <= 'Z' ? a + 0x20 : a;
        b = b >= 'A' && b <= 'Z' ? b + 0x20 : b;
        if (a != b || b == '\0') {
            return false;
        }
    }
    return word[length] == '\0';
}

enum cvm_status cvm_import_plan_make(struct cvm_arena *arena, const struct cvm_catalogue *catalogue,
                                     const struct cvm_import_plan **out_plan, struct cvm_error *err)
{
    struct cvm_import_plan *plan = CVM_NEW(arena, struct cvm_import_plan);
    struct cvm_import_source *sources =
        CVM_NEW_ARRAY(arena, catalogue->source_count + 1, struct cvm_import_source);
    bool is_good = plan != NULL && sources != NULL;
    for (size_t s = 0; is_good && s < catalogue->source_count; s++) {
        is_good = compile_source(arena, catalogue, &catalogue->sources[s], &sources[s]);
    }
    if (is_good) {
        plan->catalogue = catalogue;
        plan->sources = sources;
        is_good = compile_phrases(arena, plan);
    }
    if (!is_good) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to prepare the mappings");
    }
    *out_plan = plan;
    return CVM_OK;
}
