/* catalogue_reading.h - what the readers of the catalogue's files share while one is being read.
 *
 * Included by catalogue_read.c and the *_read.c files that it calls, by nobody else. Order: consent
 * words, mappings, topics, history window, features, insights and journey, values, shared
 * constraints, treatments, then all constraints: each may name only what was read before it.
 */
#ifndef CVM_MODEL_CATALOGUE_READING_H
#define CVM_MODEL_CATALOGUE_READING_H

#include "base/schema.h"
#include "base/suggest.h"
#include "model/catalogue.h"

struct cvm_reading {
    struct cvm_arena *arena;
    struct cvm_error *err;
    struct cvm_catalogue *catalogue; /* its arrays have room for the maximum of each */
    /* Where each was defined, for messages about the second definition. */
    const struct cvm_yaml_node *sources[CVM_SOURCES_MAX];
    const struct cvm_yaml_node *attributes[CVM_ATTRIBUTES_MAX];
    const struct cvm_yaml_node *treatments[CVM_TREATMENTS_MAX];
    const struct cvm_yaml_node *ignore;
    /* The same of features, those that rules ask for too. */
    const struct cvm_yaml_node *features[CVM_FEATURES_MAX];
    size_t placed_features;
    /* Resources, then budgets, then groups; they become constraints behind the capacities. */
    struct cvm_constraint shared[CVM_CONSTRAINTS_MAX];
    const struct cvm_yaml_node *shared_nodes[CVM_CONSTRAINTS_MAX];
    struct cvm_schema_texts shared_treatments[CVM_CONSTRAINTS_MAX];
    size_t shared_count;
    size_t resource_count;
};

/* A key of a schema table: its name, its member, its type and then what else the type needs. */
#define CVM_KEY(structure, name, member, ...)                                                      \
    {                                                                                              \
        .key = (name), .offset = offsetof(structure, member), .type = __VA_ARGS__                  \
    }

/* "unknown <what> 'wanted'; did you mean 'best'?" at the node. */
enum cvm_status cvm_reading_fail_unknown(struct cvm_reading *reading,
                                         const struct cvm_yaml_node *node, const char *what,
                                         const struct cvm_suggestion *nearest);
enum cvm_status cvm_reading_fail_twice(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *node, const char *what,
                                       const char *name, const struct cvm_yaml_node *first);
enum cvm_status cvm_reading_fail_memory(struct cvm_reading *reading,
                                        const struct cvm_yaml_node *node);

/* A list of at most `max` items; NULL (the key is absent) is fine. */
enum cvm_status cvm_reading_check_list(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *list, size_t max,
                                       const char *what);
enum cvm_status cvm_reading_check_map(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                      size_t max, const char *what);

/* The texts with a NULL behind them. */
enum cvm_status cvm_reading_texts(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                  struct cvm_schema_texts texts, const char *const **out_texts);

/* A rule over features; NULL or "" = always true. `node` is the map with the key. */
enum cvm_status cvm_reading_rule(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                 const char *key, const char *text, struct cvm_rule *out_rule);
/* As above with any scope. */
enum cvm_status cvm_reading_rule_in(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                    const char *key, const char *text,
                                    const struct cvm_rule_scope *scope, struct cvm_rule *out_rule);
/* Features without a place so far are of this node. */
void cvm_reading_place_features(struct cvm_reading *reading, const struct cvm_yaml_node *node);
/* An error of compiling the rule under the key, as the error of reading it. */
enum cvm_status cvm_reading_fail_rule(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                      const char *key, const struct cvm_error *found);
enum cvm_status cvm_reading_feature(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                    const char *name, int *out_feature);
/* Fails when the feature is sensitive: `use` says for what it is wanted. */
enum cvm_status cvm_reading_not_sensitive(struct cvm_reading *reading,
                                          const struct cvm_yaml_node *node, int feature,
                                          const char *use);
/* The same for all that a rule reads; `map` is the map with the key. */
enum cvm_status cvm_reading_rule_not_sensitive(struct cvm_reading *reading,
                                               const struct cvm_yaml_node *map, const char *key,
                                               const struct cvm_rule *rule, const char *use);
/* Every "{name}" of a sentence is a feature. */
enum cvm_status cvm_reading_sentence(struct cvm_reading *reading, const struct cvm_yaml_node *map,
                                     const char *sentence);
/* The next "{name}" from `at`: its name (NULL when there is none) and where to go on. */
const char *cvm_sentence_name(const char *at, char name[80]);

bool cvm_reading_is_name(const char *text);

/* "a.b[].c" */
enum cvm_status cvm_reading_path(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                 const char *text, struct cvm_path *out_path);
bool cvm_source_fills(const struct cvm_source *source, int attribute);
/* The "attributes" of the catalogue's next source, which is not counted yet. */
enum cvm_status cvm_read_attributes(struct cvm_reading *reading, struct cvm_source *source,
                                    const struct cvm_yaml_node *map);

/* Readers of one file each. */
enum cvm_status cvm_read_consent_words(struct cvm_reading *reading,
                                       const struct cvm_yaml_node *root);
enum cvm_status cvm_read_topics(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_mapping(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                 const char *name);
enum cvm_status cvm_read_features(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_insights(struct cvm_reading *reading, const struct cvm_yaml_node *root);
/* The history window first: features are checked against it. */
enum cvm_status cvm_read_history(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_journey(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_values(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_shared_constraints(struct cvm_reading *reading,
                                            const struct cvm_yaml_node *root);
/* The next constraint on a group of customers, `reading->shared_count` unchanged (group_read.c). */
enum cvm_status cvm_read_group(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                               struct cvm_constraint *out_group,
                               struct cvm_schema_texts *out_treatments);
/* Once the treatments are known: a reserve needs one treatment with a capacity. */
enum cvm_status cvm_check_group(struct cvm_reading *reading, const struct cvm_yaml_node *node,
                                const struct cvm_constraint *group);
enum cvm_status cvm_read_treatment(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                   const char *name, const char *file);
enum cvm_status cvm_read_release(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_report(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_channel_file(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                      const char *name, const char *file);
/* Control groups, once the treatments are known. */
enum cvm_status cvm_read_control(struct cvm_reading *reading, const struct cvm_yaml_node *root);
/* After the treatments: limits govern them. */
enum cvm_status cvm_read_suppressions(struct cvm_reading *reading,
                                      const struct cvm_yaml_node *root);
enum cvm_status cvm_read_policy(struct cvm_reading *reading, const struct cvm_yaml_node *root);
/* Its lists of limits, once the source of contacts is known. */
enum cvm_status cvm_read_limits(struct cvm_reading *reading, const struct cvm_yaml_node *root);
enum cvm_status cvm_read_trigger(struct cvm_reading *reading, const struct cvm_yaml_node *root,
                                 const char *name, const char *file);
/* No feature looks back further than its sources keep their events. */
enum cvm_status cvm_check_retention(struct cvm_reading *reading);
/* Capacities, resources, budgets, groups, once everything is known. */
enum cvm_status cvm_read_constraints_end(struct cvm_reading *reading);

/* What packed journeys depend on, in a form that does not change with names for people, features or
 * treatments: sources, attributes, topics. */
void cvm_catalogue_describe_data(const struct cvm_catalogue *catalogue, struct cvm_text *out);
/* The same with the first topics only. */
void cvm_catalogue_describe_some(const struct cvm_catalogue *catalogue, size_t topic_count,
                                 struct cvm_text *out);

#endif
