/* conflict_text.h - rows and limits in the words that people use. For files of allocation/ only. */
#ifndef CVM_ALLOCATION_CONFLICT_TEXT_H
#define CVM_ALLOCATION_CONFLICT_TEXT_H

#include "allocation/conflict.h"
#include "base/text.h"

/* The share that a row of a share asks or allows, in parts of CVM_ROW_SHARE_SCALE. */
int64_t cvm_row_share(const struct cvm_row *row);
static inline bool cvm_row_is_share(const struct cvm_row *row)
{
    return row->kind == CVM_ROW_SHARE_MIN || row->kind == CVM_ROW_SHARE_MAX;
}
/* As the row's own limit stands: its share, or limit of the <= form. */
static inline int64_t cvm_row_level(const struct cvm_row *row)
{
    return cvm_row_is_share(row) ? cvm_row_share(row) : row->limit;
}

/* "500", "1200.5", "20 %": a limit of the <= form, or a share. */
void cvm_text_add_level(struct cvm_text *text, const struct cvm_row *row, int64_t level);
/* "'north'" */
void cvm_text_add_row(struct cvm_text *text, const struct cvm_row *row);
/* "'north' (at least 500)" */
void cvm_text_add_demand(struct cvm_text *text, const struct cvm_row *row);
/* "lower 'north' from 500 to 320" */
void cvm_text_add_change(struct cvm_text *text, const struct cvm_row *row, int64_t level);

/* Moves both texts into the arena and finishes them. */
CVM_MUST_CHECK enum cvm_status
cvm_conflict_set_texts(struct cvm_conflict *conflict, struct cvm_text *message,
                       struct cvm_text *relaxation, struct cvm_arena *arena, struct cvm_error *err);

#endif
