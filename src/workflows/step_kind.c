#include "workflows/step_kind.h"

#include <stddef.h>

const struct cvm_step_kind cvm_step_kinds[] = {
    {
        .agent = "data",
        .message = "CUSTOMER_DATA_REQUEST",
        .gives = "snapshot",
        .cuts = true,
    },
    {
        .agent = "trigger",
        .message = "TRIGGER_REQUEST",
        .takes = {"snapshot"},
        .gives = "matches",
    },
    {
        .agent = "journey",
        .message = "JOURNEY_REQUEST",
        .takes = {"snapshot"},
        .may_take = {"matches"},
        .gives = "insights",
    },
    {
        .agent = "treatment",
        .message = "TREATMENT_REQUEST",
        .takes = {"snapshot"},
        .may_take = {"insights", "matches"},
        .gives = "values",
        .may_fan_out = true,
    },
    {
        .agent = "allocation",
        .message = "ALLOCATION_REQUEST",
        .takes = {"snapshot", "values"},
        .may_take = {"matches"},
        .gives = "plan",
    },
    {
        .agent = "evaluation",
        .message = "EVALUATION_REQUEST",
        .takes = {"plan"},
        .may_stand_alone = true,
        .gives = "report",
    },
    {.agent = NULL},
};
