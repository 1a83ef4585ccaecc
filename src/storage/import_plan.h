/* import_plan.h - the catalogue's mappings compiled for speed: keys of a record to slots, paths to
 * slots, phrases to a filter.
 *
 * Inside storage/import*.c only. Immutable once made: shared by all workers.
 */
#ifndef CVM_STORAGE_IMPORT_PLAN_H
#define CVM_STORAGE_IMPORT_PLAN_H

#include "base/arena.h"
#include "base/text.h"
#include "model/catalogue.h"

#define CVM_IMPORT_SLOT_NONE (-1)

/* A path whose first step is the key of slot `slot`. */
struct cvm_import_path {
    const struct cvm_path *path;
    int slot;
    int number;    /* within the source */
    bool is_plain; /* one step, no list: the slot's value itself */
    bool has_list;
};

struct cvm_import_field {
    const struct cvm_mapped_field *field;
    const struct cvm_attribute *attribute;
    const struct cvm_import_path *paths;
    size_t path_count;
    const char *json_key; /* "bill.extra": with its quotes and colon */
    size_t json_key_length;
    const struct cvm_slice *json_words; /* of a word attribute, with their quotes */
};

struct cvm_import_source {
    const struct cvm_source *source;
    const char **keys; /* per slot: a key of the record's top level */
    size_t *key_lengths;
    size_t slot_count;
    size_t path_count; /* paths are numbered 0..path_count-1 */
    const struct cvm_import_path **paths;
    const struct cvm_import_path *customers;
    const struct cvm_import_path *dates;
    const struct cvm_import_path *identities;
    const struct cvm_import_path *ignored;
    const struct cvm_import_field *fields; /* as declared */
    size_t *order;                         /* fields by attribute number */
    const struct cvm_import_path *consent; /* these four: NULL if not given */
    const struct cvm_import_path *quiet;
    const struct cvm_import_path *preferred;
    const struct cvm_import_path *language;
};

/* A phrase of a topic; those that begin with three ASCII letters are found by these. */
#define CVM_IMPORT_TRIPLES 1024
struct cvm_import_phrase {
    uint32_t topic_bit;
    const char *text;
    size_t length;
    uint16_t next; /* number + 1 of the next phrase of this triple, 0 = none */
};

struct cvm_import_plan {
    const struct cvm_catalogue *catalogue;
    const struct cvm_import_source *sources;
    const struct cvm_import_phrase *phrases;
    size_t phrase_count;
    uint16_t triples[CVM_IMPORT_TRIPLES]; /* hash of three letters -> number + 1 of a phrase */
    uint16_t others;                      /* the same for phrases that begin otherwise */
};

CVM_MUST_CHECK enum cvm_status cvm_import_plan_make(struct cvm_arena *arena,
                                                    const struct cvm_catalogue *catalogue,
                                                    const struct cvm_import_plan **out_plan,
                                                    struct cvm_error *err);

/* Topic bits of a text, as cvm_text_find_phrase() finds phrases, but all in one pass. */
uint32_t cvm_import_topics(const struct cvm_import_plan *plan, const char *text, size_t length);

/* Compared without case (ASCII). */
bool cvm_import_words_equal(const char *data, size_t length, const char *word);

#endif
