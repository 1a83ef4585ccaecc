/* catalogue_read.h - YAML files to a struct cvm_catalogue, checked as a whole.
 *
 * Pure: takes texts, does no I/O. Errors name file, line, key, what was found and what is allowed.
 * The files: consent.yaml topics.yaml features.yaml insights.yaml journey.yaml values.yaml
 * constraints.yaml, mappings/NAME.yaml, treatments/ID.yaml; where they are there,
 * suppressions.yaml, contact_policy.yaml, control.yaml, release.yaml, report.yaml,
 * channels/NAME.yaml and triggers/NAME.yaml.
 */
#ifndef CVM_MODEL_CATALOGUE_READ_H
#define CVM_MODEL_CATALOGUE_READ_H

#include "base/arena.h"
#include "base/text.h"
#include "model/catalogue.h"

struct cvm_catalogue_file {
    const char *name; /* relative to the catalogue folder, '/' between parts */
    const char *text;
    size_t length;
};

struct cvm_catalogue_files {
    const struct cvm_catalogue_file *files; /* sorted by name */
    size_t count;
};

/* The catalogue and all it points to live in `arena`. `root` is put before file names in messages
 * ("" = nothing). */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_read(struct cvm_arena *arena,
                                                  const struct cvm_catalogue_files *files,
                                                  const char *root,
                                                  const struct cvm_catalogue **out_catalogue,
                                                  struct cvm_error *err);

/* One difference between two sets of files, or rather of what they mean: key by key. */
struct cvm_catalogue_change {
    const char *path;   /* "treatments/retention_email.yaml: max_per_day" */
    const char *before; /* NULL = added */
    const char *after;  /* NULL = removed */
};
CVM_MUST_CHECK enum cvm_status cvm_catalogue_diff(struct cvm_arena *arena,
                                                  const struct cvm_catalogue_files *before,
                                                  const struct cvm_catalogue_files *after,
                                                  const struct cvm_catalogue_change **out_changes,
                                                  size_t *out_count, struct cvm_error *err);

/* A treatment as the text of its YAML file. */
CVM_MUST_CHECK enum cvm_status cvm_treatment_write(const struct cvm_treatment *treatment,
                                                   const struct cvm_catalogue *catalogue,
                                                   struct cvm_text *out, struct cvm_error *err);

/* Replace "${per_100k:X}" by X * customers / 100,000, rounded up, at least 1 (money:
 * "${money_per_100k:X}", two decimals): how the shipped catalogue is scaled by `cvm init
 * --customers`. "${per_100k:X:LEAST}" is at least LEAST instead, so that a resource holds one
 * contact of each treatment on the smallest base too. Appends to `out`. */
CVM_MUST_CHECK enum cvm_status cvm_catalogue_scale(const char *text, size_t length,
                                                   int64_t customers, struct cvm_text *out,
                                                   struct cvm_error *err);

#endif
