/* A sweep as CSV, and as a picture: value and price over the limit. */
#include <math.h>
#include <string.h>

#include "cli/document.h"
#include "cli/html.h"
#include "cli/simulate_report.h"
#include "model/money.h"

/* ---- CSV ---- */

static void add_number(struct cvm_text *out, double number)
{
    cvm_text_add_char(out, ',');
    if (isfinite(number)) {
        cvm_text_add_double(out, number);
    }
}

void cvm_simulate_write_csv(const struct cvm_simulate_report *report, struct cvm_text *out)
{
    const struct cvm_simulation *simulation = report->simulation;
    size_t c = (size_t)report->input->sweep_constraint;
    const struct cvm_constraint *constraint = &simulation->catalogue->constraints[c];
    cvm_text_add(out, "limit,value,dual_bound,gap,spend,treated,used,price,price_low,price_high,"
                      "binding\n");
    for (size_t i = 0; i < simulation->result_count; i++) {
        const struct cvm_simulated *point = &simulation->results[i];
        const struct cvm_simulated_limit *limit = &point->limits[c];
        cvm_text_add_double(out, report->input->points[i]);
        add_number(out, point->value);
        add_number(out, point->dual_bound);
        add_number(out, point->gap);
        add_number(out, cvm_micro_to_double(point->spend_micro));
        cvm_text_add_char(out, ',');
        cvm_text_add_int(out, point->treated);
        add_number(out, cvm_simulate_used(constraint, limit));
        add_number(out, cvm_simulate_price(constraint, limit->price));
        add_number(out, cvm_simulate_price(constraint, limit->price_low));
        add_number(out, cvm_simulate_price(constraint, limit->price_high));
        cvm_text_add(out, limit->is_binding ? ",1\n" : ",0\n");
    }
}

/* ---- the picture ---- */

#define LEFT        110
#define RIGHT       790
#define TICKS       5
#define NUMBER_SIZE 32
#define INK         "#1f2933"
#define FAINT       "#9aa5b1"
#define GRID        "#e4e7eb"

struct number {
    char text[NUMBER_SIZE];
};

static struct number pixels(double value)
{
    struct number number;
    (void)!snprintf(number.text, sizeof(number.text), "%.1f", value);
    return number;
}

/* One curve over the points in its own frame. */
struct panel {
    struct cvm_html *html;
    const char *title;
    const char *colour;
    const double *points; /* along x */
    const double *values; /* along y; from 0 on */
    size_t count;
    double top, bottom;
    double run_point; /* where the run was; NaN = nowhere */
};

static double greatest(const double *values, size_t count)
{
    double max = 0;
    for (size_t i = 0; i < count; i++) {
        max = isfinite(values[i]) && values[i] > max ? values[i] : max;
    }
    return max > 0 ? max : 1;
}

/* The least round step that needs no more than TICKS of them. */
static double round_step(double span)
{
    double step = pow(10, floor(log10(span / TICKS)));
    static const double factors[] = {1, 2, 5, 10};
    for (size_t i = 0; i < sizeof(factors) / sizeof(factors[0]); i++) {
        if (span / (step * factors[i]) <= TICKS) {
            return step * factors[i];
        }
    }
    return step * 10;
}

static double x_of(const struct panel *panel, double point)
{
    double from = panel->points[0];
    double to = panel->points[panel->count - 1];
    return to > from ? LEFT + (point - from) / (to - from) * (RIGHT - LEFT) : (LEFT + RIGHT) / 2.0;
}

static double y_of(const struct panel *panel, double value)
{
    double max = greatest(panel->values, panel->count);
    return panel->bottom - value / max * (panel->bottom - panel->top);
}

static void write_text(struct cvm_html *html, double x, double y, const char *anchor,
                       const char *text)
{
    struct number at_x = pixels(x);
    struct number at_y = pixels(y);
    cvm_html_open(html, "text", "x", at_x.text, "y", at_y.text, "font-size", "12", "text-anchor",
                  anchor, "fill", INK, NULL);
    cvm_html_text(html, text);
    cvm_html_close(html);
}

static void write_line(struct cvm_html *html, const double from[2], const double to[2],
                       const char *colour, const char *dashes)
{
    struct number x1 = pixels(from[0]);
    struct number y1 = pixels(from[1]);
    struct number x2 = pixels(to[0]);
    struct number y2 = pixels(to[1]);
    cvm_html_single(html, "line", "x1", x1.text, "y1", y1.text, "x2", x2.text, "y2", y2.text,
                    "stroke", colour, "stroke-dasharray", dashes, NULL);
}

static const char *tick_text(double value, double step, char text[CVM_NUMBER_TEXT_SIZE])
{
    if (step >= 1) {
        return cvm_grouped((int64_t)llround(value), text);
    }
    (void)!snprintf(text, CVM_NUMBER_TEXT_SIZE, "%.4g", value);
    return text;
}

static void write_grid(const struct panel *panel)
{
    char text[CVM_NUMBER_TEXT_SIZE];
    double max = greatest(panel->values, panel->count);
    double step = round_step(max);
    for (double value = 0; value <= max * (1 + 1e-9); value += step) {
        double y = y_of(panel, value);
        write_line(panel->html, (double[]){LEFT, y}, (double[]){RIGHT, y}, GRID, "none");
        write_text(panel->html, LEFT - 8, y + 4, "end", tick_text(value, step, text));
    }
    double from = panel->points[0];
    double to = panel->points[panel->count - 1];
    step = to > from ? round_step(to - from) : 1;
    for (double point = ceil(from / step - 1e-9) * step; point <= to + step * 1e-9; point += step) {
        write_text(panel->html, x_of(panel, point), panel->bottom + 18, "middle",
                   tick_text(point, step, text));
    }
}

static void write_panel(const struct panel *panel)
{
    struct cvm_text path;
    cvm_text_init(&path, 0);
    write_text(panel->html, LEFT, panel->top - 12, "start", panel->title);
    write_grid(panel);
    bool is_inside =
        panel->run_point >= panel->points[0] && panel->run_point <= panel->points[panel->count - 1];
    if (is_inside) {
        double x = x_of(panel, panel->run_point);
        write_line(panel->html, (double[]){x, panel->top}, (double[]){x, panel->bottom}, FAINT,
                   "4 4");
        write_text(panel->html, x + 6, (panel->top + panel->bottom) / 2, "start", "the run");
    }
    for (size_t i = 0; i < panel->count; i++) {
        if (isfinite(panel->values[i])) {
            cvm_text_add_format(&path, "%s%.1f,%.1f", path.length == 0 ? "" : " ",
                                x_of(panel, panel->points[i]), y_of(panel, panel->values[i]));
        }
    }
    cvm_html_single(panel->html, "polyline", "points", cvm_text_string(&path), "fill", "none",
                    "stroke", panel->colour, "stroke-width", "2", NULL);
    cvm_text_finish(&path);
}

/* The run's own limit, where it had one. */
static double run_limit(const struct cvm_simulate_report *report, size_t c)
{
    const struct cvm_simulation *simulation = report->simulation;
    const struct cvm_simulated_limit *limit = &simulation->base.limits[c];
    return limit->is_limited
               ? cvm_simulate_amount(&simulation->catalogue->constraints[c], limit->granted)
               : NAN;
}

void cvm_simulate_write_svg(const struct cvm_simulate_report *report, struct cvm_text *out)
{
    const struct cvm_simulation *simulation = report->simulation;
    size_t c = (size_t)report->input->sweep_constraint;
    const struct cvm_constraint *constraint = &simulation->catalogue->constraints[c];
    double values[CVM_SWEEP_POINTS_MAX];
    double prices[CVM_SWEEP_POINTS_MAX];
    char title[2 * CVM_LIMIT_NAME_SIZE];
    char price_title[2 * CVM_LIMIT_NAME_SIZE];
    struct cvm_html html;
    for (size_t i = 0; i < simulation->result_count; i++) {
        values[i] = simulation->results[i].value;
        prices[i] = cvm_simulate_price(constraint, simulation->results[i].limits[c].price);
    }
    (void)!snprintf(title, sizeof(title), "Value of the plan, %s, over %s", report->currency,
                    report->input->sweep);
    (void)!snprintf(price_title, sizeof(price_title), "What one more of it would bring, %s",
                    report->currency);
    struct panel panel = {
        &html, title, "#2f6db5",           report->input->points, values, simulation->result_count,
        40,    260,   run_limit(report, c)};
    cvm_html_init(&html, out);
    cvm_html_open(&html, "svg", "xmlns", "http://www.w3.org/2000/svg", "viewBox", "0 0 820 560",
                  "width", "820", "height", "560", "font-family", "Helvetica, Arial, sans-serif",
                  "role", "img", "aria-label", title, NULL);
    cvm_html_single(&html, "rect", "width", "820", "height", "560", "fill", "#ffffff", NULL);
    write_panel(&panel);
    panel.title = price_title;
    panel.colour = "#b5542f";
    panel.values = prices;
    panel.top = 330;
    panel.bottom = 520;
    write_panel(&panel);
    cvm_html_close(&html);
    cvm_text_add_char(out, '\n');
}
