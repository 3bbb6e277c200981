# Charts of policy_quality.py: mean KL against the bytes that a step reads, and against its time.
from policy_settings import ADAPTIVE, CURVES
from svg_chart import Panel, Series, figure

# The colours of report/chart_panel.cpp. One policy's two strides share a colour; the sketch is drawn broader.
STYLES = {"recycled S=5": ("#0072B2", ""), "recycled S=10": ("#0072B2", "7 3"), "recycled S=20": ("#0072B2", "2 3"),
          "query S=5": ("#56B4E9", ""), "streaming": ("#8B4513", ""), "h2o": ("#CC79A7", ""), "snapkv": ("#009E73", ""),
          "pyramidkv": ("#009E73", "7 3"), "tova": ("#B8860B", ""), "quest": ("#7A3E9D", ""), "tokenselect": ("#4D4D4D", ""),
          "oracle, pool 1": ("#4D4D4D", "2 3"), "sketch": ("#D55E00", ""), ADAPTIVE: ("#E6194B", "7 3")}
ORDER = [*CURVES, ADAPTIVE]
BROAD = 3.0


def front_of(points):
    """The staircase of points that none has less of both than: [(x, y)] by x."""
    out = []
    for x, y in sorted(points):
        if not out or y < out[-1][1]:
            out.append((x, y))
    return out


def panel(title, x_title, curves, marks=()):
    """`curves`: {name: [(x, y, label)]}. The front leaves out the oracle, which nobody can run without reading everything."""
    series = []
    for name in ORDER:
        if curves.get(name):
            colour, dash = STYLES[name]
            points = [(x, y, label if name == "sketch" else "") for x, y, label in sorted(curves[name])]
            series.append(Series(name, points, colour, dash, BROAD if name in ("sketch", ADAPTIVE) else 1.8))
    front = front_of((x, y) for name, points in curves.items() if not name.startswith("oracle") for x, y, _ in points)
    return Panel(title, x_title, "mean KL to full attention, nats", series, list(marks), front)


def draw_bytes(path, results):
    panels = []
    for r in results:
        curves = {name: [(100 * x, y, k) for x, y, k in r.curve(name)] for name in ORDER}
        panels.append(panel(f"{r.model}, {r.contexts[0]} to {r.contexts[-1]} tokens",
                            "keys and values read a step, % of full attention's", curves))
    lines = ["points of a line: K = L/4, L/8, L/16, L/32; of the dashed sketch: K = L/4 and min_weight .00025 to .002; mean of "
             f"texts and contexts ({', '.join(f'{len(r.places)} runs' for r in results)})",
             "broad grey: what no other setting beats in both, the oracle aside, which reads all keys to choose"]
    path.write_text(figure("Policies beside full attention: KL against the bytes that a step reads", lines, panels))


def draw_times(path, times):
    """`times`: {(model, context): {(name, budget) or ("full", ""): policy}}."""
    panels = []
    for (model, context), policies in times.items():
        curves = {}
        for (name, k), p in policies.items():
            if name in STYLES:
                curves.setdefault(name, []).append((p["ms_per_token"], p["kl"], k))
        full = policies["full", ""]["ms_per_token"]
        panels.append(panel(f"{model}, {context} tokens", "ms/token", curves, [(full, f"full, {full:.1f} ms")]))
    lines = ["the same settings, timed interleaved on one text; one run's KL: the other chart has the means",
             "broad grey: what no other setting beats in both, the oracle aside"]
    path.write_text(figure("Policies beside full attention: KL against time", lines, panels))
