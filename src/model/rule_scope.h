/* rule_scope.h - what names mean in the rules of the catalogue.
 *
 * A rule over a customer names features, `churn_90d` or `customer.churn_90d`, and may count events:
 * `count(call_transcripts, 90, contact.sentiment == 'negative')`. Such an aggregate becomes an
 * anonymous feature of the catalogue, named as it is written; the same text is the same feature.
 * `mentions('abroad', 'travel')` in the filter of an aggregate becomes an anonymous topic, numbered
 * behind those of topics.yaml, unless a topic has exactly these phrases.
 */
#ifndef CVM_MODEL_RULE_SCOPE_H
#define CVM_MODEL_RULE_SCOPE_H

#include "base/arena.h"
#include "base/text.h"
#include "model/catalogue.h"

/* The catalogue's arrays of features and topics have room for the maximum of each: compiling adds
 * to them. The state must live until the rule is compiled; what is added lives in the arena. */
struct cvm_names {
    struct cvm_arena *arena;
    struct cvm_catalogue *catalogue;
};
struct cvm_rule_scope cvm_names_scope(struct cvm_names *names);
/* The scope of a filter over events of these sources (a bit each): their attributes, `topic`,
 * mentions(). */
CVM_MUST_CHECK enum cvm_status cvm_names_events(const struct cvm_names *names, uint64_t sources,
                                                struct cvm_rule_scope *out_scope,
                                                struct cvm_error *err);

/* A rule against a catalogue that was read before: `out_catalogue` is it with the rule's own
 * aggregates behind its features (their numbers stay), in the arena; it lives as long as
 * `catalogue` does. More topics than before: packed journeys do not have these words, so the rule
 * can be checked and not yet evaluated. */
CVM_MUST_CHECK enum cvm_status cvm_names_compile(struct cvm_arena *arena,
                                                 const struct cvm_catalogue *catalogue,
                                                 const char *text, enum cvm_rule_type wanted,
                                                 const struct cvm_catalogue **out_catalogue,
                                                 struct cvm_rule *out_rule, struct cvm_error *err);

/* Sources of events, by a source's or an attribute's name, with near matches in the message. The
 * attribute is CVM_INDEX_NONE for a source. */
CVM_MUST_CHECK enum cvm_status cvm_names_subject(const struct cvm_catalogue *catalogue,
                                                 const char *name, uint64_t *out_sources,
                                                 int *out_attribute, struct cvm_error *err);

/* Once name, sources, attribute, aggregate and filter of a feature from events are set: checks that
 * they make sense together and sets type, words and sensitive (beside what was declared). */
CVM_MUST_CHECK enum cvm_status cvm_feature_complete(const struct cvm_catalogue *catalogue,
                                                    struct cvm_feature *feature,
                                                    struct cvm_error *err);
/* May its numbers stand in the journey at all: no text, nothing personal. */
bool cvm_attribute_is_numeric(const struct cvm_attribute *attribute);

/* The first feature of the rule that is sensitive, or CVM_INDEX_NONE. */
int cvm_rule_sensitive(const struct cvm_catalogue *catalogue, const struct cvm_rule *rule);
/* Why a feature is sensitive: "'a' reads 'b', 'b' reads 'suppression.kind'"; nothing when it was
 * declared so itself. */
void cvm_feature_tell_sensitive(const struct cvm_catalogue *catalogue, size_t feature,
                                struct cvm_text *out);

/* Can journeys packed for `packed` be read by `reader`? Sources and attributes are the same, and
 * the topics of one are the first topics of the other. */
bool cvm_catalogue_reads_journeys_of(const struct cvm_catalogue *reader,
                                     const struct cvm_catalogue *packed);

extern const char *const cvm_aggregate_words[];

#endif
