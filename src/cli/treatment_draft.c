#include "cli/treatment_draft.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/schema.h"
#include "cli/treatment_text.h"

void cvm_treatment_draft_init(struct cvm_treatment_draft *draft, struct cvm_arena *arena)
{
    *draft = (struct cvm_treatment_draft){.arena = arena, .source = "text"};
    cvm_text_init(&draft->told, 0);
    cvm_text_init(&draft->not_taken, 0);
    cvm_text_init(&draft->notes, 0);
}

void cvm_treatment_draft_finish(struct cvm_treatment_draft *draft)
{
    cvm_text_finish(&draft->told);
    cvm_text_finish(&draft->not_taken);
    cvm_text_finish(&draft->notes);
}

/* ---- keys ---- */

static enum cvm_status set_yaml(struct cvm_treatment_draft *draft, const char *key,
                                const char *value, struct cvm_error *err)
{
    const char *copy = cvm_arena_string(draft->arena, value);
    size_t at = 0;
    if (copy == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment");
    }
    while (at < draft->count && strcmp(draft->keys[at].key, key) != 0) {
        at++;
    }
    if (at == CVM_DRAFT_KEYS_MAX) {
        return CVM_FAIL(err, CVM_E_INVALID, "a treatment has fewer keys than these");
    }
    draft->keys[at] = (struct cvm_draft_key){.key = key, .value = copy};
    draft->count += at == draft->count ? 1 : 0;
    draft->change_count++;
    return CVM_OK;
}

enum cvm_status cvm_treatment_draft_set(struct cvm_treatment_draft *draft, const char *key,
                                        const char *text, struct cvm_error *err)
{
    struct cvm_text value;
    cvm_text_init(&value, 0);
    cvm_yaml_add_scalar(&value, text);
    enum cvm_status status = value.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                          : set_yaml(draft, key, cvm_text_string(&value), err);
    cvm_text_finish(&value);
    return status;
}

enum cvm_status cvm_treatment_draft_set_flag(struct cvm_treatment_draft *draft, const char *key,
                                             bool value, struct cvm_error *err)
{
    return set_yaml(draft, key, value ? "true" : "false", err);
}

static void unset(struct cvm_treatment_draft *draft, const char *key)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->keys[i].key, key) == 0) {
            draft->keys[i] = draft->keys[--draft->count];
            return;
        }
    }
}

static const char *find(const struct cvm_treatment_draft *draft, const char *key)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->keys[i].key, key) == 0) {
            return draft->keys[i].value;
        }
    }
    return NULL;
}

const char *cvm_treatment_draft_value(const struct cvm_treatment_draft *draft, const char *key)
{
    const char *value = find(draft, key);
    const struct cvm_yaml_node *node = NULL;
    if (value == NULL || value[0] != '"') {
        return value;
    }
    return cvm_yaml_read(draft->arena, "", value, strlen(value), &node, NULL) == CVM_OK &&
                   node->type == CVM_YAML_SCALAR
               ? node->text
               : value;
}

/* ---- nodes back to YAML on one line ---- */

static void add_node(struct cvm_text *out, const struct cvm_yaml_node *node)
{
    bool is_map = node->type == CVM_YAML_MAP;
    if (node->type == CVM_YAML_SCALAR) {
        bool is_bare = !node->is_quoted && node->text[0] != '\0' &&
                       strspn(node->text, "0123456789abcdefghijklmnopqrstuvwxyz"
                                          "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.+-") == strlen(node->text);
        if (is_bare) { /* a number stays a number */
            cvm_text_add(out, node->text);
        } else {
            cvm_yaml_add_scalar(out, node->text);
        }
        return;
    }
    cvm_text_add(out, is_map ? "{" : "[");
    for (const struct cvm_yaml_node *n = node->first_child; n != NULL; n = n->next) {
        cvm_text_add(out, n == node->first_child ? "" : ", ");
        if (is_map) {
            cvm_yaml_add_scalar(out, n->key);
            cvm_text_add(out, ": ");
        }
        add_node(out, n);
    }
    cvm_text_add(out, is_map ? "}" : "]");
}

static enum cvm_status set_node(struct cvm_treatment_draft *draft, const char *key,
                                const struct cvm_yaml_node *node, struct cvm_error *err)
{
    struct cvm_text value;
    cvm_text_init(&value, 0);
    add_node(&value, node);
    enum cvm_status status = value.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                          : set_yaml(draft, key, cvm_text_string(&value), err);
    cvm_text_finish(&value);
    return status;
}

enum cvm_status cvm_treatment_draft_begin(struct cvm_treatment_draft *draft,
                                          const struct cvm_catalogue_file *file,
                                          struct cvm_error *err)
{
    const struct cvm_yaml_node *root = NULL;
    enum cvm_status status =
        cvm_yaml_read(draft->arena, file->name, file->text, file->length, &root, err);
    for (const struct cvm_yaml_node *node = status == CVM_OK ? root->first_child : NULL;
         status == CVM_OK && node != NULL; node = node->next) {
        status = set_node(draft, node->key, node, err);
    }
    return status;
}

/* ---- JSON and YAML ---- */

/* Keys of the proof of concept, and what they are called here. */
static const struct {
    const char *key;
    const char *name;
} aliases[] = {
    {"id", "treatment"},          {"name", "display_name"},
    {"type", "purpose"},          {"permission_type", "purpose"},
    {"cost_per_contact", "cost"}, {"cost_per_contact_pounds", "cost"},
    {"limit", "max_per_day"},     {"category", "class"},
};

static const char *canonical_key(const char *key)
{
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcmp(aliases[i].key, key) == 0) {
            return aliases[i].name;
        }
    }
    return key;
}

/* "service_updates" and "app" are words of sources; the catalogue's aliases know them. */
static const char *canonical_word(const struct cvm_catalogue *catalogue, const char *key,
                                  const char *raw)
{
    const struct cvm_consent_words *words = &catalogue->consent_words;
    bool is_channel = strcmp(key, "channel") == 0;
    bool is_purpose = strcmp(key, "purpose") == 0;
    const struct cvm_alias *found = is_channel ? words->channels : words->purposes;
    size_t count = is_channel ? words->channel_count : is_purpose ? words->purpose_count : 0;
    for (size_t i = 0; i < count; i++) {
        if (strcasecmp(found[i].raw, raw) == 0) {
            return is_channel ? cvm_channel_words[found[i].value]
                              : cvm_purpose_words[found[i].value];
        }
    }
    return raw;
}

static enum cvm_status take_map(struct cvm_treatment_draft *draft,
                                const struct cvm_catalogue *catalogue,
                                const struct cvm_yaml_node *map, bool is_update,
                                struct cvm_error *err);

/* A new treatment is untouched: what is left of it today is its limit. */
static enum cvm_status take_remaining(struct cvm_treatment_draft *draft,
                                      const struct cvm_yaml_node *node, struct cvm_error *err)
{
    double remaining = 0;
    enum cvm_status status = cvm_schema_number(node, 0, 1e12, &remaining, err);
    if (status == CVM_OK) {
        cvm_text_add_format(&draft->not_taken,
                            "'%s': what is left is counted, starting from max_per_day\n",
                            node->key);
    }
    return status;
}

static enum cvm_status take_member(struct cvm_treatment_draft *draft,
                                   const struct cvm_catalogue *catalogue,
                                   const struct cvm_yaml_node *node, bool is_update,
                                   struct cvm_error *err)
{
    const char *key = canonical_key(node->key);
    bool is_scalar = node->type == CVM_YAML_SCALAR;
    if (strcmp(key, "constraints") == 0 && node->type == CVM_YAML_MAP) {
        return take_map(draft, catalogue, node, is_update, err);
    }
    if (strcmp(key, "remaining_availability") == 0 || strcmp(key, "remaining") == 0) {
        return take_remaining(draft, node, err);
    }
    if (strcmp(key, "custom") == 0 || strcmp(key, "is_custom") == 0 ||
        strcmp(key, "created_at") == 0 || strcmp(key, "updated_at") == 0) {
        cvm_text_add_format(&draft->not_taken, "'%s': set by cvm\n", node->key);
        return CVM_OK;
    }
    if (is_update && strcmp(key, "treatment") == 0) {
        const char *id = cvm_treatment_draft_value(draft, "treatment");
        return is_scalar && strcmp(node->text, id) == 0
                   ? CVM_OK
                   : cvm_schema_fail(node, err, "the id '%s' can not be changed", id);
    }
    if (is_scalar && strcmp(key, "max_per_day") == 0 && strcmp(node->text, "null") == 0) {
        unset(draft, key);
        draft->is_unlimited = true;
        draft->change_count++;
        return CVM_OK;
    }
    if (is_scalar && (strcmp(key, "channel") == 0 || strcmp(key, "purpose") == 0)) {
        return cvm_treatment_draft_set(draft, key, canonical_word(catalogue, key, node->text), err);
    }
    return set_node(draft, key, node, err);
}

static enum cvm_status take_map(struct cvm_treatment_draft *draft,
                                const struct cvm_catalogue *catalogue,
                                const struct cvm_yaml_node *map, bool is_update,
                                struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    if (map->type != CVM_YAML_MAP) {
        return cvm_schema_fail(map, err, "a map of a treatment's keys is allowed");
    }
    for (const struct cvm_yaml_node *node = map->first_child; status == CVM_OK && node != NULL;
         node = node->next) {
        status = take_member(draft, catalogue, node, is_update, err);
    }
    return status;
}

/* ---- text ---- */

static enum cvm_status take_text(struct cvm_treatment_draft *draft, const char *words,
                                 bool is_update, struct cvm_error *err)
{
    struct cvm_treatment_text text;
    enum cvm_status status = cvm_treatment_text_read(draft->arena, words, &text, err);
    if (status != CVM_OK) {
        return status;
    }
    const struct {
        const char *key;
        const char *value;
        bool is_bare;
    } said[] = {
        {"max_per_day", text.max_per_day, true},
        {"priority", text.priority, true},
        {"cost", text.cost, true},
        {"channel", text.channel == CVM_CHANNEL_UNSET ? NULL : cvm_channel_words[text.channel],
         false},
        {"purpose", text.purpose == CVM_PURPOSE_UNSET ? NULL : cvm_purpose_words[text.purpose],
         false},
        {"class", text.is_retention && !is_update ? "retention" : NULL, false},
        {"description", !is_update || text.own_words >= 3 ? text.description : NULL, false},
    };
    for (size_t i = 0; status == CVM_OK && i < sizeof(said) / sizeof(said[0]); i++) {
        if (said[i].value != NULL) {
            status = said[i].is_bare
                         ? set_yaml(draft, said[i].key, said[i].value, err)
                         : cvm_treatment_draft_set(draft, said[i].key, said[i].value, err);
        }
    }
    if (status == CVM_OK && text.is_unlimited) {
        unset(draft, "max_per_day");
        draft->is_unlimited = true;
        draft->change_count++;
    }
    cvm_text_add(&draft->told, cvm_text_string(&text.taken));
    cvm_text_add(&draft->not_taken, cvm_text_string(&text.not_taken));
    cvm_treatment_text_finish(&text);
    return status;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text);
    return length >= strlen(end) && strcmp(text + length - strlen(end), end) == 0;
}

enum cvm_status cvm_treatment_draft_take(struct cvm_treatment_draft *draft,
                                         const struct cvm_catalogue *catalogue, const char *words,
                                         bool is_update, struct cvm_error *err)
{
    const char *text = words;
    char *read = NULL;
    size_t length = strlen(words);
    const struct cvm_yaml_node *root = NULL;
    enum cvm_status status = CVM_OK;
    char first = words[strspn(words, " \t\r\n")];
    bool is_json = first == '{' || first == '[';
    bool is_file = !is_json && strpbrk(words, "\n") == NULL &&
                   (ends_with(words, ".json") || ends_with(words, ".yaml") ||
                    ends_with(words, ".yml") || cvm_file_exists(words));
    if (!is_json && !is_file) {
        return take_text(draft, words, is_update, err);
    }
    draft->source = is_file ? words : "JSON";
    if (is_file) {
        status = cvm_file_read(draft->arena, words, CVM_YAML_BYTES_MAX, &read, &length, err);
        text = read;
    }
    if (status == CVM_OK) { /* JSON is YAML too */
        status = cvm_yaml_read(draft->arena, draft->source, text, length, &root, err);
    }
    return status == CVM_OK ? take_map(draft, catalogue, root, is_update, err) : status;
}

/* ---- the name ---- */

#define SLUG_SIZE    20 /* of the first words in an id */
#define DISPLAY_SIZE 48

static void write_slug(const char *words, char slug[SLUG_SIZE + 1])
{
    size_t length = 0;
    for (; *words != '\0' && length < SLUG_SIZE; words++) {
        char c = (char)tolower((unsigned char)*words);
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (is_plain) {
            slug[length++] = c;
        } else if (length > 0 && slug[length - 1] != '_' && c != '\'') {
            slug[length++] = '_';
        }
    }
    while (length > 0 && slug[length - 1] == '_') {
        length--;
    }
    slug[length] = '\0';
}

/* Words that no name ends with. */
static size_t without_last_small_word(const char *words, size_t end)
{
    static const char *const small[] = {"a",  "an", "and", "at",    "by", "for", "in",  "of",
                                        "on", "or", "the", "their", "to", "via", "with"};
    size_t start = end;
    while (start > 0 && words[start - 1] != ' ') {
        start--;
    }
    for (size_t i = 0; start > 1 && i < sizeof(small) / sizeof(small[0]); i++) {
        if (strlen(small[i]) == end - start && strncmp(words + start, small[i], end - start) == 0) {
            return without_last_small_word(words, start - 1);
        }
    }
    return end;
}

/* The first words, whole, as long as they fit: what the id shortens. */
static size_t display_length(const char *words)
{
    size_t end = strcspn(words, ".;:!?\n\t");
    if (end <= DISPLAY_SIZE) {
        return end;
    }
    end = DISPLAY_SIZE;
    while (end > 0 && words[end] != ' ') {
        end--;
    }
    if (end > 0) {
        return without_last_small_word(words, end);
    }
    end = DISPLAY_SIZE; /* one endless word: cut between characters */
    while (end > 0 && ((unsigned char)words[end] & 0xC0) == 0x80) {
        end--;
    }
    return end;
}

static enum cvm_status set_display_name(struct cvm_treatment_draft *draft, const char *words,
                                        struct cvm_error *err)
{
    char name[DISPLAY_SIZE + 1];
    size_t length = display_length(words);
    memcpy(name, words, length);
    name[length] = '\0';
    if (name[0] >= 'a' && name[0] <= 'z') {
        name[0] = (char)toupper((unsigned char)name[0]);
    }
    return cvm_treatment_draft_set(draft, "display_name", name, err);
}

static const char *draft_words(const struct cvm_treatment_draft *draft, const char *first,
                               const char *second)
{
    const char *words = cvm_treatment_draft_value(draft, first);
    if (words == NULL || words[0] == '\0') {
        words = cvm_treatment_draft_value(draft, second);
    }
    return words == NULL ? "" : words;
}

static bool is_taken(const struct cvm_catalogue *catalogue, const char *id)
{
    return cvm_catalogue_treatment(catalogue, id) != CVM_INDEX_NONE ||
           strcmp(id, catalogue->ignore.id) == 0;
}

static enum cvm_status fail_twice(const char *id, bool is_named, struct cvm_error *err)
{
    enum cvm_status status =
        is_named ? CVM_FAIL(err, CVM_E_CONFLICT, "there is a treatment '%s' already", id)
                 : CVM_FAIL(err, CVM_E_CONFLICT,
                            "the same words were added before, as treatment '%s'", id);
    return cvm_error_hint(err, status, "Change it: `cvm treatment update %s ...`%s.", id,
                          is_named ? "" : ", or add it once more with --again");
}

enum cvm_status cvm_treatment_draft_name(struct cvm_treatment_draft *draft,
                                         const struct cvm_catalogue *catalogue, const char *words,
                                         bool is_again, struct cvm_error *err)
{
    const char *named = cvm_treatment_draft_value(draft, "treatment");
    const char *shown = draft_words(draft, "display_name", "description");
    const char *first = draft_words(draft, "description", "display_name");
    char slug[SLUG_SIZE + 1];
    char id[SLUG_SIZE + 32];
    uint64_t hash = cvm_hash(words, strlen(words));
    bool is_free = false;
    if (named != NULL) {
        if (is_taken(catalogue, named)) {
            return fail_twice(named, true, err);
        }
        return find(draft, "display_name") == NULL && first[0] != '\0'
                   ? set_display_name(draft, first, err)
                   : CVM_OK;
    }
    if (shown[0] == '\0') {
        return CVM_FAIL(err, CVM_E_INVALID,
                        "nothing says what the treatment is: a description or "
                        "a display_name is needed");
    }
    write_slug(first, slug);
    for (uint64_t attempt = 0; !is_free && attempt < 1000; attempt++) {
        uint64_t mixed = attempt == 0 ? hash : cvm_hash_mix(hash, attempt);
        (void)snprintf(id, sizeof(id), "custom_%s%s%08x", slug, slug[0] == '\0' ? "" : "_",
                       (unsigned)(mixed >> 32));
        is_free = !is_taken(catalogue, id);
        if (!is_free && !is_again) {
            return fail_twice(id, false, err);
        }
    }
    enum cvm_status status = cvm_treatment_draft_set(draft, "treatment", id, err);
    return status == CVM_OK && find(draft, "display_name") == NULL
               ? set_display_name(draft, first, err)
               : status;
}

/* ---- what nobody said ---- */

/* Of a treatment like no other nothing is known but that people rarely take what they are offered:
 * a weak prior, to be replaced by whoever knows better. */
static const char weak_response[] = "{reach: {mean: 0.3, sd: 0.1}, accept: {mean: 0.02, sd: 0.02}, "
                                    "churn_cut: {mean: 0.02, sd: 0.02}, source: prior}";

static int word_index(const char *const *words, const char *word)
{
    int found = -1;
    for (int i = 0; found < 0 && word != NULL && words[i] != NULL; i++) {
        found = strcmp(words[i], word) == 0 ? i : -1;
    }
    return found;
}

/* The shipped treatment on the same channel that shares most: class, then purpose. */
static const struct cvm_treatment *find_model(const struct cvm_treatment_draft *draft,
                                              const struct cvm_catalogue *catalogue)
{
    int channel = word_index(cvm_channel_words, find(draft, "channel"));
    int purpose = word_index(cvm_purpose_words, find(draft, "purpose"));
    int class = word_index(cvm_treatment_class_words, find(draft, "class"));
    const struct cvm_treatment *best = NULL;
    int best_likeness = 0;
    for (size_t t = 0; channel >= 0 && t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        int likeness =
            ((int)treatment->purpose == purpose ? 2 : 0) + ((int)treatment->class == class ? 1 : 0);
        if (!treatment->custom && (int)treatment->channel == channel && likeness > best_likeness) {
            best = treatment;
            best_likeness = likeness;
        }
    }
    return best;
}

/* Somebody else's response: twice as unsure. */
static void add_estimate(struct cvm_text *out, const char *key, double mean, double sd)
{
    if (mean != 0 || sd != 0) {
        cvm_text_add_format(out, "%s: {mean: ", key);
        cvm_text_add_double(out, mean);
        cvm_text_add(out, ", sd: ");
        cvm_text_add_double(out, sd * 2);
        cvm_text_add(out, "}, ");
    }
}

static void add_number(struct cvm_text *out, const char *key, double value)
{
    if (value != 0) {
        cvm_text_add_format(out, "%s: ", key);
        cvm_text_add_double(out, value);
        cvm_text_add(out, ", ");
    }
}

static enum cvm_status fill_response(struct cvm_treatment_draft *draft,
                                     const struct cvm_treatment *model, struct cvm_error *err)
{
    const struct cvm_response *response = &model->response;
    struct cvm_text value;
    cvm_text_init(&value, 0);
    cvm_text_add_char(&value, '{');
    add_estimate(&value, "reach", response->reach, response->reach_sd);
    add_estimate(&value, "accept", response->accept, response->accept_sd);
    add_estimate(&value, "churn_cut", response->churn_cut, response->churn_cut_sd);
    add_number(&value, "incentive", response->incentive);
    add_number(&value, "incentive_margins", response->incentive_margins);
    add_number(&value, "extra_margin", response->extra_margin);
    cvm_text_add(&value, "source: prior}");
    enum cvm_status status = value.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                 : set_yaml(draft, "response", cvm_text_string(&value), err);
    cvm_text_finish(&value);
    cvm_text_add_format(&draft->notes,
                        "response: a prior, taken from %s and made twice as unsure\n", model->id);
    return status;
}

static enum cvm_status fill_uses(struct cvm_treatment_draft *draft,
                                 const struct cvm_catalogue *catalogue,
                                 const struct cvm_treatment *model, struct cvm_error *err)
{
    struct cvm_text value;
    cvm_text_init(&value, 0);
    for (size_t i = 0; i < model->use_count; i++) {
        const char *id = catalogue->constraints[model->uses[i].constraint].id;
        cvm_text_add_format(&value, "%s%s: ", i == 0 ? "{" : ", ", id);
        cvm_text_add_double(&value, model->uses[i].units);
        cvm_text_add_format(&draft->notes, "uses: %g %s per contact, as %s\n", model->uses[i].units,
                            id, model->id);
    }
    cvm_text_add_char(&value, '}');
    enum cvm_status status = value.failed ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                          : set_yaml(draft, "uses", cvm_text_string(&value), err);
    cvm_text_finish(&value);
    return status;
}

static enum cvm_status fill_model(struct cvm_treatment_draft *draft,
                                  const struct cvm_catalogue *catalogue, struct cvm_error *err)
{
    const struct cvm_treatment *model = find_model(draft, catalogue);
    enum cvm_status status = CVM_OK;
    if (find(draft, "response") == NULL && model != NULL) {
        status = fill_response(draft, model, err);
    } else if (find(draft, "response") == NULL) {
        status = set_yaml(draft, "response", weak_response, err);
        cvm_text_add(&draft->notes, "response: a weak prior, no shipped treatment is like it\n");
    }
    if (status == CVM_OK && find(draft, "uses") == NULL && model != NULL && model->use_count > 0) {
        status = fill_uses(draft, catalogue, model, err);
    }
    return status;
}

static enum cvm_status fill_key(struct cvm_treatment_draft *draft, const char *key,
                                const char *value, const char *note, struct cvm_error *err)
{
    if (find(draft, key) != NULL) {
        return CVM_OK;
    }
    if (note != NULL) {
        cvm_text_add_format(&draft->notes, "%s: %s, %s\n", key, value, note);
    }
    return set_yaml(draft, key, value, err);
}

enum cvm_status cvm_treatment_draft_fill(struct cvm_treatment_draft *draft,
                                         const struct cvm_catalogue *catalogue,
                                         struct cvm_error *err)
{
    const char *purpose = find(draft, "purpose");
    bool serves = purpose != NULL && strcmp(purpose, "marketing") != 0;
    enum cvm_status status =
        fill_key(draft, "class", serves ? "service" : "sales",
                 purpose == NULL ? "as nothing says otherwise" : "by its purpose", err);
    if (status == CVM_OK && !draft->is_unlimited) {
        status = fill_key(draft, "max_per_day", "100", "as no limit was named", err);
    }
    if (status == CVM_OK) {
        status = fill_key(draft, "cost", "1.00", "as no cost per contact was named", err);
    }
    if (status == CVM_OK) {
        status = fill_key(draft, "loaded_cost", find(draft, "cost"), NULL, err);
    }
    if (status == CVM_OK) {
        status = fill_key(draft, "priority", "99", NULL, err);
    }
    return status == CVM_OK ? fill_model(draft, catalogue, err) : status;
}

/* ---- to a treatment ---- */

enum cvm_status cvm_treatment_draft_read(const struct cvm_treatment_draft *draft,
                                         struct cvm_catalogue_edit *edit,
                                         const struct cvm_catalogue **out_catalogue,
                                         struct cvm_treatment *out_treatment, struct cvm_error *err)
{
    const char *id = cvm_treatment_draft_value(draft, "treatment");
    struct cvm_catalogue_edit trial = *edit;
    const struct cvm_catalogue *catalogue = NULL;
    struct cvm_text text;
    struct cvm_text name;
    cvm_text_init(&text, 0);
    cvm_text_init(&name, 0);
    cvm_text_add_format(&name, "treatments/%s.yaml", id);
    for (size_t i = 0; i < draft->count; i++) {
        cvm_text_add_format(&text, "%s: %s\n", draft->keys[i].key, draft->keys[i].value);
    }
    enum cvm_status status = text.failed || name.failed
                                 ? CVM_FAIL(err, CVM_E_LIMIT, "no memory for a treatment")
                                 : cvm_catalogue_edit_put(&trial, cvm_text_string(&name),
                                                          cvm_text_string(&text), text.length, err);
    if (status == CVM_OK) {
        status = cvm_catalogue_edit_check(&trial, &catalogue, err);
        /* The line is one of the draft, which nobody has seen. */
        status = status == CVM_OK ? CVM_OK : cvm_error_where(err, status, "%s", draft->source);
    }
    int found = status == CVM_OK ? cvm_catalogue_treatment(catalogue, id) : CVM_INDEX_NONE;
    if (status == CVM_OK && found == CVM_INDEX_NONE) {
        status = CVM_FAIL(err, CVM_E_INTERNAL, "the treatment '%s' was lost", id);
    }
    if (status == CVM_OK) {
        *out_catalogue = catalogue;
        *out_treatment = catalogue->treatments[found];
    }
    cvm_text_finish(&text);
    cvm_text_finish(&name);
    return status;
}
