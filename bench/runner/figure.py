"""Draws results.jsonl as an SVG: python3 bench/runner/figure.py RESULTS.jsonl OUT.svg

One panel for each figure, one bar for each server, the best on top: the median, with a thin line from the least to the
most. A bar that ends in a point is longer than there is room for. The colours can be read on light and dark grounds.
"""

import statistics
import sys
from html import escape

import workloads
from results import Cell, Results
from table import number, title_of

WIDTH = 980
COLUMNS = 2
GAP = 36
LABEL = 190  # room for a server's name
VALUE = 58  # and for the number behind its bar
BAR, STEP, HEAD = 13, 20, 34
LONGEST = 2.5  # times the median of a panel: one server far behind must not make the others look alike

INK = "#7d8590"
OURS, THEIRS, FLOOR = "#2f81f7", "#9aa4b0", "#c4a35a"

FONT = "system-ui, -apple-system, 'Segoe UI', 'Helvetica Neue', sans-serif"


def text(x: float, y: float, words: str, **attributes) -> str:
    """Attributes and no style sheet: not every program that shows an SVG knows those."""
    more = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>'


def colour(name: str) -> str:
    if name.startswith("tlsloop"):
        return OURS
    return FLOOR if name == "plain" else THEIRS


def shape(name: str, x: float, y: float, length: float, room: float) -> str:
    if length <= room:
        return f'<rect x="{x:.1f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" rx="2" fill="{colour(name)}"/>'
    points = f"M{x:.1f} {y:.1f}h{room - 7:.1f}l7 {BAR / 2}l-7 {BAR / 2}h{7 - room:.1f}z"
    return f'<path d="{points}" fill="{colour(name)}"/>'


def bar(name: str, cell: Cell, x: float, y: float, scale: float, room: float) -> list[str]:
    middle = y + BAR / 2
    start = x + LABEL
    length = max(cell.median * scale, 1)
    end = min(max(length, max(cell.values) * scale), room)
    bold = {"font_weight": "600", "fill": OURS} if name.startswith("tlsloop") else {}
    parts = [
        text(start - 8, middle + 4, title_of(name), text_anchor="end", **bold),
        shape(name, start, y, length, room),
        text(start + end + 5, middle + 4, number(cell.median)),
    ]
    if len(cell.values) > 1 and length <= room:
        least = start + min(cell.values) * scale
        parts.append(f'<path d="M{least:.1f} {middle:.1f}H{start + end:.1f}" stroke="{INK}" stroke-width="1.5"/>')
    return parts


def panel(figure: workloads.Figure, cells: dict[str, Cell], x: float, y: float, width: float) -> list[str]:
    ordered = sorted(cells, key=lambda name: cells[name].median, reverse=figure.more_is_better)
    room = width - LABEL - VALUE
    longest = max(max(cell.values) for cell in cells.values())
    scale = room / min(longest, LONGEST * statistics.median(cell.median for cell in cells.values()))
    better = "more" if figure.more_is_better else "less"
    title = f"{figure.title} ({figure.unit}, {better} is better)"
    parts = [text(x, y + 14, title, font_size="13", font_weight="600")]
    for i, name in enumerate(ordered):
        parts += bar(name, cells[name], x, y + HEAD - 8 + i * STEP, scale, room)
    return parts


def panels(results: Results) -> list[tuple[workloads.Figure, dict[str, Cell]]]:
    found = []
    for workload in workloads.WORKLOADS:
        for figure in workload.figures:
            cells = {name: results.cell(name, workload.name, figure.key) for name in results.stacks()}
            cells = {name: cell for name, cell in cells.items() if cell}
            if figure.in_drawing and cells:
                found.append((figure, cells))
    return found


def draw(results: Results) -> str:
    width = (WIDTH - GAP * (COLUMNS - 1)) / COLUMNS
    parts, height, below = [], 0.0, 0.0
    for i, (figure, cells) in enumerate(panels(results)):
        if i % COLUMNS == 0:
            height = below
        parts += panel(figure, cells, i % COLUMNS * (width + GAP), height, width)
        below = max(below, height + HEAD + len(cells) * STEP + 14)
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {below:.0f}" width="{WIDTH}" '
            f'height="{below:.0f}" role="img" aria-label="TLS echo servers compared" '
            f'font-family="{FONT}" font-size="12" fill="{INK}">')
    return "\n".join([head, *parts, "</svg>", ""])


def main():
    source, target = sys.argv[1:3]
    with open(target, "w", encoding="utf-8") as file:
        file.write(draw(Results(source)))


if __name__ == "__main__":
    main()
