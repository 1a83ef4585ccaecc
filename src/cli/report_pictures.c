#include "cli/report_pictures.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ROW_HEIGHT  44
#define LABEL_MAX   26 /* characters: with the figure they fill the width of a phone */
#define NUMBER_SIZE 32

struct number {
    char text[NUMBER_SIZE];
};

static struct number pixels(double value)
{
    struct number number;
    (void)!snprintf(number.text, sizeof(number.text), "%.4g", value);
    return number;
}

static struct number percent(double share)
{
    struct number number;
    double inside = share < 0 ? 0 : share > 1 ? 1 : share;
    (void)!snprintf(number.text, sizeof(number.text), "%.2f%%", 100 * inside);
    return number;
}

/* A share of the width, kept clear of both edges so that dots are not cut. */
static struct number position(double share)
{
    double inside = share < 0 ? 0 : share > 1 ? 1 : share;
    return percent(0.02 + 0.96 * inside);
}

/* ---- the frame ---- */

static void open_picture(struct cvm_html *html, const char *sentence, size_t rows)
{
    struct number height = pixels((double)(rows * ROW_HEIGHT));
    cvm_html_open(html, "figure", NULL);
    cvm_html_element(html, "figcaption", NULL, sentence);
    cvm_html_open(html, "svg", "role", "img", "aria-label", sentence, "width", "100%", "height",
                  height.text, NULL);
}

static void close_picture(struct cvm_html *html)
{
    cvm_html_close(html);
    cvm_html_close(html);
}

/* At most LABEL_MAX characters, not bytes. */
static void shorten(const char *label, char *out, size_t size)
{
    size_t at = 0;
    size_t characters = 0;
    while (label[at] != '\0' && at + 8 < size) {
        bool begins = ((unsigned char)label[at] & 0xc0) != 0x80;
        if (begins && characters == LABEL_MAX) {
            memcpy(out + at, "\xe2\x80\xa6", 4); /* ... */
            return;
        }
        characters += begins ? 1 : 0;
        out[at] = label[at];
        at++;
    }
    out[at] = '\0';
}

static void write_labels(struct cvm_html *html, const struct cvm_picture_row *row, size_t number)
{
    char label[4 * LABEL_MAX + 16];
    struct number y = pixels((double)(number * ROW_HEIGHT + 16));
    shorten(row->label, label, sizeof(label));
    cvm_html_open(html, "text", "x", "0", "y", y.text, "class",
                  row->is_marked ? "label marked" : "label", NULL);
    cvm_html_text(html, label);
    cvm_html_close(html);
    cvm_html_open(html, "text", "x", "100%", "y", y.text, "class", "figure", "text-anchor", "end",
                  NULL);
    cvm_html_text(html, row->text);
    cvm_html_close(html);
}

static void write_bar(struct cvm_html *html, size_t number, struct number x, struct number width,
                      const char *class)
{
    struct number y = pixels((double)(number * ROW_HEIGHT + 22));
    cvm_html_single(html, "rect", "x", x.text, "y", y.text, "width", width.text, "height", "12",
                    "rx", "2", "class", class, NULL);
}

static void write_line(struct cvm_html *html, size_t number, struct number from, struct number to,
                       const char *class)
{
    struct number y = pixels((double)(number * ROW_HEIGHT + 29));
    cvm_html_single(html, "line", "x1", from.text, "x2", to.text, "y1", y.text, "y2", y.text,
                    "class", class, NULL);
}

static void write_dot(struct cvm_html *html, size_t number, struct number x, const char *class)
{
    struct number y = pixels((double)(number * ROW_HEIGHT + 29));
    cvm_html_single(html, "circle", "cx", x.text, "cy", y.text, "r", "5", "class", class, NULL);
}

/* ---- pictures ---- */

static double greatest(const struct cvm_picture_row *rows, size_t count)
{
    double max = 0;
    for (size_t i = 0; i < count; i++) {
        max = rows[i].value > max ? rows[i].value : max;
    }
    return max > 0 ? max : 1;
}

void cvm_picture_bars(struct cvm_html *html, const char *sentence,
                      const struct cvm_picture_row *rows, size_t count)
{
    double max = greatest(rows, count);
    open_picture(html, sentence, count);
    for (size_t i = 0; i < count; i++) {
        write_labels(html, &rows[i], i);
        write_bar(html, i, percent(0), percent(1), "track");
        if (rows[i].value > 0) {
            write_bar(html, i, percent(0), percent(rows[i].value / max),
                      rows[i].is_marked ? "bar marked" : "bar");
        }
    }
    close_picture(html);
}

void cvm_picture_funnel(struct cvm_html *html, const char *sentence,
                        const struct cvm_picture_row *rows, size_t count)
{
    double max = greatest(rows, count);
    open_picture(html, sentence, count);
    for (size_t i = 0; i < count; i++) {
        double share = rows[i].value / max;
        write_labels(html, &rows[i], i);
        write_bar(html, i, percent((1 - share) / 2), percent(share),
                  rows[i].is_marked ? "bar marked" : "bar");
    }
    close_picture(html);
}

struct scale {
    double from, to;
};

static double on_scale(const struct scale *scale, double value)
{
    return (value - scale->from) / (scale->to - scale->from);
}

static void widen(struct scale *scale, double value)
{
    if (isfinite(value)) {
        scale->from = value < scale->from ? value : scale->from;
        scale->to = value > scale->to ? value : scale->to;
    }
}

/* A piece in every row, so that it crosses no label. */
static void write_reference(struct cvm_html *html, struct number x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct number top = pixels((double)(i * ROW_HEIGHT + 21));
        struct number bottom = pixels((double)(i * ROW_HEIGHT + 37));
        cvm_html_single(html, "line", "x1", x.text, "x2", x.text, "y1", top.text, "y2", bottom.text,
                        "class", "reference", NULL);
    }
}

void cvm_picture_ranges(struct cvm_html *html, const char *sentence,
                        const struct cvm_picture_row *rows, size_t count, double reference)
{
    struct scale scale = {reference, reference};
    for (size_t i = 0; i < count; i++) {
        widen(&scale, rows[i].value);
        widen(&scale, rows[i].low);
        widen(&scale, rows[i].high);
    }
    if (!(scale.to > scale.from)) {
        scale.to = scale.from + 1;
    }
    open_picture(html, sentence, count);
    write_reference(html, position(on_scale(&scale, reference)), count);
    for (size_t i = 0; i < count; i++) {
        write_labels(html, &rows[i], i);
        if (isfinite(rows[i].low) && isfinite(rows[i].high)) {
            write_line(html, i, position(on_scale(&scale, rows[i].low)),
                       position(on_scale(&scale, rows[i].high)), "range");
        }
        if (isfinite(rows[i].value)) {
            write_dot(html, i, position(on_scale(&scale, rows[i].value)),
                      rows[i].is_marked ? "dot marked" : "dot");
        }
    }
    close_picture(html);
}

void cvm_picture_moves(struct cvm_html *html, const char *sentence,
                       const struct cvm_picture_row *rows, size_t count)
{
    struct scale scale = {0, 0};
    for (size_t i = 0; i < count; i++) {
        widen(&scale, rows[i].value);
        widen(&scale, rows[i].low);
    }
    if (!(scale.to > scale.from)) {
        scale.to = scale.from + 1;
    }
    open_picture(html, sentence, count);
    for (size_t i = 0; i < count; i++) {
        struct number before = position(on_scale(&scale, rows[i].low));
        struct number now = position(on_scale(&scale, rows[i].value));
        write_labels(html, &rows[i], i);
        write_line(html, i, position(0), position(1), "axis");
        write_line(html, i, before, now, "range");
        write_dot(html, i, before, "ring");
        write_dot(html, i, now, "dot");
    }
    close_picture(html);
}
