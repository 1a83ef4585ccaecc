/* treatment_draft.h - a treatment that a person describes, from what they said to a checked
 * treatment of the catalogue.
 *
 * A draft is a list of keys as they stand in treatments/ID.yaml. Text, JSON and files set keys over
 * those of the treatment that is updated; the catalogue's own reader then checks the whole.
 */
#ifndef CVM_CLI_TREATMENT_DRAFT_H
#define CVM_CLI_TREATMENT_DRAFT_H

#include "cli/catalogue_edit.h"

#define CVM_DRAFT_KEYS_MAX 64

struct cvm_draft_key {
    const char *key;
    const char *value; /* YAML, on one line */
};

struct cvm_treatment_draft {
    struct cvm_arena *arena;
    struct cvm_draft_key keys[CVM_DRAFT_KEYS_MAX];
    size_t count;
    size_t change_count;  /* keys set since somebody last made it 0 */
    bool is_unlimited;    /* no max_per_day, said on purpose */
    const char *source;   /* for messages: "text", "JSON", a path */
    struct cvm_text told; /* what was taken from a text, a line each */
    struct cvm_text not_taken;
    struct cvm_text notes; /* what was filled in, and from where */
};

void cvm_treatment_draft_init(struct cvm_treatment_draft *draft, struct cvm_arena *arena);
void cvm_treatment_draft_finish(struct cvm_treatment_draft *draft);

/* The keys of the treatment's file as it stands. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_begin(struct cvm_treatment_draft *draft,
                                                         const struct cvm_catalogue_file *file,
                                                         struct cvm_error *err);
/* TEXT, JSON ("{...") or the path of a file with either JSON or YAML. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_take(struct cvm_treatment_draft *draft,
                                                        const struct cvm_catalogue *catalogue,
                                                        const char *words, bool is_update,
                                                        struct cvm_error *err);
/* The value of a key as text, NULL when it is not set. */
const char *cvm_treatment_draft_value(const struct cvm_treatment_draft *draft, const char *key);
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_set(struct cvm_treatment_draft *draft,
                                                       const char *key, const char *text,
                                                       struct cvm_error *err);
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_set_flag(struct cvm_treatment_draft *draft,
                                                            const char *key, bool value,
                                                            struct cvm_error *err);

/* custom_<first words>_<8 hex>, from the words and the ids that there are: the same words give the
 * same id, so that they can not be added twice (CVM_E_CONFLICT), or with `is_again` the next free
 * one. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_name(struct cvm_treatment_draft *draft,
                                                        const struct cvm_catalogue *catalogue,
                                                        const char *words, bool is_again,
                                                        struct cvm_error *err);
/* What nobody said: limit 100 a day, cost 1.00, priority 99, class by purpose, response and
 * resources of the shipped treatment that is most like it. Each is told in the notes. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_fill(struct cvm_treatment_draft *draft,
                                                        const struct cvm_catalogue *catalogue,
                                                        struct cvm_error *err);
/* The draft in the edited catalogue, checked as a whole; *out_treatment may be changed and put. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_draft_read(const struct cvm_treatment_draft *draft,
                                                        struct cvm_catalogue_edit *edit,
                                                        const struct cvm_catalogue **out_catalogue,
                                                        struct cvm_treatment *out_treatment,
                                                        struct cvm_error *err);

#endif
