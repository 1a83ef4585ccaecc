#include "allocation/conflict_text.h"

#include <stdlib.h>

#include "allocation/tariff.h"

int64_t cvm_row_share(const struct cvm_row *row)
{
    for (size_t t = 0; t < CVM_PROBLEM_TREATMENTS_MAX; t++) {
        if (row->units[t] != 0 || row->outside[t] != 0) {
            return row->kind == CVM_ROW_SHARE_MIN ? row->outside[t] : -row->outside[t];
        }
    }
    return 0;
}

void cvm_text_add_level(struct cvm_text *text, const struct cvm_row *row, int64_t level)
{
    if (cvm_row_is_share(row)) {
        cvm_text_add_double(text, (double)level * 100.0 / (double)CVM_ROW_SHARE_SCALE);
        cvm_text_add(text, " %");
    } else {
        cvm_text_add_double(text, cvm_row_natural(row, level < 0 ? -level : level));
    }
}

void cvm_text_add_row(struct cvm_text *text, const struct cvm_row *row)
{
    cvm_text_add_format(text, "'%s'", row->name != NULL ? row->name : "unnamed");
}

void cvm_text_add_demand(struct cvm_text *text, const struct cvm_row *row)
{
    cvm_text_add_row(text, row);
    cvm_text_add(text, cvm_row_is_minimum(row) ? " (at least " : " (at most ");
    cvm_text_add_level(text, row, cvm_row_level(row));
    cvm_text_add(text, row->kind == CVM_ROW_RESERVE ? " for the others)" : ")");
}

void cvm_text_add_change(struct cvm_text *text, const struct cvm_row *row, int64_t level)
{
    bool is_reserve = row->kind == CVM_ROW_RESERVE;
    cvm_text_add(text, cvm_row_is_minimum(row) ? "lower " : "raise ");
    cvm_text_add(text, is_reserve ? "what " : "");
    cvm_text_add_row(text, row);
    cvm_text_add(text, is_reserve ? " leaves for the others from " : " from ");
    cvm_text_add_level(text, row, cvm_row_level(row));
    cvm_text_add(text, " to ");
    cvm_text_add_level(text, row, level);
}

enum cvm_status cvm_conflict_set_texts(struct cvm_conflict *conflict, struct cvm_text *message,
                                       struct cvm_text *relaxation, struct cvm_arena *arena,
                                       struct cvm_error *err)
{
    bool has_failed = message->failed || relaxation->failed;
    conflict->message = cvm_arena_string(arena, cvm_text_string(message));
    conflict->relaxation = cvm_arena_string(arena, cvm_text_string(relaxation));
    cvm_text_finish(message);
    cvm_text_finish(relaxation);
    return has_failed || conflict->message == NULL || conflict->relaxation == NULL
               ? CVM_FAIL(err, CVM_E_LIMIT, "no memory to tell of rows in conflict")
               : CVM_OK;
}
