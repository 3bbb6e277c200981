#!/usr/bin/env python3
# Whether a tuned setting keeps its bound on texts that it was not tuned on, with schedules by layer and without.
"""Tunes on pairs of traces, measures the choice there and on traces that had no part in it, and prints a table: KL over the
bound, time, and what was chosen. Traces come from quality_study.py. Results are kept in --out, one JSON a run; what is there
is not made again.

    tests/bench/quality_study.py --program build/bin/reattend --out out/study --repeats 0
    tests/bench/held_out_tuning.py --program build/bin/reattend --traces out/study --out out/held-out

Python's own library is all this needs.
"""
import argparse
import json
import math
import pathlib
import statistics
import subprocess

# Two kinds of text each; the others of the folder, two at a time, are held out.
PAIRS = [("prose-jargon", "code-argparse"), ("dialogue-faq", "list-mime"), ("prose-anarchism", "list-packages"),
         ("code-vector", "dialogue-faq"), ("prose-jargon", "list-mime"), ("code-argparse", "prose-anarchism")]
WAYS = {"the same for all layers": ["--schedules", "0"], "by layer": []}


def tune(options, pair, held, way, extra):
    name = "-".join(pair) + ("-layers" if not extra else "-same")
    out = options.out / f"{name}.json"
    if out.exists():
        return json.loads(out.read_text())
    command = [options.program, "tune", *(options.traces / f"{p}.h5" for p in pair), "--model", options.model, "--max-kl",
               str(options.max_kl), "--out", options.out / f"{name}.toml", "--force", "--json", *extra]
    for trace in held:
        command += ["--held-out", options.traces / f"{trace}.h5"]
    print(f"tuning on {' and '.join(pair)}, {way}", flush=True)
    result = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    out.write_text(json.dumps(result))
    return result


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend")
    ap.add_argument("--model", default="SmolLM2-135M-Instruct.Q4_1.gguf")
    ap.add_argument("--traces", type=pathlib.Path, default=pathlib.Path("out/study"), help="folder of traces")
    ap.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out/held-out"))
    ap.add_argument("--max-kl", type=float, default=0.1)
    ap.add_argument("--n-held", type=int, default=2, help="held-out traces for each pair")
    options = ap.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = sorted(p.stem for p in options.traces.glob("*.h5"))
    rows = {way: [] for way in WAYS}
    for i, pair in enumerate(PAIRS):
        others = [n for n in names if n not in pair]
        held = [others[(i * options.n_held + j) % len(others)] for j in range(options.n_held)]
        for way, extra in WAYS.items():
            rows[way].append((pair, held, tune(options, pair, held, way, extra)))
    print("\n| tuned on | held out | way | positions | speed-up | KL on the pair | KL held out | over the bound |")
    print("|---|---|---|---|---|---|---|---|")
    for way, results in rows.items():
        for pair, held, result in results:
            print(row_of(options, pair, held, way, result))
    for way, results in rows.items():
        over = sorted(v["measured"]["kl"] / options.max_kl for _, _, r in results for v in r["held_out"])
        print(f"\n{way}: {sum(x <= 1 for x in over)} of {len(over)} keep KL <= {options.max_kl}; over the bound: median "
              f"{statistics.median(over):.2f}, worst {over[-1]:.2f}; speed-up, geometric mean "
              f"{statistics.geometric_mean(r['chosen']['speed_up'] for _, _, r in results):.2f}; positions, geometric mean "
              f"{statistics.geometric_mean(r['chosen']['positions'] for _, _, r in results):.0f}; {predicted_in_words(results)}")


def predicted_in_words(results):
    """Measured KL over the predicted one, of everything that was measured on the traces tuned on."""
    ratios = [t["measured"]["kl"] / t["predicted_kl"] for _, _, r in results for p in r["points"] if p.get("measured")
              for t in p["traces"]]
    spread = math.exp(statistics.pstdev(map(math.log, ratios)))
    return (f"measured KL over predicted: {statistics.geometric_mean(ratios):.2f}, two thirds within a factor of {spread:.2f} "
            f"({len(ratios)})")


def row_of(options, pair, held, way, result):
    chosen = result["chosen"]
    kl = [v["measured"]["kl"] for v in result["held_out"]]
    return (f"| {', '.join(pair)} | {', '.join(held)} | {way} | {chosen['positions']:.0f} | {chosen['speed_up']:.2f} | "
            f"{chosen['measured']['kl']:.4f} | {', '.join(f'{x:.4f}' for x in kl)} | "
            f"{', '.join(f'{x / options.max_kl:.2f}' for x in kl)} |")


if __name__ == "__main__":
    main()
