#!/usr/bin/env python3
# How far each policy's predictions are from full attention's on prose: `reattend compare` over texts, contexts and budgets.
"""Runs `reattend compare` once per text and context, keeps what it printed, and writes Markdown tables of KL, agreement, mass
and positions read. A run that is already in --cache is not repeated, so a stopped one goes on where it was.

The texts come from Debian packages (apt-get install jargon-text anarchism). Python's own library is all it needs.

    nice tests/bench/policy_quality.py --program build/bin/reattend
    nice tests/bench/policy_quality.py --program build/bin/reattend --starts
"""
import argparse
import gzip
import html.parser
import json
import pathlib
import random
import statistics
import subprocess
import sys

CONTEXTS = (2048, 4096, 7680)
STEPS = 64
BUDGETS = ("L/8", "64")
S_SHORT, S_LONG = 5, 10
DOC = pathlib.Path("/usr/share/doc")
JARGON = DOC / "jargon-text/jargon.txt.gz"
# Dictionary prose at two places, and running argument that isn't technical: fixed before any result was seen.
TEXTS = {"jargon 200k": (JARGON, 200000), "jargon 700k": (JARGON, 700000),
         "anarchism A.1": (DOC / "anarchism/html/secA1.html", 0)}
# Of the second query gate several thresholds, so that one can be found that takes as many full steps as the first one.
POST_THRESHOLDS = (0.7, 0.75, 0.8, 0.85)

QUERY = f"recycled:S={S_SHORT}:schedule=query"
AT_EACH_BUDGET = {
    "recycled S=5": "recycled:S=5", "recycled S=10": "recycled:S=10",
    "recycled S=5, pool 1": "recycled:S=5:pool=1", "recycled S=10, pool 1": "recycled:S=10:pool=1",
    "recycled S=5, score_only": "recycled:S=5:refresh=score_only",
    "recycled S=10, score_only": "recycled:S=10:refresh=score_only",
    "query S=5, pre_rope .85": f"{QUERY}:similarity_query=pre_rope:threshold=0.85",
    **{f"query S=5, post_rope {str(x)[1:]}": f"{QUERY}:similarity_query=post_rope:threshold={x}" for x in POST_THRESHOLDS},
    "streaming": "streaming", "streaming_refresh S=10": "streaming_refresh:S=10", "h2o": "h2o", "snapkv": "snapkv",
    "pyramidkv": "pyramidkv", "tova": "tova", "quest": "quest", "tokenselect": "tokenselect", "oracle": "oracle"}
RIVALS = ("snapkv", "h2o", "streaming")


def equal_reading(context, stride):
    """Budget at which a policy without full steps reads as many positions as recycled with K = L/8."""
    return round(context / stride + (1 - 1 / stride) * (context // 8))


def entries(context):
    """[(name, budget, entry of --policies)] of one run; budgets named "=S5" read what recycled S=5, K = L/8 reads."""
    out = [(name, k, f"{entry}:K={k}") for k in BUDGETS for name, entry in AT_EACH_BUDGET.items()]
    return out + [(name, f"=S{s}", f"{name}:K={equal_reading(context, s)}") for s in (S_SHORT, S_LONG) for name in RIVALS]


# Two short windows of the same book that the independent reference was run on: (skip, L, T, K). How much of their figures
# is the place and how much the policy shows when the same window begins a few characters later.
WINDOWS = {"A": (200000, 3000, 48, 375), "B": (700000, 2000, 40, 250)}
LATER = (0, 4, 8, 12, 16, 20, 24, 28)
IN_WINDOWS = ("recycled:S=5", "recycled:S=10", "h2o", "snapkv", "streaming", "tova", "quest", "oracle")


class Paragraphs(html.parser.HTMLParser):
    """The text of an HTML page, a paragraph a line, blank lines between them."""

    def __init__(self):
        super().__init__()
        self.parts, self.hidden = [], 0

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in ("head", "script", "style")
        if tag in ("p", "div", "blockquote", "li", "br", "h1", "h2", "h3", "h4"):
            self.parts.append("\n")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("head", "script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.parts.append(data.replace("\n", " "))

    def text(self):
        lines = (" ".join(line.split()) for line in "".join(self.parts).split("\n"))
        return "\n\n".join(line for line in lines if line) + "\n"


def text_of(path):
    if not path.exists():
        sys.exit(f"{path}: expected the text of a Debian package, got no such file: apt-get install jargon-text anarchism")
    text = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read().decode("utf-8", "replace")
    if path.suffix != ".html":
        return text
    page = Paragraphs()
    page.feed(text)
    return page.text()


def compare(options, slug, path, skip, context, steps, wanted, more=()):
    """One `compare` run, from the cache where it is there."""
    kept = options.cache / f"{slug}.json"
    if kept.exists():
        run = json.loads(kept.read_text())
        if run["entries"] == wanted:
            return run
        sys.exit(f"{kept}: expected the entries of this script, got others: give another --cache, or remove the file")
    prompt = options.cache / f"{path.name.split('.')[0]}.txt"
    prompt.write_text(text_of(path))
    command = [options.program, "compare", "--prompt-file", prompt, "--raw", "--skip-chars", skip, "--context", context,
               "--steps", steps, "--policies", ",".join(wanted), "--repeats", 0, "--json", *more]
    print(f"{slug}: {len(wanted)} settings", file=sys.stderr, flush=True)
    done = subprocess.run([str(x) for x in command], stdout=subprocess.PIPE, text=True, check=True)
    run = json.loads(done.stdout)
    run["entries"] = wanted
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(run))
    part.replace(kept)
    return run


class Results:
    """{(name, budget)} -> {(text, context)} -> a policy's object of compare's JSON."""

    def __init__(self, runs):
        self.texts = [t for t in TEXTS if any(text == t for text, _ in runs)]
        self.contexts = [c for c in CONTEXTS if any(context == c for _, context in runs)]
        self.places, self.of = sorted(runs, key=lambda x: (x[1], self.texts.index(x[0]))), {}
        for place, run in runs.items():
            for key, policy in zip([("full", "")] + [(n, k) for n, k, _ in entries(place[1])], run["policies"], strict=True):
                self.of.setdefault(key, {})[place] = policy

    def mean(self, key, field, context=None):
        """Over texts, and over contexts where none is given."""
        return statistics.fmean(p[field] for place, p in self.of[key].items() if context in (None, place[1]))

    def at_share(self, name, budget, others):
        """Adds a setting that lies, in every run, between the two of `others` (one knob turned) whose shares of full steps
        enclose that of setting `name`, so that both refresh as often. Returns its name."""
        mixed = f"{others[0].rsplit(' ', 1)[0]} with as many full steps"
        for place, wanted in self.of[name, budget].items():
            have = sorted((self.of[o, budget][place] for o in others), key=lambda p: p["full_share"])
            share = min(max(wanted["full_share"], have[0]["full_share"]), have[-1]["full_share"])
            b = next(i for i in range(1, len(have)) if have[i]["full_share"] >= share)
            low, high = have[b - 1], have[b]
            width = high["full_share"] - low["full_share"]
            w = (share - low["full_share"]) / width if width > 0 else 0
            mix = lambda x, y: (1 - w) * x + w * y
            mean = {f: mix(low[f], high[f]) for f in ("kl", "agreement", "recovered", "positions_share", "full_share")}
            kl = [mix(x, y) for x, y in zip(low["steps"]["kl"], high["steps"]["kl"])]
            self.of.setdefault((mixed, budget), {})[place] = {**mean, "steps": {"kl": kl}}
        return mixed

    def steps(self, key):
        """KL of every step of every run."""
        return [x for place in self.places for x in self.of[key][place]["steps"]["kl"]]

    def largest_step(self, key):
        """What the largest step holds of the sum over all steps, and the most that one holds of a run's."""
        runs = [policy["steps"]["kl"] for policy in self.of[key].values()]
        all_steps = self.steps(key)
        return f"{100 * max(all_steps) / sum(all_steps):.0f} ({100 * max(max(x) / sum(x) for x in runs):.0f})"

    def interval(self, a, b, rounds=2000, block=8):
        """95 % of the difference of two settings' mean KL when blocks of neighbouring steps are drawn anew in each run:
        the two share their tokens, so they are drawn together; steps beside each other aren't independent."""
        pick, blocks = random.Random(1), []
        for place in self.places:
            d = [x - y for x, y in zip(self.of[a][place]["steps"]["kl"], self.of[b][place]["steps"]["kl"])]
            blocks.append([statistics.fmean(d[i:i + block]) for i in range(0, len(d), block)])
        means = sorted(statistics.fmean(statistics.fmean(pick.choices(run, k=len(run))) for run in blocks)
                       for _ in range(rounds))
        return means[rounds * 25 // 1000], means[rounds * 975 // 1000]


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def short(x):
    """Three decimals without the zero in front."""
    return f"{x:.3f}".removeprefix("0")


def kl_table(r):
    """Mean KL over the texts, and each text's own."""
    print(f"\nKL, mean over {len(r.texts)} texts ({' / '.join(r.texts)})\n")
    header("policy", *(f"{c}, K = {k}" for k in BUDGETS for c in r.contexts))
    for name in AT_EACH_BUDGET:
        cells = []
        for k in BUDGETS:
            for c in r.contexts:
                each = [r.of[name, k][t, c]["kl"] for t in r.texts if (t, c) in r.of[name, k]]
                cells.append(f"**{short(statistics.fmean(each))}** ({' / '.join(map(short, each))})")
        row(name, *cells)


def other_table(r):
    """Everything else, over all runs: K = L/8 and 64 side by side."""
    print("\nOver all runs, K = L/8 / K = 64\n")
    header("policy", "KL", "median of steps", "largest step's share of the sum (of its run's), %", "top-1", "mass",
           "positions, % of context", "bytes of keys and values read, % of full's", "full steps, %")
    full = r.mean(("full", ""), "bytes_attend")
    for name in AT_EACH_BUDGET:
        pair = lambda f: " / ".join(f((name, k)) for k in BUDGETS)
        row(name, pair(lambda x: short(r.mean(x, "kl"))), pair(lambda x: short(statistics.median(r.steps(x)))),
            pair(r.largest_step), pair(lambda x: short(r.mean(x, "agreement"))),
            pair(lambda x: short(r.mean(x, "recovered"))), pair(lambda x: f"{100 * r.mean(x, 'positions_share'):.1f}"),
            pair(lambda x: f"{100 * (r.mean(x, 'bytes_attend') + r.mean(x, 'bytes_select')) / full:.1f}"),
            pair(lambda x: f"{100 * r.mean(x, 'full_share'):.1f}"))


def on_partial_steps(r, a, b, stride):
    """KL of both on the steps at which a's schedule takes no full step."""
    each = [[x for place in r.places for t, x in enumerate(r.of[key][place]["steps"]["kl"], 1) if t % stride] for key in (a, b)]
    return " / ".join(short(statistics.fmean(x)) for x in each)


def duel_table(r, title, pairs):
    """Two settings on the same tokens."""
    print(f"\n{title}\n")
    header("a", "b", "KL a", "KL b", "a - b, 95 %", "KL a / b on a's partial steps",
           f"a is lower in, of {len(r.places)} runs", "of steps", "mass a", "mass b", "positions, % of context, a", "b")
    for a, b in pairs:
        lo, hi = r.interval(a, b)
        wins = sum(r.of[a][x]["kl"] < r.of[b][x]["kl"] for x in r.places)
        steps = statistics.fmean(x < y for x, y in zip(r.steps(a), r.steps(b)))
        row(", K ".join(a), ", K ".join(b), short(r.mean(a, "kl")), short(r.mean(b, "kl")), f"{lo:+.3f} to {hi:+.3f}",
            on_partial_steps(r, a, b, S_LONG if "S=10" in a[0] else S_SHORT), wins,
            f"{100 * steps:.0f} %", short(r.mean(a, "recovered")), short(r.mean(b, "recovered")),
            f"{100 * r.mean(a, 'positions_share'):.1f}", f"{100 * r.mean(b, 'positions_share'):.1f}")


def against_table(r, equals):
    """Recycled beside its rivals: `equals` names for each setting the budget with which the others read as much."""
    print("\nRecycled and others, at equal K and at equal reading\n")
    header("recycled", "other", "KL at equal K (difference)", "on partial steps alone", f"lower in, of {len(r.places)} runs",
           "KL of the other at equal reading (difference)", "recycled lower in", "% of context read")
    for a, equal in equals:
        for rival in RIVALS:
            cells = []
            for b in ((rival, a[1]), (rival, equal)):
                lo, hi = r.interval(a, b)
                cells.append((short(r.mean(b, "kl")), f"({lo:+.3f} to {hi:+.3f})",
                              sum(r.of[a][x]["kl"] < r.of[b][x]["kl"] for x in r.places)))
            (same, same_range, same_wins), (read, read_range, read_wins) = cells
            shares = (f"{100 * r.mean(x, 'positions_share'):.1f}" for x in (a, (rival, equal)))
            row(f"{a[0].removeprefix('recycled ')}, K = {a[1]}", rival, f"{short(r.mean(a, 'kl'))} / {same} {same_range}",
                on_partial_steps(r, a, (rival, a[1]), S_LONG if "S=10" in a[0] else S_SHORT), same_wins,
                f"{read} {read_range}", read_wins, " / ".join(shares))


def tables(r):
    kl_table(r)
    other_table(r)
    fives, tens = [(f"recycled S={S_SHORT}", k) for k in BUDGETS], [(f"recycled S={S_LONG}", k) for k in BUDGETS]
    against_table(r, [(fives[0], f"=S{S_SHORT}"), (fives[1], f"=S{S_LONG}"), (tens[0], f"=S{S_LONG}"), (tens[1], BUDGETS[0])])
    duel_table(r, "Equal K", [(a, (rival, a[1])) for a in fives + tens for rival in ("tova", "quest")])
    duel_table(r, "Pool 7 against 1", [(a, (a[0] + ", pool 1", a[1])) for a in fives + tens])
    duel_table(r, "refresh attend against score_only", [(a, (a[0] + ", score_only", a[1])) for a in fives + tens])
    pre, posts = "query S=5, pre_rope .85", [name for name in AT_EACH_BUDGET if "post_rope" in name]
    duel_table(r, "Similarity before against after RoPE, as many full steps in every run (two thresholds' KL interpolated)",
               [((pre, k), (r.at_share(pre, k, posts), k)) for k in BUDGETS])


def starts(options):
    """The reference's windows, in float, where they are and a little later."""
    print(f"KL: at the window, then from {LATER[1]} to {LATER[-1]} characters later (smallest, median, largest)\n")
    header("policy", *WINDOWS)
    columns = []
    for name, (skip, context, steps, k) in WINDOWS.items():
        runs = [compare(options, f"window-{name}-{d}", JARGON, skip + d, context, steps, [f"{x}:K={k}" for x in IN_WINDOWS],
                        ("--kv", "f32", "--activations", "f32", "--no-mass"))["policies"] for d in LATER]
        columns.append([("full (NLL)", [p["nll"] for p in next(zip(*runs))])] +
                       [(x, [p["kl"] for p in each]) for x, each in zip(IN_WINDOWS, list(zip(*runs))[1:], strict=True)])
    for cells in zip(*columns):
        row(cells[0][0], *(f"{short(v[0])} ({short(min(v[1:]))}, {short(statistics.median(v[1:]))}, {short(max(v[1:]))})"
                           for _, v in cells))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend", help="the reattend to run")
    ap.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("out/policy_quality"), help="folder of finished runs")
    ap.add_argument("--only-cached", action="store_true", help="run nothing: tables of what is there")
    ap.add_argument("--starts", action="store_true", help="the reference's two windows and later ones, instead of the grid")
    options = ap.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    if options.starts:
        return starts(options)
    runs = {}
    for context in CONTEXTS:
        for name, (path, skip) in TEXTS.items():
            slug, wanted = f"{name.replace(' ', '-')}-{context}", [entry for _, _, entry in entries(context)]
            if options.only_cached and not (options.cache / f"{slug}.json").exists():
                continue
            runs[name, context] = compare(options, slug, path, skip, context, STEPS, wanted)
    if not runs:
        sys.exit(f"{options.cache}: expected finished runs, got none: leave out --only-cached")
    tables(Results(runs))


if __name__ == "__main__":
    main()
