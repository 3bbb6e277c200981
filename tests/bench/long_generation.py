#!/usr/bin/env python3
# Whether a policy's error grows over a thousand tokens, and on what kinds of text: KL by hundred steps.
"""Prose, code, lists and texts in Cyrillic, Chinese and Greek, each continued along itself for 1,000 tokens under a few
policies: `reattend compare`, KL to full attention on the same tokens. Settings that are in --cache are not repeated.

The texts come from Debian packages (apt-get install jargon-text anarchism debian-faq maint-guide-ru debian-reference-zh-cn
git), from Python's library and the installed packages' list. Python's own library is all this needs.

    nice tests/bench/long_generation.py --program build/bin/reattend
    nice tests/bench/long_generation.py --program build/bin/reattend --model qwen2.5-coder-0.5b
"""
import argparse
import pathlib
import random
import statistics
import sys

from cached_compare import Place
from package_texts import DOC, JARGON, text_file
from policy_settings import slug_of
from policy_tables import header, row, short

PACKAGES = "jargon-text anarchism debian-faq maint-guide-ru debian-reference-zh-cn git"
CONTEXT, STEPS, BIN = 3072, 1000, 100
# Kind, file or command, characters left out in front.
TEXTS = {
    "prose": (JARGON, 400000),
    "argument": (DOC / "anarchism/html/secI4.html", 20000),
    "dialogue": (DOC / "debian/FAQ/debian-faq.en.txt.gz", 30000),
    "code": ("/usr/lib/python3.11/typing.py", 20000),
    "list": (["dpkg-query", "-W", "-f", "${Package}: ${binary:Summary}\n"], 0),
    "time zones": ("/usr/share/zoneinfo/tzdata.zi", 0),
    "Cyrillic": (DOC / "maint-guide-ru/maint-guide.ru.txt.gz", 8000),
    "Chinese": ("/usr/share/debian-reference/debian-reference.zh-cn.txt.gz", 60000),
    "Greek": ("/usr/share/locale/el/LC_MESSAGES/git.mo", 0)}
ENTRIES = ("sketch:K=L/8", "sketch:K=L/16", "sketch:K=L/4:min_weight=0.0005", "recycled:S=5:K=L/8", "snapkv:K=L/8",
           "tokenselect:K=L/8")


def growth(run, rounds=2000, block=20):
    """KL of the last 300 steps over that of the first 300, and 95 % of it with blocks of steps drawn anew."""
    pick = random.Random(1)
    ends = [[statistics.fmean(part[i:i + block]) for i in range(0, len(part), block)] for part in (run[-300:], run[:300])]
    mean = lambda blocks: statistics.fmean(pick.choices(blocks, k=len(blocks)))
    ratios = sorted(mean(ends[0]) / mean(ends[1]) for _ in range(rounds))
    return (statistics.fmean(ends[0]) / statistics.fmean(ends[1]), ratios[rounds * 25 // 1000], ratios[rounds * 975 // 1000])


def tables(model, runs):
    """`runs`: {kind: {entry: policy}}."""
    hundreds = range(0, STEPS, BIN)
    print(f"\n## {model}\n\nKL by hundred steps, mean over {len(runs)} texts; growth: last 300 steps over the first 300 (95 %, "
          "over the texts' steps joined)\n")
    header("policy", *(f"{i + 1}-{i + BIN}" for i in hundreds), "all", "growth")
    entries = [e for e in ENTRIES if all(e in policies for policies in runs.values())]
    steps = {e: [policies[e]["steps"]["kl"] for policies in runs.values()] for e in entries}
    for e in entries:
        joined = [statistics.fmean(x) for x in zip(*steps[e])]
        ratio, lo, hi = growth(joined)
        row(e.replace(":", " "), *(short(statistics.fmean(joined[i:i + BIN])) for i in hundreds), short(statistics.fmean(joined)),
            f"{ratio:.2f} ({lo:.2f} to {hi:.2f})")
    print("\nKL by kind of text; growth in brackets\n")
    header("policy", *runs)
    for e in entries:
        row(e.replace(":", " "), *(f"**{short(p[e]['kl'])}** ({growth(p[e]['steps']['kl'])[0]:.2f})" for p in runs.values()))
    row("NLL of full attention", *(f"{p['full']['nll']:.2f}" for p in runs.values()))
    row("top-1 of sketch K=L/8", *(short(p[ENTRIES[0]]["agreement"]) if ENTRIES[0] in p else "–" for p in runs.values()))


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend", help="the reattend to run")
    ap.add_argument("--model", nargs="+", default=["smollm2-135m"], help="names of get-model --list, or files")
    ap.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("out/long_generation"), help="folder of finished runs")
    ap.add_argument("--only-cached", action="store_true", help="run nothing: tables of what is there")
    options = ap.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for model in options.model:
        runs = {}
        for kind, (source, skip) in TEXTS.items():
            name = kind.replace(" ", "-")
            place = Place(options, model, f"{slug_of(model)}-{name}", text_file(options.cache, name, source, PACKAGES),
                          skip, CONTEXT, STEPS)
            policies = place.measure(ENTRIES, ("--repeats", 0, "--no-mass"))
            if policies:
                runs[kind] = policies
            place.done()
        if not runs:
            sys.exit(f"{options.cache}: expected finished runs of {model}, got none: leave out --only-cached")
        tables(model, runs)


if __name__ == "__main__":
    main()
