/* What is old but needed must not go: windows of features against what their sources keep. */
#include "model/catalogue_reading.h"

static enum cvm_status fail_short(struct cvm_reading *reading, size_t source, int reach,
                                  int feature)
{
    const struct cvm_source *short_one = &reading->catalogue->sources[source];
    const struct cvm_yaml_node *place = reading->features[feature];
    enum cvm_status status = cvm_schema_fail(
        cvm_yaml_member(reading->sources[source], "keep_days"), reading->err,
        "source '%s' keeps %d days, but feature '%s' (%s:%d) looks %d days back", short_one->name,
        short_one->keep_days, reading->catalogue->features[feature].name, place->file, place->line,
        reach);
    return cvm_error_hint(reading->err, status,
                          "Raise keep_days, or shorten the window: window_days of the feature, or "
                          "history_days in journey.yaml where it has none.");
}

enum cvm_status cvm_check_retention(struct cvm_reading *reading)
{
    for (size_t s = 0; s < reading->catalogue->source_count; s++) {
        int keep = reading->catalogue->sources[s].keep_days;
        int feature = CVM_INDEX_NONE;
        int reach = cvm_catalogue_reach_days(reading->catalogue, s, &feature);
        if (keep > 0 && reach > keep) {
            return fail_short(reading, s, reach, feature);
        }
    }
    return CVM_OK;
}
