#include "model/catalogue_read.h"

#include <stdlib.h>
#include <string.h>

#include "base/date.h"
#include "base/yaml.h"
#include "model/catalogue_reading.h"

#define FILE_NAME_MAX   200
#define DESCRIPTION_MAX ((size_t)16 << 20)
#define PATH_SEPARATOR  "/"

/* The files with a fixed name, in the order in which they are read (after the mappings, which stand
 * behind the consent words). */
enum part {
    PART_CONSENT,
    PART_TOPICS,
    PART_FEATURES,
    PART_INSIGHTS,
    PART_JOURNEY,
    PART_VALUES,
    PART_CONSTRAINTS,
    PART_RELEASE,
    PART_CONTROL,
    PART_REPORT,
    PART_SUPPRESSIONS,
    PART_POLICY,
    PART_COUNT
};
static const char *const part_names[PART_COUNT] = {
    [PART_CONSENT] = "consent.yaml",           [PART_TOPICS] = "topics.yaml",
    [PART_FEATURES] = "features.yaml",         [PART_INSIGHTS] = "insights.yaml",
    [PART_JOURNEY] = "journey.yaml",           [PART_VALUES] = "values.yaml",
    [PART_CONSTRAINTS] = "constraints.yaml",   [PART_RELEASE] = "release.yaml",
    [PART_CONTROL] = "control.yaml",           [PART_REPORT] = "report.yaml",
    [PART_SUPPRESSIONS] = "suppressions.yaml", [PART_POLICY] = "contact_policy.yaml",
};
/* Files that came later: without one its part of the catalogue is off. */
static const bool is_optional[PART_COUNT] = {
    [PART_RELEASE] = true,      [PART_CONTROL] = true, [PART_REPORT] = true,
    [PART_SUPPRESSIONS] = true, [PART_POLICY] = true,
};

struct named_tree {
    const char *file; /* "treatments/data_boost.yaml" */
    const char *name; /* "data_boost" */
    const struct cvm_yaml_node *root;
};

struct trees {
    const struct cvm_yaml_node *parts[PART_COUNT];
    struct named_tree mappings[CVM_MAPPINGS_MAX];
    size_t mapping_count;
    struct named_tree treatments[CVM_TREATMENTS_MAX + 1]; /* and "ignore" */
    size_t treatment_count;
    struct named_tree channels[CVM_CHANNEL_FILES_MAX];
    size_t channel_count;
    struct named_tree triggers[CVM_TRIGGERS_MAX];
    size_t trigger_count;
};

static enum cvm_status fail_memory(struct cvm_error *err)
{
    return CVM_FAIL(err, CVM_E_LIMIT, "the catalogue needs more memory than allowed");
}

/* "root/name" for messages. */
static const char *place_of(struct cvm_arena *arena, const char *root, const char *name)
{
    size_t root_length = strlen(root);
    bool needs_slash = root_length > 0 && root[root_length - 1] != '/';
    size_t size = root_length + strlen(name) + 2;
    char *place = CVM_NEW_ARRAY(arena, size, char);

    if (place != NULL) {
        memcpy(place, root, root_length);
        memcpy(place + root_length, PATH_SEPARATOR, needs_slash ? 1 : 0);
        memcpy(place + root_length + (needs_slash ? 1 : 0), name, strlen(name) + 1);
    }
    return place;
}

/* The NAME of "folder/NAME.yaml"; false if it is no such file. */
static bool find_stem(const char *file, const char *folder, struct cvm_slice *out_stem)
{
    static const char extension[] = ".yaml";
    size_t folder_length = strlen(folder);
    size_t length = strlen(file);

    if (length <= folder_length + sizeof(extension) || strncmp(file, folder, folder_length) != 0 ||
        file[folder_length] != '/' || strcmp(file + length - strlen(extension), extension) != 0) {
        return false;
    }
    out_stem->data = file + folder_length + 1;
    out_stem->length = length - folder_length - 1 - strlen(extension);
    return strchr(out_stem->data, '/') == NULL;
}

static enum cvm_status fail_file(const char *place, struct cvm_error *err)
{
    enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "'%s' is no file of a catalogue", place);
    (void)cvm_error_hint(err, status,
                         "Allowed are consent, topics, features, insights, journey, values, "
                         "constraints, suppressions, contact_policy, release, control and report "
                         ".yaml, mappings/NAME.yaml, treatments/ID.yaml, channels/NAME.yaml and "
                         "triggers/NAME.yaml.");
    return cvm_error_where(err, status, "%s", place);
}

static enum cvm_status add_named(const char *place, const char *folder, size_t max,
                                 struct named_tree tree, struct named_tree *trees, size_t *count,
                                 struct cvm_error *err)
{
    if (*count == max) {
        enum cvm_status status = CVM_FAIL(err, CVM_E_INVALID, "more than %zu %s", max, folder);
        return cvm_error_where(err, status, "%s", place);
    }
    trees[(*count)++] = tree;
    return CVM_OK;
}

static enum cvm_status add_tree(struct cvm_arena *arena, const char *place, const char *file,
                                const struct cvm_yaml_node *root, struct trees *trees,
                                struct cvm_error *err)
{
    const struct {
        const char *name;
        size_t max;
        struct named_tree *trees;
        size_t *count;
    } folders[] = {
        {"mappings", CVM_MAPPINGS_MAX, trees->mappings, &trees->mapping_count},
        {"treatments", CVM_TREATMENTS_MAX + 1, trees->treatments, &trees->treatment_count},
        {"channels", CVM_CHANNEL_FILES_MAX, trees->channels, &trees->channel_count},
        {"triggers", CVM_TRIGGERS_MAX, trees->triggers, &trees->trigger_count},
    };
    struct named_tree tree = {.file = cvm_arena_string(arena, file), .root = root};
    struct cvm_slice stem = {NULL, 0};

    for (size_t i = 0; i < PART_COUNT; i++) {
        if (strcmp(file, part_names[i]) == 0) {
            trees->parts[i] = root;
            return CVM_OK;
        }
    }
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        if (find_stem(file, folders[i].name, &stem)) {
            tree.name = cvm_arena_copy(arena, stem.data, stem.length);
            return tree.file == NULL || tree.name == NULL
                       ? fail_memory(err)
                       : add_named(place, folders[i].name, folders[i].max, tree, folders[i].trees,
                                   folders[i].count, err);
        }
    }
    return fail_file(place, err);
}

static int compare_files(const void *a, const void *b)
{
    const struct cvm_catalogue_file *x = a;
    const struct cvm_catalogue_file *y = b;
    return strcmp(x->name, y->name);
}

/* A sorted copy; two files of one name are an error. */
static enum cvm_status sort_files(struct cvm_arena *arena, const struct cvm_catalogue_files *files,
                                  struct cvm_catalogue_file **out_sorted, struct cvm_error *err)
{
    struct cvm_catalogue_file *sorted =
        CVM_NEW_ARRAY(arena, files->count + 1, struct cvm_catalogue_file);
    if (sorted == NULL) {
        return fail_memory(err);
    }
    if (files->count > 0) {
        memcpy(sorted, files->files, files->count * sizeof(sorted[0]));
        qsort(sorted, files->count, sizeof(sorted[0]), compare_files);
    }
    for (size_t i = 0; i < files->count; i++) {
        if (strlen(sorted[i].name) > FILE_NAME_MAX) {
            return CVM_FAIL(err, CVM_E_INVALID, "a file name is longer than %d bytes",
                            FILE_NAME_MAX);
        }
        if (i > 0 && strcmp(sorted[i - 1].name, sorted[i].name) == 0) {
            return CVM_FAIL(err, CVM_E_INVALID, "file '%s' is given twice", sorted[i].name);
        }
    }
    *out_sorted = sorted;
    return CVM_OK;
}

static enum cvm_status read_trees(struct cvm_arena *arena, const struct cvm_catalogue_file *files,
                                  size_t count, const char *root, struct trees *trees,
                                  struct cvm_error *err)
{
    enum cvm_status status = CVM_OK;

    for (size_t i = 0; i < count && status == CVM_OK; i++) {
        const char *place = place_of(arena, root, files[i].name);
        const struct cvm_yaml_node *tree = NULL;
        if (place == NULL) {
            return fail_memory(err);
        }
        status = cvm_yaml_read(arena, place, files[i].text, files[i].length, &tree, err);
        if (status == CVM_OK) {
            status = add_tree(arena, place, files[i].name, tree, trees, err);
        }
    }
    for (size_t i = 0; i < PART_COUNT && status == CVM_OK; i++) {
        if (trees->parts[i] == NULL && !is_optional[i]) {
            const char *place = place_of(arena, root, part_names[i]);
            status = CVM_FAIL(err, CVM_E_INVALID, "the catalogue has no file '%s'", part_names[i]);
            status = cvm_error_where(err, status, "%s", place == NULL ? part_names[i] : place);
        }
    }
    if (status == CVM_OK && trees->mapping_count == 0) {
        status = CVM_FAIL(err, CVM_E_INVALID, "the catalogue has no mapping (mappings/NAME.yaml)");
    }
    return status;
}

static struct cvm_reading *create_reading(struct cvm_arena *arena, struct cvm_error *err)
{
    struct cvm_reading *reading = CVM_NEW(arena, struct cvm_reading);
    struct cvm_catalogue *catalogue = CVM_NEW(arena, struct cvm_catalogue);

    if (reading == NULL || catalogue == NULL) {
        return NULL;
    }
    catalogue->sources = CVM_NEW_ARRAY(arena, CVM_SOURCES_MAX, struct cvm_source);
    catalogue->attributes = CVM_NEW_ARRAY(arena, CVM_ATTRIBUTES_MAX, struct cvm_attribute);
    catalogue->topics = CVM_NEW_ARRAY(arena, CVM_TOPICS_MAX, struct cvm_topic);
    catalogue->features = CVM_NEW_ARRAY(arena, CVM_FEATURES_MAX, struct cvm_feature);
    catalogue->insights = CVM_NEW_ARRAY(arena, CVM_INSIGHTS_MAX, struct cvm_insight);
    catalogue->segments = CVM_NEW_ARRAY(arena, CVM_SEGMENTS_MAX, struct cvm_segment);
    catalogue->treatments = CVM_NEW_ARRAY(arena, CVM_TREATMENTS_MAX, struct cvm_treatment);
    catalogue->constraints = CVM_NEW_ARRAY(arena, CVM_CONSTRAINTS_MAX, struct cvm_constraint);
    catalogue->ignore = (struct cvm_treatment){
        .id = "ignore",
        .display_name = "No Action",
        .description = "",
        .action = "ignore",
        .enabled = true,
        .channel = CVM_CHANNEL_NONE,
        .purpose = CVM_PURPOSE_SERVICE,
        .class = CVM_CLASS_SERVICE,
        .valid_from_day = CVM_DAY_NONE,
        .valid_to_day = CVM_DAY_NONE,
        .max_per_day = -1,
        .priority = 99,
        .response = {.source = "prior"},
        .file = "treatments/ignore.yaml",
    };
    catalogue->suppressions = CVM_NEW_ARRAY(arena, CVM_SUPPRESSIONS_MAX, struct cvm_suppression);
    catalogue->policy.rules = CVM_NEW_ARRAY(arena, CVM_POLICY_RULES_MAX, struct cvm_policy_rule);
    catalogue->triggers = CVM_NEW_ARRAY(arena, CVM_TRIGGERS_MAX, struct cvm_trigger);
    catalogue->channel_files = CVM_NEW_ARRAY(arena, CVM_CHANNEL_FILES_MAX, struct cvm_channel_file);
    catalogue->value.contacts_feature = CVM_INDEX_NONE;
    catalogue->policy.source = CVM_INDEX_NONE;
    catalogue->policy.zone_feature = CVM_INDEX_NONE;
    catalogue->policy.household_feature = CVM_INDEX_NONE;
    reading->arena = arena;
    reading->err = err;
    reading->catalogue = catalogue;
    bool has_all = catalogue->sources != NULL && catalogue->attributes != NULL &&
                   catalogue->topics != NULL && catalogue->features != NULL &&
                   catalogue->insights != NULL && catalogue->segments != NULL &&
                   catalogue->treatments != NULL && catalogue->constraints != NULL &&
                   catalogue->suppressions != NULL && catalogue->policy.rules != NULL &&
                   catalogue->triggers != NULL && catalogue->channel_files != NULL;
    return has_all ? reading : NULL;
}

static enum cvm_status read_parts(struct cvm_reading *reading, const struct trees *trees)
{
    static const struct {
        enum part part;
        enum cvm_status (*read)(struct cvm_reading *, const struct cvm_yaml_node *);
    } steps[] = {
        {PART_TOPICS, cvm_read_topics},
        {PART_JOURNEY, cvm_read_history},
        {PART_FEATURES, cvm_read_features},
        {PART_INSIGHTS, cvm_read_insights},
        {PART_JOURNEY, cvm_read_journey},
        {PART_VALUES, cvm_read_values},
        {PART_CONSTRAINTS, cvm_read_shared_constraints},
        {PART_RELEASE, cvm_read_release},
        {PART_REPORT, cvm_read_report},
    };
    enum cvm_status status = cvm_read_consent_words(reading, trees->parts[PART_CONSENT]);

    for (size_t i = 0; i < trees->mapping_count && status == CVM_OK; i++) {
        status = cvm_read_mapping(reading, trees->mappings[i].root, trees->mappings[i].name);
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && status == CVM_OK; i++) {
        const struct cvm_yaml_node *root = trees->parts[steps[i].part];
        status = root == NULL ? CVM_OK : steps[i].read(reading, root);
    }
    for (size_t i = 0; i < trees->treatment_count && status == CVM_OK; i++) {
        const struct named_tree *tree = &trees->treatments[i];
        status = cvm_read_treatment(reading, tree->root, tree->name, tree->file);
    }
    for (size_t i = 0; i < trees->channel_count && status == CVM_OK; i++) {
        const struct named_tree *tree = &trees->channels[i];
        status = cvm_read_channel_file(reading, tree->root, tree->name, tree->file);
    }
    if (status == CVM_OK && trees->parts[PART_CONTROL] != NULL) {
        status = cvm_read_control(reading, trees->parts[PART_CONTROL]);
    }
    if (status == CVM_OK && trees->parts[PART_SUPPRESSIONS] != NULL) {
        status = cvm_read_suppressions(reading, trees->parts[PART_SUPPRESSIONS]);
    }
    if (status == CVM_OK && trees->parts[PART_POLICY] != NULL) {
        status = cvm_read_policy(reading, trees->parts[PART_POLICY]);
    }
    /* Last, so that what is looked for adds no feature or topic in front of another. */
    for (size_t i = 0; i < trees->trigger_count && status == CVM_OK; i++) {
        const struct named_tree *tree = &trees->triggers[i];
        status = cvm_read_trigger(reading, tree->root, tree->name, tree->file);
    }
    if (status == CVM_OK) {
        status = cvm_check_retention(reading);
    }
    return status == CVM_OK ? cvm_read_constraints_end(reading) : status;
}

/* Lengths stand before the bytes, so that no two sets of files feed the digest the same. */
static void digest_bytes(struct cvm_digest *digest, const char *bytes, size_t length)
{
    unsigned char size[8];
    for (size_t i = 0; i < sizeof(size); i++) {
        size[i] = (unsigned char)((uint64_t)length >> (8 * i));
    }
    cvm_digest_add(digest, size, sizeof(size));
    cvm_digest_add(digest, bytes, length);
}

static enum cvm_status write_digests(struct cvm_catalogue *catalogue,
                                     const struct cvm_catalogue_file *files, size_t count,
                                     struct cvm_error *err)
{
    struct cvm_digest digest;
    struct cvm_text description;

    cvm_digest_init(&digest);
    for (size_t i = 0; i < count; i++) {
        digest_bytes(&digest, files[i].name, strlen(files[i].name));
        digest_bytes(&digest, files[i].text, files[i].length);
    }
    cvm_digest_finish(&digest, catalogue->digest);

    cvm_text_init(&description, DESCRIPTION_MAX);
    cvm_catalogue_describe_data(catalogue, &description);
    bool has_failed = description.failed;
    cvm_digest_init(&digest);
    digest_bytes(&digest, cvm_text_string(&description), description.length);
    cvm_digest_finish(&digest, catalogue->data_digest);
    cvm_text_finish(&description);
    return has_failed ? fail_memory(err) : CVM_OK;
}

enum cvm_status cvm_catalogue_read(struct cvm_arena *arena, const struct cvm_catalogue_files *files,
                                   const char *root, const struct cvm_catalogue **out_catalogue,
                                   struct cvm_error *err)
{
    struct cvm_catalogue_file *sorted = NULL;
    struct trees *trees = CVM_NEW(arena, struct trees);
    struct cvm_reading *reading = create_reading(arena, err);

    if (trees == NULL || reading == NULL) {
        return fail_memory(err);
    }
    enum cvm_status status = sort_files(arena, files, &sorted, err);
    if (status == CVM_OK) {
        status = read_trees(arena, sorted, files->count, root, trees, err);
    }
    if (status == CVM_OK) {
        status = read_parts(reading, trees);
    }
    if (status == CVM_OK) {
        status = write_digests(reading->catalogue, sorted, files->count, err);
    }
    if (status == CVM_OK) {
        *out_catalogue = reading->catalogue;
    }
    return status;
}
