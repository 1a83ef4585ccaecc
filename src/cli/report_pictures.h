/* report_pictures.h - the pictures of a report as inline SVG: bars, a funnel, ranges, moves.
 *
 * Each says its sentence above it and to those who do not see it. Widths are percentages and
 * letters are never scaled, so that a picture is as readable on a phone as on a wall.
 */
#ifndef CVM_CLI_REPORT_PICTURES_H
#define CVM_CLI_REPORT_PICTURES_H

#include "cli/html.h"

#define CVM_PICTURE_ROWS_MAX 64

/* A row of any picture. Numbers share one scale; NaN draws nothing. */
struct cvm_picture_row {
    const char *label;
    const char *text; /* the figure, with its unit */
    double value;
    double low, high; /* ranges: the interval; moves: low = before */
    bool is_marked;   /* stands out: the plan among its baselines */
};

/* Lengths from 0. */
void cvm_picture_bars(struct cvm_html *html, const char *sentence,
                      const struct cvm_picture_row *rows, size_t count);
/* Lengths around the middle, from the first one down. */
void cvm_picture_funnel(struct cvm_html *html, const char *sentence,
                        const struct cvm_picture_row *rows, size_t count);
/* A dot within its interval, and a line where `reference` is. */
void cvm_picture_ranges(struct cvm_html *html, const char *sentence,
                        const struct cvm_picture_row *rows, size_t count, double reference);
/* From where it was (a ring) to where it is (a dot). */
void cvm_picture_moves(struct cvm_html *html, const char *sentence,
                       const struct cvm_picture_row *rows, size_t count);

#endif
