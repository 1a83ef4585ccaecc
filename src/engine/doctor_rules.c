/* Rules against each other and against the base. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/doctor_internal.h"

/* ---- clauses that exclude each other ---- */

/* What the simple comparisons of one operand leave: [low, high], ends included or not. */
struct interval {
    double low, high;
    bool low_open, high_open;
    const char *low_text; /* the clause that set the end */
    const char *high_text;
};

static void narrow_low(struct interval *interval, double value, bool is_open, const char *text)
{
    if (value > interval->low || (value == interval->low && is_open && !interval->low_open)) {
        interval->low = value;
        interval->low_open = is_open;
        interval->low_text = text;
    }
}

static void narrow_high(struct interval *interval, double value, bool is_open, const char *text)
{
    if (value < interval->high || (value == interval->high && is_open && !interval->high_open)) {
        interval->high = value;
        interval->high_open = is_open;
        interval->high_text = text;
    }
}

static void narrow(struct interval *interval, const struct cvm_rule_part *part)
{
    double value = part->comparison.value;
    switch ((enum cvm_compare)part->comparison.compare) {
    case CVM_EQUAL:
        narrow_low(interval, value, false, part->text);
        narrow_high(interval, value, false, part->text);
        break;
    case CVM_GREATER:
    case CVM_GREATER_EQUAL:
        narrow_low(interval, value, part->comparison.compare == CVM_GREATER, part->text);
        break;
    case CVM_LESS:
    case CVM_LESS_EQUAL:
        narrow_high(interval, value, part->comparison.compare == CVM_LESS, part->text);
        break;
    case CVM_NOT_EQUAL:
        break;
    }
}

static bool is_empty(const struct interval *interval)
{
    return interval->low > interval->high ||
           (interval->low == interval->high && (interval->low_open || interval->high_open));
}

#define RULES_MAX 3

/* The first operand that nothing is left for; both clauses in `out_interval`. */
static bool contradict(const struct cvm_rule *const *rules, size_t rule_count,
                       struct interval *out_interval)
{
    struct interval intervals[CVM_FEATURES_MAX];
    for (size_t i = 0; i < CVM_FEATURES_MAX; i++) {
        intervals[i] = (struct interval){.low = -INFINITY, .high = INFINITY};
    }
    for (size_t r = 0; r < rule_count; r++) {
        for (size_t c = 0; c < rules[r]->clause_count; c++) {
            const struct cvm_rule_part *part = &rules[r]->clauses[c].whole;
            if (!part->is_simple || part->comparison.operand >= CVM_FEATURES_MAX) {
                continue;
            }
            struct interval *interval = &intervals[part->comparison.operand];
            narrow(interval, part);
            if (is_empty(interval)) {
                *out_interval = *interval;
                return true;
            }
        }
    }
    return false;
}

static enum cvm_status tell_contradiction(struct cvm_doctor *doctor, const char *what,
                                          const char *id, const struct interval *interval,
                                          struct cvm_error *err)
{
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_PROBLEM,
        .topic = "rule",
        .why = "No customer can ever meet both.",
        .fix =
            cvm_doctor_text(doctor, "Mend one of them in %ss/%s.yaml, then `cvm apply`.", what, id),
    };
    return cvm_doctor_find(doctor, &finding, err, "%s %s: `%.120s` and `%.120s` contradict", what,
                           id, interval->low_text, interval->high_text);
}

enum cvm_status cvm_doctor_contradictions(struct cvm_doctor *doctor, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = doctor->engine->catalogue;
    enum cvm_status status = CVM_OK;
    struct interval found;
    for (size_t t = 0; status == CVM_OK && t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        const struct cvm_rule *rules[RULES_MAX] = {&treatment->eligible, &treatment->applicable,
                                                   &treatment->suitable};
        if (treatment->enabled && contradict(rules, RULES_MAX, &found)) {
            status = tell_contradiction(doctor, "treatment", treatment->id, &found, err);
        }
    }
    for (size_t t = 0; status == CVM_OK && t < catalogue->trigger_count; t++) {
        const struct cvm_rule *rules[1] = {&catalogue->triggers[t].when};
        if (catalogue->triggers[t].enabled && contradict(rules, 1, &found)) {
            status =
                tell_contradiction(doctor, "trigger", catalogue->triggers[t].name, &found, err);
        }
    }
    return status;
}

/* ---- one scan of the base ---- */

/* What is counted: each clause of a treatment's rules, all of them together, consent too; a
 * trigger's rule. Per worker, as shards run at once; sums of whole numbers have no order. */
struct counter {
    const struct cvm_rule_part *part; /* one clause; NULL = all of `rules` */
    const struct cvm_rule *rules[RULES_MAX];
    size_t rule_count;
    int treatment;        /* consent is asked too; CVM_INDEX_NONE = not */
    const char *language; /* of the treatment: only who reads this one; NULL = any */
    int trigger;
};

struct count {
    int64_t *passed; /* by counter */
    int64_t customers;
    int64_t scored;
    double churn;
};

struct counting {
    const struct cvm_catalogue *catalogue;
    int32_t today;
    struct counter *counters;
    size_t counter_count;
    struct count *shards; /* by shard: summed in their order, so that the mean has no other */
};

#define COUNTERS_MAX (CVM_TREATMENTS_MAX * (RULES_MAX * 16 + 32) + CVM_TRIGGERS_MAX)

static bool may_contact(const struct cvm_treatment *treatment, const struct cvm_consent *consent)
{
    if (treatment->channel == CVM_CHANNEL_NONE) {
        return true;
    }
    bool may = false;
    for (int c = 0; c < CVM_CHANNEL_COUNT; c++) {
        bool is_one = treatment->channel == CVM_CHANNEL_ANY || (int)treatment->channel == c;
        may |= is_one && cvm_consent_allows(consent, (enum cvm_channel)c, CVM_DIRECTION_OUTBOUND,
                                            treatment->purpose);
    }
    return may;
}

static bool may_get(const struct counting *counting, const struct counter *counter,
                    const struct cvm_consent *consent)
{
    return may_contact(&counting->catalogue->treatments[counter->treatment], consent) &&
           (counter->language == NULL || strcmp(counter->language, consent->language) == 0);
}

static void count_rows(const struct counting *counting, const struct counter *counter,
                       const struct cvm_chunk *chunk, const struct cvm_rule_rows *rows,
                       size_t count, int64_t *passed)
{
    unsigned char all[CVM_RULE_ROWS_MAX];
    unsigned char one[CVM_RULE_ROWS_MAX];
    memset(all, 1, count);
    if (counter->part != NULL) {
        cvm_rule_part_mask(counter->part, rows, count, all);
    }
    for (size_t r = 0; r < counter->rule_count; r++) {
        cvm_rule_mask(counter->rules[r], rows, count, one);
        for (size_t i = 0; i < count; i++) {
            all[i] &= one[i];
        }
    }
    for (size_t i = 0; i < count; i++) {
        bool passes = all[i] != 0;
        if (passes && counter->treatment != CVM_INDEX_NONE) {
            passes = may_get(counting, counter, &chunk->consents[rows->from + i]);
        }
        *passed += passes ? 1 : 0;
    }
}

static enum cvm_status count_chunk(void *state, size_t shard, size_t worker,
                                   const struct cvm_chunk *chunk, struct cvm_error *err)
{
    const struct counting *counting = state;
    struct count *count = &counting->shards[shard];
    int churn = counting->catalogue->value.churn_feature;
    (void)worker;
    (void)err;
    count->customers += (int64_t)chunk->count;
    for (size_t from = 0; from < chunk->count; from += CVM_RULE_ROWS_MAX) {
        size_t left = chunk->count - from;
        const struct cvm_rule_rows rows = {.values = chunk->features,
                                           .stride = chunk->capacity,
                                           .from = from,
                                           .today = counting->today};
        for (size_t c = 0; c < counting->counter_count; c++) {
            count_rows(counting, &counting->counters[c], chunk, &rows,
                       left < CVM_RULE_ROWS_MAX ? left : CVM_RULE_ROWS_MAX, &count->passed[c]);
        }
    }
    for (size_t i = 0; churn >= 0 && i < chunk->count; i++) {
        double score = chunk->features[(size_t)churn * chunk->capacity + i];
        count->scored += isnan(score) ? 0 : 1;
        count->churn += isnan(score) ? 0 : score;
    }
    return CVM_OK;
}

static void add_counter(struct counting *counting, const struct counter *counter)
{
    if (counting->counter_count < COUNTERS_MAX) {
        counting->counters[counting->counter_count++] = *counter;
    }
}

static bool has_content(const struct cvm_treatment *treatment, const char *language)
{
    bool has = treatment->language_count == 0 || treatment->channel == CVM_CHANNEL_NONE;
    for (size_t l = 0; !has && l < treatment->language_count; l++) {
        has = strcmp(treatment->languages[l], language) == 0;
    }
    return has;
}

/* One for each language that the content is not written in. The aliases of a language stand
 * together. */
static void add_languages(struct counting *counting, const struct counter *whole)
{
    const struct cvm_consent_words *words = &counting->catalogue->consent_words;
    const struct cvm_treatment *treatment = &counting->catalogue->treatments[whole->treatment];
    const char *last = "";
    for (size_t l = 0; l < words->language_count; l++) {
        const char *code = words->languages[l].code;
        if (strcmp(code, last) != 0 && !has_content(treatment, code)) {
            struct counter counter = *whole;
            counter.language = code;
            add_counter(counting, &counter);
        }
        last = code;
    }
}

static void add_counters(struct counting *counting, struct cvm_feature_set *needed)
{
    const struct cvm_catalogue *catalogue = counting->catalogue;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        struct counter whole = {
            .rules = {&treatment->eligible, &treatment->applicable, &treatment->suitable},
            .rule_count = RULES_MAX,
            .treatment = (int)t,
            .trigger = CVM_INDEX_NONE};
        bool is_usable = treatment->enabled && treatment->channel != CVM_CHANNEL_UNSET &&
                         treatment->purpose != CVM_PURPOSE_UNSET && treatment->max_per_day != 0;
        if (!is_usable) {
            continue;
        }
        add_counter(counting, &whole);
        for (size_t r = 0; r < RULES_MAX; r++) {
            cvm_feature_set_add_rule(needed, catalogue, whole.rules[r]);
            for (size_t c = 0; c < whole.rules[r]->clause_count; c++) {
                struct counter clause = {.part = &whole.rules[r]->clauses[c].whole,
                                         .treatment = CVM_INDEX_NONE,
                                         .trigger = CVM_INDEX_NONE};
                add_counter(counting, &clause);
            }
        }
        add_languages(counting, &whole);
    }
    for (size_t t = 0; t < catalogue->trigger_count; t++) {
        struct counter trigger = {.rules = {&catalogue->triggers[t].when},
                                  .rule_count = 1,
                                  .treatment = CVM_INDEX_NONE,
                                  .trigger = (int)t};
        if (catalogue->triggers[t].enabled) {
            cvm_feature_set_add_rule(needed, catalogue, &catalogue->triggers[t].when);
            add_counter(counting, &trigger);
        }
    }
    if (catalogue->value.churn_feature >= 0) {
        cvm_feature_set_add(needed, catalogue, (size_t)catalogue->value.churn_feature);
    }
}

static enum cvm_status scan_base(struct cvm_doctor *doctor, struct counting *counting,
                                 const struct cvm_feature_set *needed, struct cvm_shard *shards,
                                 size_t shard_count, struct cvm_error *err)
{
    const struct cvm_scan_request request = {
        .window = {doctor->as_of_day, CVM_DAY_NONE, needed},
        .shards = shards,
        .shard_count = shard_count,
        .on_chunk = count_chunk,
        .state = counting,
    };
    return cvm_engine_scan(doctor->engine, &request, err);
}

/* ---- what the counts say ---- */

static enum cvm_status judge_treatment(struct cvm_doctor *doctor, const struct counter *counter,
                                       int64_t passed, int dead_clauses, struct cvm_error *err)
{
    const struct cvm_treatment *treatment =
        &doctor->engine->catalogue->treatments[counter->treatment];
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "treatment",
        .why = "Each customer fails one of its rules or has not consented to its channel.",
        .fix = cvm_doctor_text(doctor,
                               "cvm explain latest ID says why for one customer; change "
                               "treatments/%s.yaml, or cvm treatment disable %s",
                               treatment->id, treatment->id),
    };
    if (passed > 0 || dead_clauses > 0) {
        return CVM_OK;
    }
    return cvm_doctor_find(doctor, &finding, err, "nobody can get treatment %s", treatment->id);
}

static enum cvm_status judge_clause(struct cvm_doctor *doctor, const char *treatment,
                                    const struct cvm_rule_part *part, struct cvm_error *err)
{
    const struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "rule",
        .why = "Nobody can get the treatment.",
        .fix = cvm_doctor_text(doctor,
                               "Check its names and numbers in treatments/%s.yaml; is the source "
                               "behind it imported?",
                               treatment),
    };
    return cvm_doctor_find(doctor, &finding, err, "no customer passes `%.160s` of treatment %s",
                           part->text, treatment);
}

static enum cvm_status judge_language(struct cvm_doctor *doctor, const struct counter *counter,
                                      int64_t passed, struct cvm_error *err)
{
    const char *id = doctor->engine->catalogue->treatments[counter->treatment].id;
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "content",
        .why = "They are written to in a language that is not theirs, or not at all.",
        .fix = cvm_doctor_text(doctor,
                               "Write it in '%s' and add that to `languages` in "
                               "treatments/%s.yaml",
                               counter->language, id),
    };
    if (passed == 0) {
        return CVM_OK;
    }
    return cvm_doctor_find(doctor, &finding, err,
                           "treatment %s is not written in '%s', which %lld customers read who "
                           "can get it",
                           id, counter->language, (long long)passed);
}

static enum cvm_status judge_trigger(struct cvm_doctor *doctor, const struct cvm_trigger *trigger,
                                     int64_t passed, struct cvm_error *err)
{
    struct cvm_finding finding = {
        .severity = CVM_SEVERITY_WARNING,
        .topic = "trigger",
        .why = passed == 0 ? "A run with it decides for nobody." : "It tells nobody apart.",
        .fix = cvm_doctor_text(doctor, "cvm trigger show %s; change or disable it", trigger->name),
    };
    if (passed > 0 && passed < doctor->customers) {
        return CVM_OK;
    }
    return cvm_doctor_find(doctor, &finding, err, "trigger %s finds %s", trigger->name,
                           passed == 0 ? "nobody" : "everybody");
}

/* Clauses and languages stand behind the whole of their treatment. */
static enum cvm_status judge(struct cvm_doctor *doctor, const struct counting *counting,
                             const int64_t *passed, struct cvm_error *err)
{
    const struct cvm_catalogue *catalogue = counting->catalogue;
    enum cvm_status status = CVM_OK;
    for (size_t c = 0; status == CVM_OK && c < counting->counter_count;) {
        const struct counter *counter = &counting->counters[c];
        if (counter->trigger != CVM_INDEX_NONE) {
            status = judge_trigger(doctor, &catalogue->triggers[counter->trigger], passed[c], err);
            c++;
            continue;
        }
        size_t whole = c++;
        int dead = 0;
        for (;
             status == CVM_OK && c < counting->counter_count && counting->counters[c].part != NULL;
             c++) {
            if (passed[c] == 0) {
                dead++;
                status = judge_clause(doctor, catalogue->treatments[counter->treatment].id,
                                      counting->counters[c].part, err);
            }
        }
        if (status == CVM_OK) {
            status = judge_treatment(doctor, counter, passed[whole], dead, err);
        }
        for (; status == CVM_OK && c < counting->counter_count &&
               counting->counters[c].language != NULL;
             c++) {
            status = judge_language(doctor, &counting->counters[c], passed[c], err);
        }
    }
    return status;
}

static int64_t *sum_shards(struct cvm_doctor *doctor, struct counting *counting, size_t shard_count)
{
    int64_t *passed = CVM_NEW_ARRAY(doctor->arena, counting->counter_count + 1, int64_t);
    int64_t scored = 0;
    double churn = 0;
    for (size_t s = 0; passed != NULL && s < shard_count; s++) {
        const struct count *count = &counting->shards[s];
        doctor->customers += count->customers;
        scored += count->scored;
        churn += count->churn;
        for (size_t c = 0; c < counting->counter_count; c++) {
            passed[c] += count->passed[c];
        }
    }
    doctor->churn = scored > 0 ? churn / (double)scored : NAN;
    return passed;
}

enum cvm_status cvm_doctor_rules(struct cvm_doctor *doctor, struct cvm_error *err)
{
    struct cvm_feature_set needed = {{0}};
    struct counting counting = {.catalogue = doctor->engine->catalogue, .today = doctor->as_of_day};
    struct cvm_shard *shards = NULL;
    size_t shard_count = 0;
    enum cvm_status status =
        cvm_engine_shards(doctor->engine, doctor->arena, &shards, &shard_count, err);
    if (status != CVM_OK) {
        return status;
    }
    counting.counters = CVM_NEW_ARRAY(doctor->arena, COUNTERS_MAX, struct counter);
    counting.shards = CVM_NEW_ARRAY(doctor->arena, shard_count + 1, struct count);
    if (counting.counters == NULL || counting.shards == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count");
    }
    add_counters(&counting, &needed);
    for (size_t s = 0; s < shard_count; s++) {
        counting.shards[s].passed =
            CVM_NEW_ARRAY(doctor->arena, counting.counter_count + 1, int64_t);
        if (counting.shards[s].passed == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count");
        }
    }
    status = scan_base(doctor, &counting, &needed, shards, shard_count, err);
    if (status != CVM_OK) {
        return status;
    }
    const int64_t *passed = sum_shards(doctor, &counting, shard_count);
    if (passed == NULL) {
        return CVM_FAIL(err, CVM_E_LIMIT, "no memory to count");
    }
    return doctor->customers == 0 ? CVM_OK : judge(doctor, &counting, passed, err);
}
