# A figure of panels side by side with logarithmic axes, as SVG: the look of `reattend`'s own charts.
"""Colours, fonts, rules and legend are those of report/chart.cpp, which a script can't call: a figure of several programs'
runs stands in the docs beside figures that one run drew."""
import dataclasses
import math

PLOT_HEIGHT, MARGIN, GAP, SMALL, TEXT, HEADING, TITLE = 330, 16, 28, 11, 12, 13, 17


@dataclasses.dataclass
class Series:
    name: str
    points: list  # [(x, y, label above on the right)], of which a line goes from each to the next
    colour: str
    dash: str = ""
    width: float = 1.8


@dataclasses.dataclass
class Panel:
    title: str
    x_title: str
    y_title: str
    series: list
    marks: list  # [(x, label)]: vertical lines
    front: list  # [(x, y)]: the staircase of what nothing beats, a broad line behind all


def text(x, y, what, size, anchor="start", more=""):
    what, more = str(what).replace("&", "&amp;").replace("<", "&lt;"), " " + more if more else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:.1f}" text-anchor="{anchor}"{more}>{what}</text>'


def text_width(what, size):
    """Rather too much than too little: an average letter of DejaVu Sans."""
    return 0.6 * size * len(what)


def round_numbers(low, high):
    """1, 2 or 5 times a power of ten from the last at or below `low` to the first at or above `high`."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    at = [m * 10.0 ** e for e in range(first, last + 1) for m in (1, 2, 5)]
    from_ = max(x for x in at if x <= low * 1.000001)
    to = min([x for x in at if x >= high * 0.999999], default=10.0 ** last)
    return [x for x in at if from_ <= x <= to]


class Axis:
    def __init__(self, values, start, end):
        self.ticks = round_numbers(min(values), max(values))
        if len(self.ticks) == 1:
            self.ticks.append(2 * self.ticks[0])
        self.low, self.high, self.start, self.end = math.log(self.ticks[0]), math.log(self.ticks[-1]), start, end

    def __call__(self, value):
        return self.start + (self.end - self.start) * (math.log(value) - self.low) / (self.high - self.low)


def draw_panel(panel, index, left, top, right):
    plot_left, plot_top, plot_right, plot_bottom = left + 58, top + HEADING + 10, right - 12, top + PLOT_HEIGHT - 40
    xs = [x for s in panel.series for x, _, _ in s.points] + [x for x, _ in panel.marks]
    x_axis = Axis(xs, plot_left, plot_right)
    y_axis = Axis([y for s in panel.series for _, y, _ in s.points], plot_bottom, plot_top)
    middle = (plot_left + plot_right) / 2
    out = [text(middle, plot_top - 9, panel.title, HEADING, "middle", 'font-weight="bold"')]
    for x in x_axis.ticks:
        at = x_axis(x)
        out += [f'<line x1="{at:.1f}" y1="{plot_top:.1f}" x2="{at:.1f}" y2="{plot_bottom:.1f}" stroke="#e4e4e4"/>',
                text(at, plot_bottom + SMALL + 5, f"{x:g}", SMALL, "middle")]
    for y in y_axis.ticks:
        at = y_axis(y)
        out += [f'<line x1="{plot_left:.1f}" y1="{at:.1f}" x2="{plot_right:.1f}" y2="{at:.1f}" stroke="#e4e4e4"/>',
                text(plot_left - 6, at + 4, f"{y:g}", SMALL, "end")]
    box = f'x="{plot_left:.1f}" y="{plot_top:.1f}" width="{plot_right - plot_left:.1f}" height="{plot_bottom - plot_top:.1f}"'
    out += [f'<rect {box} fill="none" stroke="#888"/>', text(middle, plot_bottom + 35, panel.x_title, TEXT, "middle")]
    centre = (plot_top + plot_bottom) / 2
    out.append(text(left + 12, centre, panel.y_title, TEXT, "middle", f'transform="rotate(-90 {left + 12:.1f} {centre:.1f})"'))
    out.append(f'<clipPath id="plot{index}"><rect {box}/></clipPath>')
    clip = f'clip-path="url(#plot{index})" fill="none" stroke-linejoin="round"'
    for x, label in panel.marks:
        at = x_axis(x)
        out.append(f'<line x1="{at:.1f}" y1="{plot_top:.1f}" x2="{at:.1f}" y2="{plot_bottom:.1f}" stroke="#333" '
                   'stroke-dasharray="4 3"/>')
        inside = at + 5 + text_width(label, SMALL) < plot_right
        out.append(text(at + (5 if inside else -5), plot_top + 14, label, SMALL, "start" if inside else "end"))
    if panel.front:
        path = f"M{x_axis(panel.front[0][0]):.1f} {y_axis(panel.front[0][1]):.1f}"
        path += "".join(f"H{x_axis(x):.1f}V{y_axis(y):.1f}" for x, y in panel.front[1:])
        out.append(f'<path d="{path}" {clip} stroke="#dddddd" stroke-width="7"/>')
    labels = []  # on top of all lines and points
    for s in panel.series:
        where = [(x_axis(x), y_axis(y), label) for x, y, label in s.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y, _ in where)
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        out.append(f'<path d="M{path}" {clip} stroke="{s.colour}" stroke-width="{s.width}"{dash}/>')
        for x, y, label in where:
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{s.colour}" stroke="white" stroke-width="0.8"/>')
            if label:
                outline = f'fill="{s.colour}" stroke="white" stroke-width="3" paint-order="stroke"'
                labels.append(text(x + 6, y - 6, label, SMALL, "start", outline))
    return out + labels


def figure(title, subtitle, panels, width=1180):
    """`subtitle`: a list of lines. A series' name has one entry in the legend, whichever panels it is in."""
    y, body = MARGIN + TITLE, [text(MARGIN, MARGIN + TITLE, title, TITLE, "start", 'font-weight="bold"')]
    for line in subtitle:
        y += TEXT + 5
        body.append(text(MARGIN, y, line, TEXT, "start", 'fill="#555"'))
    y += 13
    each = (width - 2 * MARGIN - GAP * (len(panels) - 1)) / len(panels)
    for i, panel in enumerate(panels):
        left = MARGIN + i * (each + GAP)
        body += draw_panel(panel, i, left, y, left + each)
    y += PLOT_HEIGHT + 8
    names = {s.name: s for panel in panels for s in panel.series}
    column = 34 + max(text_width(n, TEXT) for n in names) + 18
    per_row = max(1, int((width - 2 * MARGIN) // column))
    for i, (name, s) in enumerate(names.items()):
        left, row = MARGIN + column * (i % per_row), y + 18 * (i // per_row) + 9
        dash = f' stroke-dasharray="{s.dash}"' if s.dash else ""
        body += [f'<path d="M{left:.1f} {row:.1f}h26" fill="none" stroke="{s.colour}" stroke-width="{s.width}"{dash}/>',
                 f'<circle cx="{left + 13:.1f}" cy="{row:.1f}" r="3.5" fill="{s.colour}"/>',
                 text(left + 34, row + 4, name, TEXT)]
    height = y + 18 * math.ceil(len(names) / per_row) + MARGIN
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>',
                      f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height:.0f}" viewBox="0 0 {width} '
                      f'{height:.0f}" font-family="DejaVu Sans, Verdana, Arial, sans-serif">',
                      '<rect width="100%" height="100%" fill="white"/>', *body, "</svg>", ""])
