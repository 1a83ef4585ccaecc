#include "storage/import_plan.h"

#include <string.h>

#include "base/json_writer.h"

/* Letter triples are hashed to so many bits: small enough to clear per text. */
#define GRAM_BITS  4096
#define GRAM_WORDS (GRAM_BITS / 64)

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

static bool set_json_key(struct compiling *c, struct cvm_import_field *field)
{
    struct cvm_text text;
    struct cvm_json_writer writer;
    cvm_text_init(&text, 0);
    cvm_json_init(&writer, &text, false);
    cvm_json_string(&writer, field->attribute->name);
    cvm_text_add_char(&text, ':');
    if (!text.failed) {
        field->json_key = cvm_arena_copy(c->arena, text.data, text.length);
        field->json_key_length = text.length;
    }
    cvm_text_finish(&text);
    return field->json_key != NULL;
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
        if (fields[f].paths == NULL || !set_json_key(c, &fields[f])) {
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

/* 1..26 for ASCII letters of either case, 0 for all else. */
static unsigned letter_of(char c)
{
    unsigned folded = ((unsigned char)c | 0x20U) - 'a';
    return folded < 26 ? folded + 1 : 0;
}

static unsigned gram_bit(unsigned triple)
{
    return (triple * 2654435761U) >> 20; /* Knuth's multiplicative hash to 12 bits */
}

static void compile_phrase(struct cvm_import_phrase *phrase)
{
    unsigned triple = 0;
    size_t run = 0;
    for (const char *p = phrase->text; *p != '\0'; p++) {
        unsigned letter = letter_of(*p);
        triple = ((triple << 5) | letter) & 0x7FFF;
        run = letter == 0 ? 0 : run + 1;
        if (run >= 3 && phrase->gram_count < CVM_IMPORT_GRAMS_MAX) {
            phrase->grams[phrase->gram_count++] = (uint16_t)gram_bit(triple);
        }
    }
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
    if (phrases == NULL) {
        return false;
    }
    for (size_t t = 0; t < catalogue->topic_count; t++) {
        for (const char *const *p = catalogue->topics[t].phrases; *p != NULL; p++) {
            struct cvm_import_phrase *phrase = &phrases[plan->phrase_count++];
            phrase->topic_bit = UINT32_C(1) << t;
            phrase->text = *p;
            compile_phrase(phrase);
        }
    }
    plan->phrases = phrases;
    return true;
}

static void set_grams(uint64_t bits[GRAM_WORDS], const char *text, size_t length)
{
    unsigned triple = 0;
    size_t run = 0;
    memset(bits, 0, GRAM_WORDS * sizeof(*bits));
    for (size_t i = 0; i < length; i++) {
        unsigned letter = letter_of(text[i]);
        triple = ((triple << 5) | letter) & 0x7FFF;
        run = letter == 0 ? 0 : run + 1;
        if (run >= 3) {
            unsigned bit = gram_bit(triple);
            bits[bit / 64] |= UINT64_C(1) << (bit % 64);
        }
    }
}

static bool may_hold(const uint64_t bits[GRAM_WORDS], const struct cvm_import_phrase *phrase)
{
    for (size_t g = 0; g < phrase->gram_count; g++) {
        unsigned bit = phrase->grams[g];
        if ((bits[bit / 64] >> (bit % 64) & 1) == 0) {
            return false;
        }
    }
    return true;
}

uint32_t cvm_import_topics(const struct cvm_import_plan *plan, const char *text, size_t length)
{
    uint64_t bits[GRAM_WORDS];
    uint32_t topics = 0;
    set_grams(bits, text, length);
    for (size_t p = 0; p < plan->phrase_count; p++) {
        const struct cvm_import_phrase *phrase = &plan->phrases[p];
        if ((topics & phrase->topic_bit) == 0 && may_hold(bits, phrase) &&
            cvm_text_find_phrase(text, length, phrase->text) >= 0) {
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
