/* small_catalogue.h - a catalogue with one of everything, quick to read: what fuzz targets change.
 */
#ifndef CVM_TESTS_SMALL_CATALOGUE_H
#define CVM_TESTS_SMALL_CATALOGUE_H

#include "model/catalogue_read.h"

static const char consent_text[] =
    "yes: [Y]\nno: [N]\nchannels: {push: [app]}\nlanguages: {en: [english]}\n";
static const char channel_text[] =
    "channel: call\nformat: csv\ndelimiter: \";\"\ncolumns:\n"
    "  - {column: id, field: decision_id}\n  - {column: mood, feature: mood}\n"
    "  - {column: sender, constant: us}\ntest_recipients: [t1]\n";
static const char control_text[] = "universal: {share: 0.02, strata: [mood], least_customers: 10}\n"
                                   "holdouts: {default: 0.05, call: 0.1}\n";
static const char release_text[] =
    "least_decisions: 100\nvolume_change: 0.9\nspend_change: 0.9\ntreatment_change: 0.4\n"
    "opt_out_rate: 0.02\nsource_shrink: 0.5\nhold_stale: true\n";
static const char report_text[] = "groups: [mood]\n";
static const char constraints_text[] =
    "resources:\n  - {resource: minutes, limit: 10}\n"
    "budgets:\n  - {budget: money, measure: both, limit: 5.5, treatments: [call]}\n";
static const char features_text[] =
    "features:\n"
    "  - {feature: events, description: e, aggregate: count}\n"
    "  - {feature: score, description: s, attribute: score, aggregate: last, window_days: 30}\n"
    "  - {feature: mood, description: m, attribute: mood, aggregate: last}\n"
    "  - {feature: asks, description: a, source: talk, aggregate: count, where: topic == "
    "'price'}\n"
    "  - {feature: worth, description: w, rule: 'score * 2 + count(talk, 7)'}\n";
static const char insights_text[] =
    "insights:\n  - {insight: sad, severity: high, when: mood == 'bad', "
    "sentence: 'is {mood}'}\n";
static const char journey_text[] =
    "history_days: 90\nsummary:\n  - {group: 1, sentence: '{events}'}\n"
    "metrics:\n  length: events\n";
static const char mapping_text[] =
    "mapping: m\nsources:\n"
    "  - source: talk\n    files: ['talk*']\n    kind: events\n    rank: 1\n    customer: [id]\n"
    "    date: [date]\n    sentence: '{mood}'\n    attributes:\n"
    "      mood: {type: word, words: {bad: [sad], good: []}, fields: [mood, 'a[].b'], list: "
    "first}\n"
    "      score: {type: number, fields: [{field: s, scale: 2}], constant: 1,\n"
    "        score: {horizon_days: 90, intercept: 0, slope: 1, calibration: assumed}}\n"
    "      twice: {type: number, sum_of: [score, score]}\n"
    "      open: {type: boolean, words: {true: [on]}, fields: [o]}\n"
    "  - source: sent\n    files: [sent]\n    kind: events\n    rank: 2\n    customer: [id]\n"
    "    date: [date]\n    sentence: '{by}'\n    attributes:\n"
    "      by: {type: word, words: [call, email, sms, push, none], fields: [by]}\n"
    "      why: {type: word, words: [marketing, service, billing], fields: [why]}\n"
    "      act: {type: code, fields: [act]}\n"
    "  - source: may\n    files: [may]\n    kind: consent\n    customer: [id]\n"
    "    consent: permissions\n    quiet_hours: dnd\n";
static const char policy_text[] =
    "contact_policy: {source: sent, channel: by, purpose: why, action: act, household: score}\n"
    "channel_hours: {call: '09:00-20:00'}\npreferred_times: {morning: '08:00-12:00'}\n"
    "limits:\n  - {limit: a, purpose: marketing, max: 4, window_days: 30}\n"
    "  - {limit: b, channel: call, max: 1, window_days: 60}\n"
    "  - {limit: c, each: action, without_contact: true, max: 1, window_days: 30}\n"
    "rests: [{rest: d, days: 3}]\n"
    "sequences: [{sequence: e, never: [call], after: [call], within_days: 7}]\n"
    "household_limits: [{limit: f, max: 2, window_days: 30}]\n";
static const char suppressions_text[] =
    "suppressions:\n  - {suppression: sad, when: mood == 'bad', withholds: [marketing],\n"
    "     without_contact: true}\n";
static const char topics_text[] = "topics:\n  - {topic: price, phrases: [price, cost]}\n";
static const char treatment_text[] =
    "treatment: call\nclass: retention\nchannel: call\npurpose: marketing\n"
    "applicable: score >= 0.1 && mood != 'good'\nmax_per_day: 5\ncost: 0.30\nuses: {minutes: 2}\n"
    "languages: [en]\nvalid_from: 2024-01-01\n"
    "response:\n  reach: {mean: 0.5, sd: 0.1}\n  incentive: 2\n";
static const char trigger_text[] =
    "trigger: asks\ndescription: a\n"
    "when: score > 3 || count(talk, 30, mentions('lag', 'price') && score > 1) >= 2\n";
static const char values_text[] =
    "value: {horizon_days: 90, churn_feature: score}\nsegments:\n"
    "  - {segment: sad, when: mood == 'bad', margin_month: {median: 3, min: 1, max: 8},\n"
    "     churn_month: {mean: 0.03, sd: 0.01}, horizon_months: 12}\n"
    "  - {segment: rest, margin_month: {median: 3, min: 1, max: 8},\n"
    "     churn_month: {mean: 0.03, sd: 0.01}, horizon_months: 12}\n";

#define SMALL_FILE(name, text)                                                                     \
    {                                                                                              \
        (name), (text), sizeof(text) - 1                                                           \
    }
static const struct cvm_catalogue_file small_files[] = {
    SMALL_FILE("channels/call.yaml", channel_text),
    SMALL_FILE("consent.yaml", consent_text),
    SMALL_FILE("constraints.yaml", constraints_text),
    SMALL_FILE("contact_policy.yaml", policy_text),
    SMALL_FILE("control.yaml", control_text),
    SMALL_FILE("features.yaml", features_text),
    SMALL_FILE("insights.yaml", insights_text),
    SMALL_FILE("journey.yaml", journey_text),
    SMALL_FILE("mappings/m.yaml", mapping_text),
    SMALL_FILE("release.yaml", release_text),
    SMALL_FILE("report.yaml", report_text),
    SMALL_FILE("suppressions.yaml", suppressions_text),
    SMALL_FILE("topics.yaml", topics_text),
    SMALL_FILE("treatments/call.yaml", treatment_text),
    SMALL_FILE("triggers/asks.yaml", trigger_text),
    SMALL_FILE("values.yaml", values_text),
};
#define SMALL_FILE_COUNT (sizeof(small_files) / sizeof(small_files[0]))

#endif
