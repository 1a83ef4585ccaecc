"""The picture of thirty_nights.py: three panels in one SVG, drawn by hand so that nothing needs to be installed."""

import math

WIDTH = 900
LEFT = 170
RIGHT = 30
PLOT = WIDTH - LEFT - RIGHT
INK = "#1f2933"
SOFT = "#9aa5b1"
GRID = "#e4e7eb"
BLUE = "#2f6db5"
ORANGE = "#d9822b"
GREEN = "#4f9d69"


class Picture:
    def __init__(self):
        self.parts = []

    def line(self, x1, y1, x2, y2, colour=GRID, width=1.0, dash=None):
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
            f'stroke-width="{width}"{dashes}/>'
        )

    def text(self, x, y, words, size=12, anchor="start", colour=INK, weight="normal"):
        words = words.replace("&", "&amp;").replace("<", "&lt;")
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{words}</text>'
        )

    def box(self, x, y, width, height, colour, opacity=1.0):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(height, 0):.1f}" fill="{colour}" '
            f'fill-opacity="{opacity}"/>'
        )

    def path(self, points, colour, width=2.0):
        words = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{words}" fill="none" stroke="{colour}" stroke-width="{width}"/>')

    def dot(self, x, y, colour, radius=4.0):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{colour}"/>')

    def cross(self, x, y, colour):
        self.line(x - 5, y - 5, x + 5, y + 5, colour, 2)
        self.line(x - 5, y + 5, x + 5, y - 5, colour, 2)

    def svg(self, height):
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
            f'height="{height}" font-family="Helvetica, Arial, sans-serif">\n'
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )


def round_up(value):
    step = 1.0
    while step * 10 <= value:
        step *= 10
    for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10):
        if factor * step >= value:
            return factor * step
    return 10 * step


def axis(picture, top, height, most, unit):
    """Four grid lines with their amounts; returns the y of a value."""

    def y_of(value):
        return top + height - height * min(value, most) / most

    for i in range(5):
        value = most * i / 4
        picture.line(LEFT, y_of(value), LEFT + PLOT, y_of(value))
        picture.text(LEFT - 8, y_of(value) + 4, f"{value:,.0f}{unit}", 11, "end", SOFT)
    return y_of


def panel_contacts(picture, top, rows):
    height = 150
    step = PLOT / len(rows)
    y_of = axis(picture, top, height, round_up(max(r["treated"] + r["ghosts"] for r in rows)), "")
    for i, row in enumerate(rows):
        x = LEFT + i * step + 2
        base = y_of(row["treated"])
        picture.box(x, base, step - 4, top + height - base, BLUE, 0.85)
        top_of_ghosts = y_of(row["treated"] + row["ghosts"])
        picture.box(x, top_of_ghosts, step - 4, base - top_of_ghosts, SOFT)
        picture.text(x + step / 2 - 2, top + height + 14, str(i + 1), 10, "middle", SOFT)
    return height


def panel_value(picture, top, rows, margin_year):
    height = 190
    step = PLOT / len(rows)
    y_of = axis(picture, top, height, round_up(max(max(r["realised"], r["expected"]) for r in rows[2:])), "")
    low, high = 0.01 * margin_year / 365.0, 0.04 * margin_year / 365.0
    picture.box(LEFT, y_of(high), PLOT, y_of(low) - y_of(high), GREEN, 0.15)
    picture.text(LEFT + PLOT / 2, y_of(high) - 5, "1 to 4 % of the base's margin a year", 11, "middle", GREEN)
    for key, colour in (("expected", ORANGE), ("realised", BLUE), ("accrued", INK)):
        picture.path([(LEFT + (i + 0.5) * step, y_of(r[key])) for i, r in enumerate(rows)], colour)
    for i in range(len(rows)):
        picture.text(LEFT + (i + 0.5) * step, top + height + 14, str(i + 1), 10, "middle", SOFT)
    return height


def panel_learned(picture, top, learned):
    cuts = [x for x in learned if x[1] == "churn_cut"]
    low = min(min(x[2], x[4], x[6]) for x in cuts)
    high = max(max(x[2], x[5], x[6]) for x in cuts)

    def x_of(value):
        return LEFT + PLOT * (value - low) / (high - low)

    height = 24 * len(cuts)
    for tick in range(math.floor(low * 10), math.floor(high * 10) + 1):
        if low <= tick / 10 <= high:
            picture.line(x_of(tick / 10), top, x_of(tick / 10), top + height)
            picture.text(x_of(tick / 10), top + height + 14, f"{10 * tick} %", 10, "middle", SOFT)
    for i, (treatment, _, prior, now, from_, to, truth, outcomes) in enumerate(cuts):
        y = top + 24 * i + 12
        picture.text(LEFT - 8, y - 1, treatment, 12, "end")
        picture.text(LEFT - 8, y + 10, f"{outcomes:,} outcomes", 9, "end", SOFT)
        picture.line(x_of(from_), y, x_of(to), y, BLUE, 5)
        picture.dot(x_of(now), y, BLUE)
        picture.dot(x_of(prior), y, SOFT, 3.5)
        picture.cross(x_of(truth), y, ORANGE)
    return height


def legend(picture, y, entries):
    x = LEFT
    for words, colour in entries:
        picture.box(x, y - 9, 14, 9, colour)
        picture.text(x + 20, y, words, 11, "start", INK)
        x += 40 + 5.6 * len(words)


def write(path, nights, learned):
    picture = Picture()
    rows = nights.rows
    picture.text(20, 28, f"{len(rows)} nights of run, release, contacts and outcomes", 18, weight="bold")
    picture.text(
        20, 48, f"a generated base of {nights.options.customers:,} customers, seed {nights.options.seed}; written by "
        "tests/soak/thirty_nights.py", 12, colour=SOFT,
    )
    picture.text(20, 80, "Decisions per night", 13, weight="bold")
    y = 96
    y += panel_contacts(picture, y, rows) + 32
    legend(picture, y, [("given", BLUE), ("left untreated to measure against", SOFT)])
    y += 36
    picture.text(20, y, "Incremental value per night (the first two are cut off)", 13, weight="bold")
    y += 16
    y += panel_value(picture, y, rows, nights.truth.margin_month * 12.0) + 32
    legend(
        picture, y,
        [("expected when deciding", ORANGE), ("true value of the night's decisions", BLUE),
         ("worth saved on that day", INK)],
    )
    y += 36
    picture.text(20, y, "Churn cut: what was learned, and the truth", 13, weight="bold")
    y += 14
    y += panel_learned(picture, y, learned) + 32
    legend(picture, y, [("prior", SOFT), ("learned, 95 % interval", BLUE), ("truth", ORANGE)])
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(picture.svg(y + 24))
