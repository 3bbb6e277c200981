#!/usr/bin/env python3
# Which estimate of a replay orders settings as the engine's KL does: `reattend study` over texts of four kinds.
"""Records a trace of each text, studies it and prints the tables; `out/study` then holds study.md, scatter.svg and
predicted.svg. What is there is not made again, so a stopped run goes on where it was.

The texts come from packages (jargon-text, anarchism, debian-faq, bash, the C++ and Python libraries, mime-support) and
from the list of installed packages, which differs between machines. Python's own library is all this needs.

    nice tests/bench/quality_study.py --program build/bin/reattend
    tests/bench/quality_study.py --program build/bin/reattend --held-out

Times alone, on a quiet machine, in a folder of its own so that the traces are calibrated as well:

    tests/bench/quality_study.py --program build/bin/reattend --out out/times --no-mass
"""
import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

from package_texts import DOC, text_of

# Name, file (or a command), characters left out at its beginning, tokens of prompt. By name, two of a kind stand one after
# the other, so that every other prompt is half of each kind.
TEXTS = [
    ("code-argparse", "/usr/lib/python3.11/argparse.py", 20000, 4096),
    ("code-vector", "/usr/include/c++/12/bits/stl_vector.h", 4000, 2560),
    ("dialogue-faq", DOC / "debian/FAQ/debian-faq.en.txt.gz", 30000, 4096),
    ("manual-bash", "/usr/share/man/man1/bash.1.gz", 60000, 7680),
    ("list-packages", ["dpkg-query", "-W", "-f", "${Package}: ${binary:Summary}\n"], 2000, 2048),
    ("list-mime", "/etc/mime.types", 3000, 3072),
    ("prose-anarchism", DOC / "anarchism/markdown/secA2.md.gz", 0, 6144),
    ("prose-jargon", DOC / "jargon-text/jargon.txt.gz", 200000, 3072),
]
# Texts that no estimate was designed on.
FRESH = [
    ("fresh-code-inspect", "/usr/lib/python3.11/inspect.py", 30000, 3072),
    ("fresh-dialogue-faq2", DOC / "debian/FAQ/debian-faq.en.txt.gz", 90000, 3072),
    ("fresh-list-services", "/etc/services", 600, 2560),
    ("fresh-prose-jargon7", DOC / "jargon-text/jargon.txt.gz", 700000, 5120),
]
# What other models are tried under: the settings of the full list take an hour a model, and most of them tell apart what
# one model already told.
FEW = [f"recycled:S={s}:K={k}" for s in (4, 8, 16) for k in (64, 128, 256, "L/8")] + [
    "recycled:S=8:K=128:pool=1", "recycled:S=4:K=256:schedule=query:threshold=0.8",
    "recycled:S=4:K=256:schedule=query:threshold=0.9", "streaming:K=128", "streaming:K=512", "h2o:K=128", "h2o:K=512",
    "snapkv:K=128", "snapkv:K=512", "tova:K=256", "quest:K=256", "oracle:K=128"]
STEPS = 64
SAMPLER = ["--temperature", "0.8", "--top-k", "40", "--top-p", "0.95", "--seed", "1"]


def record(options, name, source, skip, length):
    trace = options.out / f"{name}.h5"
    if trace.exists():
        return trace
    text = options.out / f"{name}.txt"
    text.write_text(text_of(source), encoding="utf-8")
    subprocess.run([options.program, "record", "--raw", "--ignore-end", "--prompt-file", text, "--skip-chars", str(skip),
                    "--context", str(length), "--steps", str(STEPS), "--out", trace, *model_of(options), *SAMPLER],
                   check=True,
                   stdout=subprocess.DEVNULL)
    return trace


def model_of(options):
    return ["--model", options.model] if options.model else []


def study(options, traces):
    subprocess.run([options.program, "study", *traces, "--out", options.out, "--repeats", str(options.repeats), "--settings",
                    *model_of(options), *(["--no-mass"] if options.no_mass else []),
                    *(["--policies", ",".join(FEW)] if options.few else [])], check=True)


def held_out(options, bound=0.1):
    """Of every two prompts: the setting that reads least and keeps the bound on both, then its KL on all the others. Chosen
    by measured KL, and by what an estimate predicts of it."""
    prompts = [json.loads(f.read_text()) for f in sorted(options.out.glob("prompt-*.json"))]
    points = [{p["summary"]: p for p in prompt["points"] if not p["summary"].startswith("oracle")} for prompt in prompts]
    names = sorted(set.intersection(*(set(p) for p in points)))
    ways = {"measured KL": lambda p: p["measured"]["kl"],
            "predicted KL": lambda p: 0.151 * p["estimates"]["step_error_half_rms"] ** 1.14}
    print(f"| chosen by | pairs that have a choice | KL <= {bound} on the other prompts | KL there over the bound: median, "
          "90 %, worst | read, % of full attention |\n|---|---|---|---|---|")
    for way, kl in ways.items():
        over, read, pairs = [], [], 0
        for a, b in itertools.combinations(range(len(prompts)), 2):
            fit = [n for n in names if max(kl(points[a][n]), kl(points[b][n])) <= bound]
            if not fit:
                continue
            pairs += 1
            best = min(fit, key=lambda n: points[a][n]["read"] + points[b][n]["read"])
            others = [points[i][best] for i in range(len(prompts)) if i not in (a, b)]
            over += [p["measured"]["kl"] / bound for p in others]
            read += [p["read"] for p in others]
        over.sort()
        print(f"| {way} | {pairs} | {sum(x <= 1 for x in over)} of {len(over)} | {statistics.median(over):.2f}, "
              f"{over[len(over) * 9 // 10]:.2f}, {over[-1]:.2f} | {100 * statistics.fmean(read):.0f} |")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend", help="the reattend to run")
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/study"), help="folder of traces and results")
    ap.add_argument("--repeats", type=int, default=2, help="rounds of timing; 0 on a machine that does other things")
    ap.add_argument("--no-mass", action="store_true", help="leave out recovered mass, most of the engine's work")
    ap.add_argument("--fresh", action="store_true", help="the four texts that no estimate was designed on (another --out)")
    ap.add_argument("--model", help="another model than the default one, by file or name of the store (another --out)")
    ap.add_argument("--few", action="store_true", help="24 settings instead of all")
    ap.add_argument("--held-out", action="store_true", help="settings tuned on two prompts, judged on the others")
    options = ap.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.held_out:
        return held_out(options)
    traces = []
    for text in FRESH if options.fresh else TEXTS:
        try:
            traces.append(record(options, *text))
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"left out: {text[0]}: {error}", file=sys.stderr)
    study(options, traces)


if __name__ == "__main__":
    main()
