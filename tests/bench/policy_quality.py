#!/usr/bin/env python3
# How far each policy's predictions are from full attention's on prose: `reattend compare` over texts, contexts and budgets.
"""Measures every setting of policy_settings.py on a model's texts and contexts and writes Markdown tables of KL, agreement,
mass and bytes read: at equal K and at equal bytes. Settings that are in --cache are not repeated, so a stopped run goes on
where it was. --timed adds ms/token at the model's longest context; --chart draws KL against bytes, and against time.

The texts come from Debian packages (apt-get install jargon-text anarchism). Python's own library is all it needs.

    nice tests/bench/policy_quality.py --program build/bin/reattend
    nice tests/bench/policy_quality.py --program build/bin/reattend --model qwen2.5-coder-0.5b gemma-3-270m
    tests/bench/policy_quality.py --program build/bin/reattend --model qwen2.5-coder-0.5b --timed 3
    tests/bench/policy_quality.py --only-cached --model smollm2-135m qwen2.5-coder-0.5b gemma-3-270m --chart out
    nice tests/bench/policy_quality.py --program build/bin/reattend --starts
"""
import argparse
import pathlib
import statistics
import sys

import policy_settings as settings
from cached_compare import Place
from package_texts import JARGON, text_file
from policy_charts import draw_bytes, draw_times
from policy_results import Results
from policy_tables import header, row, short, tables, third_table, timed_table

# Two short windows of the same book that the independent reference was run on: (skip, L, T, K). How much of their figures
# is the place and how much the policy shows when the same window begins a few characters later.
WINDOWS = {"A": (200000, 3000, 48, 375), "B": (700000, 2000, 40, 250)}
LATER = (0, 4, 8, 12, 16, 20, 24, 28)
IN_WINDOWS = ("recycled:S=5", "recycled:S=10", "h2o", "snapkv", "streaming", "tova", "quest", "oracle", "sketch")


def place_of(options, model, text, context, more=""):
    path, skip = settings.TEXTS[text]
    slug = f"{settings.slug_of(model)}-{text.replace(' ', '-')}-{context}{more}"
    file = text_file(options.cache, path.name.split(".")[0], path, settings.PACKAGES)
    return Place(options, model, slug, file, skip, context, settings.grid_of(model).steps[context])


def named(wanted, policies):
    """{(name, budget): policy} of those that were measured, and full attention's."""
    found = {key: policies[entry] for key, entry in wanted.items() if entry in policies}
    return {("full", ""): policies["full"], **found} if found else {}


def measure(options, model):
    """{(text, context): {(name, budget): policy}}."""
    grid, d_head, runs = settings.grid_of(model), settings.head_width(options.program, model), {}
    for context in grid.steps:
        massive, quick = settings.with_mass(model, context), settings.curves(context, d_head)
        for text in grid.texts:
            place = place_of(options, model, text, context)
            place.measure(massive.values())
            policies = place.measure(quick.values(), ("--repeats", 0, "--no-mass"))
            if found := named({**massive, **quick}, policies):
                runs[text, context] = found
            place.done()
    return runs


def measure_times(options, model):
    """(context, {(name, budget): policy}) of the longest context on the first text."""
    grid = settings.grid_of(model)
    context = max(grid.steps)
    place = place_of(options, model, grid.texts[0], context, "-timed")
    wanted = settings.curves(context, settings.head_width(options.program, model))
    policies = place.measure(wanted.values(), ("--repeats", options.timed, "--no-mass"))
    place.done()
    return context, named(wanted, policies)


def starts(options):
    """The reference's windows, in float, where they are and a little later."""
    print(f"KL: at the window, then from {LATER[1]} to {LATER[-1]} characters later (smallest, median, largest)\n")
    header("policy", *WINDOWS)
    columns = []
    file = text_file(options.cache, "jargon", JARGON, settings.PACKAGES)
    for name, (skip, context, steps, k) in WINDOWS.items():
        entries = [f"{x}:K={k}" for x in IN_WINDOWS]
        runs = []
        for later in LATER:
            place = Place(options, settings.SMOLLM2, f"window-{name}-{later}", file, skip + later, context, steps,
                          ("--kv", "f32", "--activations", "f32"))
            policies = place.measure(entries, ("--repeats", 0, "--no-mass"))
            place.done()
            if not policies:
                sys.exit(f"{options.cache}: expected the windows' runs, got none: leave out --only-cached")
            runs.append([policies[entry] for entry in ("full", *entries)])
        columns.append([("full (NLL)", [p[0]["nll"] for p in runs])] +
                       [(x, [p[i]["kl"] for p in runs]) for i, x in enumerate(IN_WINDOWS, 1)])
    for cells in zip(*columns):
        row(cells[0][0], *(f"{short(v[0])} ({short(min(v[1:]))}, {short(statistics.median(v[1:]))}, {short(max(v[1:]))})"
                           for _, v in cells))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend", help="the reattend to run")
    ap.add_argument("--model", nargs="+", default=[settings.SMOLLM2], help="names of get-model --list, or files")
    ap.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("out/policy_quality"), help="folder of finished runs")
    ap.add_argument("--only-cached", action="store_true", help="run nothing: tables of what is there")
    ap.add_argument("--timed", type=int, default=0, metavar="ROUNDS", help="rounds of timing at the longest context, too")
    ap.add_argument("--chart", type=pathlib.Path, metavar="DIR", help="draw quality-bytes.svg, and with times quality-time.svg")
    ap.add_argument("--starts", action="store_true", help="the reference's two windows and later ones, instead of the grid")
    options = ap.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    if options.starts:
        return starts(options)
    results, times = [], {}
    for model in options.model:
        if runs := measure(options, model):
            results.append(Results(model, runs))
            tables(results[-1])
        if options.timed:
            context, policies = measure_times(options, model)
            if policies:
                times[model, context] = policies
                timed_table(model, context, options.timed, policies)
    if not results:
        sys.exit(f"{options.cache}: expected finished runs, got none: leave out --only-cached")
    third_table(results)
    if options.chart:
        options.chart.mkdir(parents=True, exist_ok=True)
        draw_bytes(options.chart / "quality-bytes.svg", results)
        if times:
            draw_times(options.chart / "quality-time.svg", times)


if __name__ == "__main__":
    main()
