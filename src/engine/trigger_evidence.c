/* Why a trigger found a customer: the alternatives that hold, the values that they read, the
 * records behind these and the words in them.
 */
#include <string.h>

#include "engine/customer.h"
#include "engine/key_events.h"
#include "engine/trigger_internal.h"
#include "journey/summary.h"

#define RECORDS_MAX           5 /* of one count */
#define SNIPPET_CONTEXT_CHARS 40

void cvm_snippet(const char *text, const char *word, size_t before, struct cvm_text *out)
{
    size_t length = strlen(text);
    size_t hit_length = 0;
    ptrdiff_t at = cvm_text_find_phrase(text, length, word, &hit_length);
    if (at >= 0) {
        cvm_text_snippet(out, text, length, (size_t)at, hit_length, before);
    }
}

/* One customer's explanation being made. */
struct explaining {
    struct trigger_evidence *state;
    const struct cvm_catalogue *catalogue;
    const struct cvm_chunk *chunk; /* of this one customer */
    struct cvm_text reason;
    struct cvm_feature_set told;
    struct cvm_column wishes;   /* struct cvm_key_wish */
    struct cvm_column evidence; /* struct cvm_trigger_evidence */
    struct cvm_event_row *rows; /* NULL until words are looked for */
    size_t row_count;
};

static double value_of(const struct explaining *e, size_t feature)
{
    return e->chunk->features[feature * e->chunk->capacity];
}

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the evidence");
}

/* ---- the reason ---- */

static bool is_named(const struct explaining *e, const struct cvm_rule_part *part)
{
    for (size_t o = 0; o < part->operand_count; o++) {
        if (e->catalogue->features[part->operands[o]].is_anonymous) {
            return false;
        }
    }
    return part->operand_count > 0;
}

/* "Newest churn score: 0.75 (churn_score > 0.5)"; what a rule counts itself has no other words:
 * "count(calls, 30) >= 2 (it is 3)". */
static void tell_part(struct explaining *e, const struct cvm_rule_part *part)
{
    struct cvm_text *out = &e->reason;
    cvm_text_add(out, out->length > 0 ? "; " : "");
    if (is_named(e, part)) {
        for (size_t o = 0; o < part->operand_count; o++) {
            cvm_text_add_format(out, "%s%s: ", o > 0 ? ", " : "",
                                e->catalogue->features[part->operands[o]].description);
            cvm_feature_format(e->catalogue, part->operands[o], value_of(e, part->operands[o]),
                               out);
        }
        cvm_text_add_format(out, " (%s)", part->text);
        return;
    }
    cvm_text_add(out, part->text);
    for (size_t o = 0; o < part->operand_count; o++) {
        bool is_only = part->operand_count == 1;
        cvm_text_add_format(out, "%s%s is ", o > 0 ? ", " : " (",
                            is_only ? "it" : e->catalogue->features[part->operands[o]].name);
        cvm_feature_format(e->catalogue, part->operands[o], value_of(e, part->operands[o]), out);
    }
    cvm_text_add(out, part->operand_count > 0 ? ")" : "");
}

static bool part_holds(const struct explaining *e, const struct cvm_rule_part *part)
{
    return cvm_rule_part_holds(part, &(struct cvm_rule_rows){.values = e->chunk->features,
                                                             .stride = e->chunk->capacity,
                                                             .today = e->state->as_of_day});
}

/* ---- evidence ---- */

static enum cvm_status add_evidence(struct explaining *e, struct cvm_trigger_evidence evidence,
                                    struct cvm_error *err)
{
    void *room = NULL;
    enum cvm_status status = cvm_column_extend(&e->evidence, 1, &room, err);
    if (status == CVM_OK) {
        *(struct cvm_trigger_evidence *)room = evidence;
    }
    return status;
}

static enum cvm_status add_value(struct explaining *e, int feature, struct cvm_error *err)
{
    return add_evidence(e,
                        (struct cvm_trigger_evidence){.day = CVM_DAY_NONE,
                                                      .source = CVM_INDEX_NONE,
                                                      .feature = feature,
                                                      .value = value_of(e, (size_t)feature)},
                        err);
}

/* A feature by a rule has no record: its value stands for itself, before those that it reads. */
static enum cvm_status look_at_part(struct explaining *e, const struct cvm_rule_part *part,
                                    struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;
    for (size_t o = 0; o < part->operand_count && status == CVM_OK; o++) {
        uint16_t feature = part->operands[o];
        uint64_t bit = UINT64_C(1) << feature % 64;
        if ((e->told.bits[feature / 64] & bit) != 0) {
            continue;
        }
        e->told.bits[feature / 64] |= bit;
        if (e->catalogue->features[feature].rule.clause_count > 0) {
            status = add_value(e, feature, err);
        }
        if (status == CVM_OK) {
            status = cvm_key_wishes(e->catalogue, &feature, 1, NULL, &e->wishes, err);
        }
    }
    return status;
}

static enum cvm_status look_at_rule(struct explaining *e, struct cvm_error *err)
{
    const struct cvm_rule *when = &e->state->trigger->when;
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; c < when->clause_count; c++) {
        const struct cvm_rule_clause *clause = &when->clauses[c];
        const struct cvm_rule_part *parts =
            clause->alternative_count > 0 ? clause->alternatives : &clause->whole;
        size_t count = clause->alternative_count > 0 ? clause->alternative_count : 1;
        for (size_t p = 0; p < count && status == CVM_OK; p++) {
            if (part_holds(e, &parts[p])) {
                tell_part(e, &parts[p]);
                status = look_at_part(e, &parts[p], err);
            }
        }
    }
    return status;
}

/* ---- words ---- */

/* Rows and packed journeys have the same order within a source. NULL if they disagree. */
static const struct cvm_event_row *row_of(const struct explaining *e,
                                          const struct cvm_key_event *event)
{
    size_t ordinal = 0;
    for (size_t i = 0; i < e->row_count; i++) {
        const struct cvm_event_row *row = &e->rows[i];
        if (row->source == event->source && row->day != CVM_DAY_NONE &&
            ordinal++ == event->ordinal) {
            return row->day == event->day ? row : NULL;
        }
    }
    return NULL;
}

struct hit {
    struct cvm_slice text;
    size_t offset;
    size_t length;
};

/* The first of the topics' phrases in the text. */
static bool find_words(const struct cvm_catalogue *catalogue, uint32_t topics,
                       struct cvm_slice text, struct hit *out_hit)
{
    bool is_found = false;
    for (size_t t = 0; t < catalogue->topic_count; t++) {
        const char *const *phrase = catalogue->topics[t].phrases;
        for (; (topics >> t & 1) != 0 && *phrase != NULL; phrase++) {
            size_t hit_length = 0;
            ptrdiff_t at = cvm_text_find_phrase(text.data, text.length, *phrase, &hit_length);
            if (at >= 0 && (!is_found || (size_t)at < out_hit->offset)) {
                is_found = true;
                *out_hit = (struct hit){text, (size_t)at, hit_length};
            }
        }
    }
    return is_found;
}

static enum cvm_status tell_words(struct explaining *e, const struct hit *hit,
                                  struct cvm_trigger_evidence *evidence, struct cvm_error *err)
{
    struct cvm_text snippet;
    cvm_text_init(&snippet, 0);
    cvm_text_snippet(&snippet, hit->text.data, hit->text.length, hit->offset, hit->length,
                     SNIPPET_CONTEXT_CHARS);
    evidence->words = cvm_arena_copy(e->state->arena, hit->text.data + hit->offset, hit->length);
    evidence->snippet =
        snippet.failed ? NULL
                       : cvm_arena_copy(e->state->arena, cvm_text_string(&snippet), snippet.length);
    cvm_text_finish(&snippet);
    return evidence->words == NULL || evidence->snippet == NULL ? fail_memory(err) : CVM_OK;
}

static enum cvm_status look_for_words(struct explaining *e, const struct cvm_key_event *event,
                                      struct cvm_trigger_evidence *evidence, struct cvm_error *err)
{
    struct cvm_engine *engine = e->state->engine;
    const struct cvm_json_value *root = NULL;
    enum cvm_status status = CVM_OK;
    struct hit hit;
    if (e->rows == NULL) {
        status =
            cvm_event_rows(engine->readers[0], e->state->scratch, e->catalogue, e->chunk->keys[0],
                           engine->last_batch, &e->rows, &e->row_count, err);
    }
    const struct cvm_event_row *row = status == CVM_OK ? row_of(e, event) : NULL;
    if (row == NULL || row->private == NULL || row->private[0] == '\0') {
        return status;
    }
    status = cvm_json_read(e->state->reader, e->state->scratch, row->private, strlen(row->private),
                           false, &root, err);
    if (status != CVM_OK) {
        return cvm_error_context(err, CVM_E_CORRUPT, "stored event");
    }
    const struct cvm_json_value *texts = cvm_json_member(root, "text");
    for (const struct cvm_json_value *m = texts == NULL ? NULL : texts->first_child; m != NULL;
         m = m->next) {
        if (m->type == CVM_JSON_STRING &&
            find_words(e->catalogue, event->topics, m->string, &hit)) {
            return tell_words(e, &hit, evidence, err);
        }
    }
    return CVM_OK;
}

/* ---- records ---- */

static enum cvm_status add_records(struct explaining *e, struct cvm_error *err)
{
    const struct cvm_key_wish *wishes = CVM_COLUMN_DATA(&e->wishes, struct cvm_key_wish);
    struct cvm_key_event *events = NULL;
    size_t count = 0;
    size_t at = 0;
    const struct cvm_key_event_request request = {
        .key = e->chunk->keys[0],
        .as_of_day = e->state->as_of_day,
        .wishes = wishes,
        .wish_count = e->wishes.count,
        .counted_max = RECORDS_MAX,
    };
    enum cvm_status status =
        cvm_engine_key_events(e->state->engine, &request, e->state->scratch, &events, &count, err);
    for (size_t w = 0; w < e->wishes.count && status == CVM_OK; w++) {
        if (at == count || events[at].wish != w) {
            status = add_value(e, wishes[w].feature, err);
        }
        for (; status == CVM_OK && at < count && events[at].wish == w; at++) {
            struct cvm_trigger_evidence evidence = {
                .day = events[at].day,
                .source = events[at].source,
                .feature = wishes[w].feature,
                .value = value_of(e, (size_t)wishes[w].feature),
            };
            if (events[at].topics != 0) {
                status = look_for_words(e, &events[at], &evidence, err);
            }
            if (status == CVM_OK) {
                status = add_evidence(e, evidence, err);
            }
        }
    }
    return status;
}

static enum cvm_status finish(const struct explaining *e, struct cvm_trigger_match *match,
                              struct cvm_error *err)
{
    struct cvm_arena *arena = e->state->arena;
    struct cvm_trigger_evidence *evidence =
        CVM_NEW_ARRAY(arena, e->evidence.count + 1, struct cvm_trigger_evidence);
    const char *reason = e->reason.failed
                             ? NULL
                             : cvm_arena_copy(arena, cvm_text_string(&e->reason), e->reason.length);
    const char *id = cvm_arena_string(arena, cvm_chunk_id(e->chunk, 0));
    if (evidence == NULL || reason == NULL || id == NULL) {
        return fail_memory(err);
    }
    if (e->evidence.count > 0) {
        memcpy(evidence, e->evidence.buffer.data, e->evidence.count * sizeof(evidence[0]));
    }
    match->customer_id = id;
    match->reason = reason;
    match->evidence = evidence;
    match->evidence_count = e->evidence.count;
    return CVM_OK;
}

enum cvm_status cvm_trigger_explain(struct trigger_evidence *state, struct cvm_trigger_match *match,
                                    struct cvm_error *err)
{
    struct explaining e = {.state = state, .catalogue = state->engine->catalogue};
    struct cvm_chunk *chunk = NULL;
    const struct cvm_feature_window window = {
        .as_of_day = state->as_of_day, .since_day = CVM_DAY_NONE, .needed = &state->needed};
    cvm_text_init(&e.reason, 0);
    cvm_column_init(&e.wishes, sizeof(struct cvm_key_wish));
    cvm_column_init(&e.evidence, sizeof(struct cvm_trigger_evidence));
    enum cvm_status status = cvm_engine_customer(state->engine, match->key, window, &chunk, err);
    e.chunk = chunk;
    if (status == CVM_OK) {
        status = look_at_rule(&e, err);
    }
    if (status == CVM_OK) {
        status = add_records(&e, err);
    }
    if (status == CVM_OK) {
        status = finish(&e, match, err);
    }
    cvm_text_finish(&e.reason);
    cvm_column_finish(&e.wishes);
    cvm_column_finish(&e.evidence);
    cvm_chunk_destroy(chunk);
    return status;
}
