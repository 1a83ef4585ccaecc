#include "engine/control.h"

#include <string.h>

/* Groups have to be independent of each other and of the ties that the solver breaks by hashes. */
#define UNIVERSAL_SEED UINT64_C(0x756e697665727361)
#define HOLDOUT_SEED   UINT64_C(0x686f6c646f757473)

/* ---- groups ---- */

static const char *holdout_arm(const char *action, struct cvm_arena *arena)
{
    static const char prefix[] = "holdout:";
    size_t length = strlen(action);
    char *arm = CVM_NEW_ARRAY(arena, sizeof(prefix) + length, char);
    if (arm != NULL) {
        memcpy(arm, prefix, sizeof(prefix) - 1);
        memcpy(arm + sizeof(prefix) - 1, action, length + 1);
    }
    return arm;
}

enum cvm_status cvm_control_groups_init(struct cvm_control_groups *groups,
                                        const struct cvm_catalogue *catalogue,
                                        const struct cvm_control_options *options,
                                        struct cvm_arena *arena, struct cvm_error *err)
{
    const struct cvm_control *control = &catalogue->control;
    bool is_large = options->customers >= control->least_customers;
    *groups = (struct cvm_control_groups){.catalogue = catalogue};
    cvm_column_init(&groups->members, sizeof(uint64_t));
    groups->universal_share = is_large && options->is_enrolled ? control->universal_share : 0;
    for (size_t t = 0; t < catalogue->treatment_count; t++) {
        const struct cvm_treatment *treatment = &catalogue->treatments[t];
        uint64_t bit = UINT64_C(1) << t;
        groups->marketing |= treatment->purpose == CVM_PURPOSE_MARKETING ? bit : 0;
        groups->held_out |= is_large && !options->is_forced && control->holdout[t] > 0 ? bit : 0;
        groups->seeds[t] =
            cvm_hash_seeded(treatment->action, strlen(treatment->action), HOLDOUT_SEED);
        groups->arms[t] = holdout_arm(treatment->action, arena);
        if (groups->arms[t] == NULL) {
            return CVM_FAIL(err, CVM_E_LIMIT, "no memory for the control groups");
        }
    }
    return CVM_OK;
}

void cvm_control_groups_finish(struct cvm_control_groups *groups)
{
    cvm_column_finish(&groups->members);
}

/* Uniform in [0, 1), the same on every machine. */
static double fraction_of(uint64_t seed, uint64_t key)
{
    return (double)(cvm_hash_mix(seed, key) >> 11) * 0x1p-53;
}

uint64_t cvm_control_withheld(const struct cvm_control_groups *groups, bool is_member, uint64_t key)
{
    uint64_t withheld = is_member ? groups->marketing : 0;
    for (uint64_t left = groups->held_out & ~withheld; left != 0; left &= left - 1) {
        size_t t = (size_t)__builtin_ctzll(left);
        if (fraction_of(groups->seeds[t], key) < groups->catalogue->control.holdout[t]) {
            withheld |= UINT64_C(1) << t;
        }
    }
    return withheld;
}

const char *cvm_control_arm(const struct cvm_control_groups *groups, bool is_member,
                            size_t treatment)
{
    bool is_universal = is_member && (groups->marketing >> treatment & 1) != 0;
    return is_universal ? CVM_ARM_UNIVERSAL : groups->arms[treatment];
}

double cvm_control_probability(const struct cvm_control_groups *groups, size_t treatment,
                               bool is_withheld, bool is_member)
{
    bool is_marketing = (groups->marketing >> treatment & 1) != 0;
    bool has_holdout = (groups->held_out >> treatment & 1) != 0;
    double universal = is_marketing ? groups->universal_share : 0;
    double holdout = has_holdout ? groups->catalogue->control.holdout[treatment] : 0;
    if (!is_withheld) {
        return (1 - universal) * (1 - holdout);
    }
    return is_member && is_marketing ? universal : (1 - universal) * holdout;
}

/* ---- strata ---- */

/* Values of a feature, and one more for "missing". */
static size_t values_of(const struct cvm_feature *feature)
{
    size_t count = 2;
    if (feature->words != NULL) {
        for (count = 0; feature->words[count] != NULL; count++) {
        }
    }
    return count + 1;
}

size_t cvm_control_stratum_count(const struct cvm_catalogue *catalogue)
{
    size_t count = catalogue->segment_count;
    for (size_t i = 0; i < catalogue->control.strata_count; i++) {
        count *= values_of(&catalogue->features[catalogue->control.strata[i]]);
    }
    return count;
}

void cvm_control_strata_of(const struct cvm_catalogue *catalogue, const struct cvm_chunk *chunk,
                           const unsigned char *segments, uint16_t *out_strata)
{
    for (size_t i = 0; i < chunk->count; i++) {
        out_strata[i] = segments[i];
    }
    for (size_t s = 0; s < catalogue->control.strata_count; s++) {
        int feature = catalogue->control.strata[s];
        const double *values = chunk->features + (size_t)feature * chunk->capacity;
        size_t count = values_of(&catalogue->features[feature]);
        for (size_t i = 0; i < chunk->count; i++) {
            bool is_known = values[i] >= 0 && values[i] < (double)(count - 1);
            size_t value = is_known ? (size_t)values[i] : count - 1;
            out_strata[i] = (uint16_t)(out_strata[i] * count + value);
        }
    }
}

void cvm_control_stratum_name(const struct cvm_catalogue *catalogue, size_t stratum,
                              struct cvm_text *out)
{
    size_t values[CVM_STRATA_FEATURES_MAX];
    for (size_t s = catalogue->control.strata_count; s-- > 0;) {
        size_t count = values_of(&catalogue->features[catalogue->control.strata[s]]);
        values[s] = stratum % count;
        stratum /= count;
    }
    cvm_text_add(out, catalogue->segments[stratum].name);
    for (size_t s = 0; s < catalogue->control.strata_count; s++) {
        const struct cvm_feature *feature = &catalogue->features[catalogue->control.strata[s]];
        const char *value = "missing";
        if (values[s] + 1 < values_of(feature)) {
            value = feature->words != NULL ? feature->words[values[s]]
                    : values[s] == 1       ? "yes"
                                           : "no";
        }
        cvm_text_add_format(out, " %s=%s", feature->name, value);
    }
}

uint64_t cvm_control_rank(uint64_t key)
{
    return cvm_hash_mix(UNIVERSAL_SEED, key);
}
