#!/usr/bin/env python3
# Whether a policy's error grows over a thousand tokens, and on what kinds of text: KL by hundred steps.
"""Prose, code, lists and texts in Cyrillic, Chinese and Greek, each continued along itself for 1,000 tokens under a few
policies: `reattend compare`, KL to full attention on the same tokens. What the last 300 of them cost is held against a
policy that begins there, after a prompt of full attention: texts differ along their way, what a policy left behind in the
cache is told by the two alone. Settings that are in --cache are not repeated.

The texts come from Debian packages (apt-get install jargon-text anarchism debian-faq maint-guide-ru debian-reference-zh-cn
git), from Python's library and the installed packages' list. Python's own library is all this needs.

    nice tests/bench/long_generation.py --program build/bin/reattend
    nice tests/bench/long_generation.py --program build/bin/reattend --model qwen2.5-coder-0.5b
"""
import argparse
import pathlib
import random
import re
import statistics
import sys

from cached_compare import Place
from package_texts import DOC, JARGON, text_file
from policy_settings import slug_of
from policy_tables import header, row, short

PACKAGES = "jargon-text anarchism debian-faq maint-guide-ru debian-reference-zh-cn git"
CONTEXT, STEPS, BIN = 3072, 1000, 100
LAST = 300
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


def fresh(entry):
    """The same setting with its budget as a count, which a longer prompt doesn't change."""
    return re.sub(r"L/(\d+)", lambda m: str(CONTEXT // int(m[1])), entry)


def aged(old, new, rounds=2000, block=20):
    """KL of the last steps over that of a policy that begins there, and 95 % of it with blocks of steps drawn anew, the two
    together: they share their tokens."""
    pick, n = random.Random(1), len(new)
    pairs = [(statistics.fmean(old[i:i + block]), statistics.fmean(new[i:i + block])) for i in range(0, n, block)]
    ratio = lambda drawn: sum(a for a, _ in drawn) / sum(b for _, b in drawn)
    ratios = sorted(ratio(pick.choices(pairs, k=len(pairs))) for _ in range(rounds))
    return ratio(pairs), ratios[rounds * 25 // 1000], ratios[rounds * 975 // 1000]


def tables(model, runs):
    """`runs`: {kind: ({entry: policy} of all steps, {entry: policy} of the last ones after a prompt)}."""
    hundreds = range(0, STEPS, BIN)
    print(f"\n## {model}\n\nKL by hundred steps, mean over {len(runs)} texts; then the last {LAST} beside a policy that begins "
          "there on the same tokens, and the one over the other (95 %)\n")
    header("policy", *(f"{i + 1}-{i + BIN}" for i in hundreds), "all", f"last {LAST}", "begun there", "ratio")
    entries = [e for e in ENTRIES if all(e in long and fresh(e) in late for long, late in runs.values())]
    ages = {}
    for e in entries:
        olds = {kind: long[e]["steps"]["kl"] for kind, (long, _) in runs.items()}
        news = {kind: late[fresh(e)]["steps"]["kl"] for kind, (_, late) in runs.items()}
        joined = [statistics.fmean(x) for x in zip(*olds.values())]
        last, begun = ([x for kind in runs for x in of[kind][-LAST:]] for of in (olds, news))
        ratio, lo, hi = aged(last, begun)
        ages[e] = {kind: aged(olds[kind][-LAST:], news[kind])[0] for kind in runs}
        row(e.replace(":", " "), *(short(statistics.fmean(joined[i:i + BIN])) for i in hundreds),
            short(statistics.fmean(joined)), short(statistics.fmean(last)), short(statistics.fmean(begun)),
            f"{ratio:.2f} ({lo:.2f} to {hi:.2f})")
    print("\nKL by kind of text; in brackets the ratio of the last steps\n")
    header("policy", *runs)
    for e in entries:
        row(e.replace(":", " "), *(f"**{short(long[e]['kl'])}** ({ages[e][kind]:.2f})" for kind, (long, _) in runs.items()))
    for e in entries:
        row(f"top-1 of {e.replace(':', ' ')}", *(short(long[e]["agreement"]) for long, _ in runs.values()))
    row("NLL of full attention", *(f"{long['full']['nll']:.2f}" for long, _ in runs.values()))


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
            name, quick = kind.replace(" ", "-"), ("--repeats", 0, "--no-mass")
            file, slug = text_file(options.cache, name, source, PACKAGES), f"{slug_of(model)}-{name}"
            whole = Place(options, model, slug, file, skip, CONTEXT, STEPS)
            late = Place(options, model, f"{slug}-begun-late", file, skip, CONTEXT + STEPS - LAST, LAST)
            measured = whole.measure(ENTRIES, quick), late.measure([fresh(e) for e in ENTRIES], quick)
            if all(measured):
                runs[kind] = measured
            whole.done(), late.done()
        if not runs:
            sys.exit(f"{options.cache}: expected finished runs of {model}, got none: leave out --only-cached")
        tables(model, runs)


if __name__ == "__main__":
    main()
