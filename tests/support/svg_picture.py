"""Pictures in SVG for docs/, drawn by hand so that nothing needs to be installed."""

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


def legend(picture, y, entries):
    x = LEFT
    for words, colour in entries:
        picture.box(x, y - 9, 14, 9, colour)
        picture.text(x + 20, y, words, 11, "start", INK)
        x += 40 + 5.6 * len(words)
