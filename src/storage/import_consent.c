/* import_consent.c - a permission record to bits: channel, purpose, yes or no, in the catalogue's
 * words. */
#include <string.h>

#include "base/date.h"
#include "storage/import_mapper.h"

static int find_alias(const struct cvm_alias *aliases, size_t count, const char *const *canonical,
                      int canonical_count, struct cvm_slice word)
{
    for (size_t a = 0; a < count; a++) {
        if (cvm_import_words_equal(word.data, word.length, aliases[a].raw)) {
            return aliases[a].value;
        }
    }
    for (int c = 0; c < canonical_count; c++) {
        if (cvm_import_words_equal(word.data, word.length, canonical[c])) {
            return c;
        }
    }
    return CVM_INDEX_NONE;
}

static bool is_listed(const char *const *words, struct cvm_slice word)
{
    for (; words != NULL && *words != NULL; words++) {
        if (cvm_import_words_equal(word.data, word.length, *words)) {
            return true;
        }
    }
    return false;
}

/* 1 yes, 0 no, -1 neither. */
static int read_answer(const struct cvm_consent_words *words, const struct cvm_json_value *value)
{
    struct cvm_slice raw = value->type == CVM_JSON_STRING ? value->string : value->raw;
    if (value->type == CVM_JSON_ARRAY || value->type == CVM_JSON_OBJECT ||
        value->type == CVM_JSON_NULL) {
        return -1;
    }
    if (value->type == CVM_JSON_BOOL) {
        return value->boolean;
    }
    return is_listed(words->yes, raw) ? 1 : is_listed(words->no, raw) ? 0 : -1;
}

/* Whether permissions.CHANNEL.MEMBER is declared as ignored. */
static bool is_ignored(const struct cvm_mapper *mapper, struct cvm_slice channel,
                       struct cvm_slice member)
{
    const struct cvm_source *source = mapper->source->source;
    const struct cvm_path *base = &source->consent_path;
    for (size_t i = 0; i < source->ignored_path_count; i++) {
        const struct cvm_path *path = &source->ignored_paths[i];
        bool is_same = path->step_count == base->step_count + 2;
        for (size_t s = 0; is_same && s < base->step_count; s++) {
            is_same = strcmp(path->steps[s], base->steps[s]) == 0;
        }
        if (is_same && cvm_slice_equals(channel, path->steps[base->step_count]) &&
            cvm_slice_equals(member, path->steps[base->step_count + 1])) {
            return true;
        }
    }
    return false;
}

/* Two words for one permission that disagree: no wins. False if something was not understood. */
static bool read_channel(const struct cvm_mapper *mapper, const struct cvm_json_value *channel,
                         struct cvm_consent *consent, uint32_t *refused)
{
    const struct cvm_consent_words *words = &mapper->plan->catalogue->consent_words;
    int number = find_alias(words->channels, words->channel_count, cvm_channel_words,
                            CVM_CHANNEL_COUNT, channel->key);
    bool is_understood =
        channel->type == CVM_JSON_OBJECT && number >= 0 && number < CVM_CHANNEL_COUNT;
    if (!is_understood) {
        return false;
    }
    for (const struct cvm_json_value *m = channel->first_child; m != NULL; m = m->next) {
        int purpose = find_alias(words->purposes, words->purpose_count, cvm_purpose_words,
                                 CVM_PURPOSE_COUNT, m->key);
        int answer = read_answer(words, m);
        if (purpose < 0 || purpose >= CVM_PURPOSE_COUNT || answer < 0) {
            is_understood = is_understood && is_ignored(mapper, channel->key, m->key);
            continue;
        }
        uint32_t bit = cvm_consent_bit((enum cvm_channel)number, CVM_DIRECTION_OUTBOUND,
                                       (enum cvm_purpose)purpose);
        consent->recorded |= bit;
        consent->granted |= answer == 1 ? bit : 0;
        *refused |= answer == 0 ? bit : 0;
    }
    return is_understood;
}

/* The text at an optional path; its slot counts as consumed once the text was understood. */
static bool find_text(const struct cvm_mapper *mapper, const struct cvm_import_path *path,
                      struct cvm_slice *out)
{
    const struct cvm_json_value *value = path == NULL ? NULL : cvm_import_find(mapper, path);
    if (value == NULL || value->type != CVM_JSON_STRING) {
        return false;
    }
    *out = value->string;
    return true;
}

static void set_used(struct cvm_mapper *mapper, const struct cvm_import_path *path)
{
    mapper->is_used[path->number] = true;
    mapper->is_consumed[path->slot] |= path->is_plain;
}

static bool read_language(const struct cvm_consent_words *words, struct cvm_slice word,
                          char out[CVM_LANGUAGE_SIZE])
{
    for (size_t l = 0; l < words->language_count; l++) {
        if (cvm_import_words_equal(word.data, word.length, words->languages[l].raw)) {
            size_t length = strnlen(words->languages[l].code, CVM_LANGUAGE_SIZE - 1);
            memcpy(out, words->languages[l].code, length);
            return true;
        }
    }
    if (word.length != 2) {
        return false;
    }
    for (size_t i = 0; i < 2; i++) {
        unsigned letter = (unsigned char)word.data[i] | 0x20U;
        if (letter < 'a' || letter > 'z') {
            memset(out, 0, CVM_LANGUAGE_SIZE);
            return false;
        }
        out[i] = (char)letter;
    }
    return true;
}

/* Those that are not understood are counted: without them the customer may be woken. */
static void read_quiet_hours(struct cvm_mapper *mapper, struct cvm_consent *consent)
{
    const struct cvm_import_path *path = mapper->source->quiet;
    const struct cvm_json_value *value = path == NULL ? NULL : cvm_import_find(mapper, path);
    struct cvm_slice text = {0};
    char copy[32] = "";
    if (value == NULL || value->type == CVM_JSON_NULL) {
        return;
    }
    if (find_text(mapper, path, &text) && text.length < sizeof(copy)) {
        memcpy(copy, text.data, text.length);
    }
    if (cvm_quiet_hours_parse(copy, &consent->quiet_start_min, &consent->quiet_end_min)) {
        set_used(mapper, path);
    } else {
        cvm_mapper_counts(mapper, mapper->source_number)->unclear_quiet_hours++;
    }
}

static void read_preferences(struct cvm_mapper *mapper, struct cvm_consent *consent)
{
    const struct cvm_consent_words *words = &mapper->plan->catalogue->consent_words;
    const struct cvm_import_source *source = mapper->source;
    struct cvm_slice text = {0};
    read_quiet_hours(mapper, consent);
    if (find_text(mapper, source->preferred, &text)) {
        int time = find_alias(words->preferred_times, words->preferred_time_count,
                              cvm_preferred_time_words, CVM_TIME_BUSINESS_HOURS + 1, text);
        if (time >= 0 && time <= CVM_TIME_BUSINESS_HOURS) {
            consent->preferred_time = (uint8_t)time;
            set_used(mapper, source->preferred);
        }
    }
    if (find_text(mapper, source->language, &text) &&
        read_language(words, text, consent->language)) {
        set_used(mapper, source->language);
    }
}

enum cvm_status cvm_import_map_consent(struct cvm_mapper *mapper, struct cvm_consent *out_consent,
                                       struct cvm_error *err)
{
    const struct cvm_import_path *path = mapper->source->consent;
    const struct cvm_json_value *permissions = path == NULL ? NULL : cvm_import_find(mapper, path);
    struct cvm_consent consent;
    uint32_t refused = 0;
    if (permissions == NULL || permissions->type != CVM_JSON_OBJECT) {
        return CVM_FAIL(err, CVM_E_INVALID, "no object of permissions at '%s'",
                        path == NULL ? "" : path->path->text);
    }
    cvm_consent_init(&consent);
    consent.has_record = true;
    bool is_understood = true;
    for (const struct cvm_json_value *c = permissions->first_child; c != NULL; c = c->next) {
        is_understood = read_channel(mapper, c, &consent, &refused) && is_understood;
    }
    consent.granted &= ~refused;
    if (is_understood) {
        set_used(mapper, path);
    }
    read_preferences(mapper, &consent);
    *out_consent = consent;
    return CVM_OK;
}
