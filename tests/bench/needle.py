#!/usr/bin/python3
# Whether a policy still finds a sentence in a long prompt: answers, and whether the sets hold the tokens that are needed.
"""Ten sentences such as "The pass code of the blue archive is 48213." lie at depths of 5 to 95 % in a Debian package's prose;
each is asked for at the end. Two ways: the question is decoded under the policy, after whatever the policy chose when the
prompt ended ("later"), or it is the prompt's end but for its last token ("prompt"), which only contexts up to 8,192 do: each
question is then a prefill of its own. Only questions that full attention answers count.

A policy answers when its greedy tokens are the code. Recall is over steps that predict a digit, layers that a policy acts on,
KV heads and the needle's five digits: how many of them the attended set holds, how many of those that full attention gives at
least 1 % of its weight (the group's mean row), and how much of all the weight on them.

`reattend case` gives sets and answers, a trace of `reattend record` full attention's rows. Finished questions are kept in
--cache. The texts come from Debian packages (apt-get install jargon-text anarchism); h5py is needed (python3-h5py).

    nice tests/bench/needle.py --program build/bin/reattend
    nice tests/bench/needle.py --program build/bin/reattend --model qwen2.5-coder-0.5b gemma-3-270m
"""
import argparse
import json
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

import h5py

from package_texts import JARGON, text_of
from policy_settings import slug_of
from policy_tables import header, percent, row

CONTEXTS = {"smollm2-135m": (2048, 7680)}
LONG_CONTEXTS = (2048, 8192, 16384)
# A case has no prompt cache: with the question in the prompt, each is a prefill, and h2o's sums double it.
LONGEST_IN_PROMPT = LONGEST_H2O = 8192
# Beyond it every other question is asked.
LONGEST_WITH_ALL = 8192
SKIP = 200000
DEPTHS = [5 + 10 * i for i in range(10)]
FACTS = [("pass code", "blue archive"), ("locker number", "old lighthouse"), ("serial number", "copper engine"),
         ("room number", "night librarian"), ("ticket number", "winter ferry"), ("access code", "green laboratory"),
         ("account number", "river bakery"), ("file number", "silent witness"), ("shelf number", "lost atlas"),
         ("phone number", "harbour office")]
CODES = [str(n) for n in random.Random(5).sample(range(10000, 100000), len(FACTS))]
FEEDS = 7  # a space, five digits, and the full stop, which is predicted alone
HEAVY = 0.01
ENTRIES = ["full", "recycled:S=5:K=L/8", "recycled:S=10:K=L/8", "streaming:K=L/8", "h2o:K=L/8", "snapkv:K=L/8",
           "pyramidkv:K=L/8", "tova:K=L/8", "quest:K=L/8", "tokenselect:K=L/8", "oracle:K=L/8:pool=1", "oracle:K=L/32:pool=1",
           "snapkv:K=L/32", "tova:K=L/32", "sketch:K=L/8", "sketch:K=L/16", "sketch:K=L/32", "sketch:K=L/4:min_weight=0.0005",
           "sketch:K=L/4:min_weight=0.001"]


def settings_json(entry):
    """NAME[:KEY=VALUE...] as a case file's policy."""
    name, *rest = entry.split(":")
    value = lambda v: v if "/" in v else float(v) if "." in v else int(v)
    return {"name": name, **{key: value(v) for key, v in (x.split("=") for x in rest)}}


class Tokens:
    """Ids and texts of a model's tokens. `reattend run` prints them before it looks for room, of which it gets none."""

    def __init__(self, options, model):
        self.options, self.model = options, model

    def __call__(self, text, first=False):
        """[(id, text)]; special tokens in front, a BOS, stay where the prompt begins alone."""
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            done = subprocess.run([self.options.program, "run", "--model", self.model, "--raw", "--prompt-file", file.name,
                                   "--steps", "0", "--ctx", "1", "--show-tokens"], stderr=subprocess.PIPE, text=True)
        found = re.findall(r"^ *\d+ +(\d+)  (\S.*)$", done.stderr, flags=re.M)
        if not found:
            sys.exit(f"{self.model}: expected the tokens of a text, got: {done.stderr.strip()}")
        out = [(int(number), token) for number, token in found]
        return out if first or out[0][1].startswith('"') else out[1:]


def fact(i):
    return "The {} of the {} is".format(*FACTS[i])


def digits_at(tokens, code):
    """Where the code's digits begin, one token each."""
    texts = [text.strip('"') for _, text in tokens]
    for i in range(len(texts)):
        if texts[i:i + len(code)] == list(code):
            return i
    sys.exit(f"{code}: expected a token for each digit, got {texts}: this script knows no other vocabularies")


class Haystack:
    """A context with all needles: its ids, where each needle's digits are, and the ids of questions and answers."""

    def __init__(self, tokens, context):
        pieces = [tokens(f"\n\n{fact(i)} {code}.\n\n") for i, code in enumerate(CODES)]
        prose = tokens(text_of(JARGON)[SKIP:SKIP + 8 * context], first=True)[:context - sum(map(len, pieces))]
        lines = [i for i, (_, text) in enumerate(prose) if text.startswith('"\\n')]
        self.ids, self.digits, at = [], [], 0
        for depth, piece, code in zip(DEPTHS, pieces, CODES):
            cut = min(lines, key=lambda line: abs(line - len(prose) * depth / 100))
            self.ids += [number for number, _ in prose[at:cut]]
            self.digits.append(len(self.ids) + digits_at(piece, code))
            self.ids += [number for number, _ in piece]
            at = cut
        self.ids += [number for number, _ in prose[at:]]
        self.questions, self.answers = [], []
        for i, code in enumerate(CODES):
            question = "\n\nQuestion: What is the {} of the {}?\nAnswer: {}".format(*FACTS[i], fact(i))
            ask, whole = ([number for number, _ in tokens(t)] for t in (question, f"{question} {code}."))
            if whole[:len(ask)] != ask or len(whole) != len(ask) + FEEDS:
                sys.exit(f"{question}: expected a space, five digits and a full stop behind it, got tokens {whole[len(ask):]}")
            self.questions.append(ask)
            self.answers.append(whole[len(ask):])


def run(command):
    done = subprocess.run([str(x) for x in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr.strip()}")


def asked_in(context):
    return range(0, len(FACTS), 1 if context <= LONGEST_WITH_ALL else 2)


def weights_of(options, model, hay, asked, folder, kept):
    """{question: (layers, flat [5 steps][layer][KV head][5 digits] of full attention's weight)} of those asked, None where its
    greedy answer isn't the code. From the file `kept` where it is there."""
    if kept.exists():
        return {int(i): found for i, found in json.loads(kept.read_text()).items()}
    base, context, out = folder / "context.prompt", folder / "context.json", {}
    context.write_text(json.dumps(hay.ids))
    run([options.program, "run", "--model", model, "--prompt-tokens", context, "--steps", 0, "--prefill", "f32",
         "--prompt-cache", base])
    for i in asked:
        ask, answer, digits = hay.questions[i], hay.answers[i], hay.digits[i]
        ids, prompt, trace = folder / "question.json", folder / "question.prompt", folder / "question.h5"
        ids.write_text(json.dumps(hay.ids + ask))
        shutil.copyfile(base, prompt)
        run([options.program, "record", "--model", model, "--prompt-tokens", ids, "--steps", FEEDS - 1, "--ignore-end",
             "--maps", "dense", "--no-values", "--no-prompt-rows", "--no-calibration", "--prompt-cache", prompt, "--out",
             trace, "--force"])
        with h5py.File(trace) as f:
            written = f["tokens/ids"][len(hay.ids) + len(ask):].tolist()
            layers = f.attrs["layers"].tolist() if "layers" in f.attrs else list(range(f.attrs["n_layer"]))
            weights = f["steps/map_dense"][:FEEDS - 2, :, :, digits:digits + 5].astype("f4")
        out[i] = (layers, weights.reshape(-1).tolist()) if written == answer[:len(written)] else None
    kept.write_text(json.dumps(out))
    return out


def held_of(case, first, layers, digits):
    """[5 steps][layer][KV head][5 digits]: whether the set holds it. `first`: the step that predicts the first digit."""
    positions, offsets = case["set_positions"][:], case["set_offsets"][:]
    _, n_layer, n_kv_head = case["positions"].shape
    out = []
    for t in range(first, first + 5):
        step = []
        for layer in layers:
            heads = []
            for g in range(n_kv_head):
                i = ((t - 1) * n_layer + layer) * n_kv_head + g
                there = set(positions[offsets[i]:offsets[i + 1]].tolist())
                heads.append([digits + d in there for d in range(5)])
            step.append(heads)
        out.append(step)
    return out


def score(case, hay, i, tail, found):
    """What a policy did with question i, of which `tail` tokens were decoded under it; `found` as weights_of() gives it."""
    n, (layers, weights) = len(hay.answers[i]), found
    right = [int(a) == b for a, b in zip(case["top_ids"][tail:tail + n, 0], hay.answers[i])][:-1]  # without the full stop
    held = held_of(case, tail + 1, layers, hay.digits[i])
    pairs = list(zip(weights, [x for step in held for heads in step for g in heads for x in g]))
    heavy = [h for w, h in pairs if w >= HEAVY]
    return {"answers": all(right), "digits": sum(right[1:]), "positions": float(case["positions"][:].mean()),
            "pairs": len(pairs), "held": sum(h for _, h in pairs), "heavy": len(heavy), "heavy_held": sum(heavy),
            "weight": sum(w for w, _ in pairs), "weight_held": sum(w for w, h in pairs if h)}


def measure(options, model, context, way):
    """{entry: [question's scores]}, from the cache where it is there."""
    kept = options.cache / f"{slug_of(model)}-{context}-{way}.json"
    result = json.loads(kept.read_text()) if kept.exists() else {}
    entries = [e for e in ENTRIES if e not in result and (context <= LONGEST_H2O or not e.startswith("h2o"))]
    if not entries or options.only_cached:
        return result
    print(f"{kept.stem}: {len(entries)} settings", file=sys.stderr, flush=True)
    hay = Haystack(Tokens(options, model), context)
    with tempfile.TemporaryDirectory(dir=options.cache) as name:
        folder = pathlib.Path(name)
        rows = options.cache / f"{slug_of(model)}-{context}-weights.json"
        found = weights_of(options, model, hay, asked_in(context), folder, rows)
        cases = {}
        for i in asked_in(context):
            if not found[i]:
                continue
            ask, answer = hay.questions[i], hay.answers[i]
            tail = len(ask) if way == "later" else 1
            for j, entry in enumerate(entries):
                file = folder / f"case-{i}-{j}.json"
                file.write_text(json.dumps({"model": model, "policy": settings_json(entry),
                                            "prompt": hay.ids + ask[:len(ask) - tail],
                                            "continuation": ask[len(ask) - tail:] + answer}))
                cases[i, entry] = file, tail
        # One call a question keeps the folder small where each has its own prompt; together they share the prefill.
        groups = [[i] for i in range(len(CODES))] if way == "prompt" else [list(range(len(CODES)))]
        for group in groups:
            files = [file for (i, _), (file, _) in cases.items() if i in group]
            if not files:
                continue
            # A single case would be written to --out itself.
            out = folder / "out" / f"{files[0].stem}.h5" if len(files) == 1 else folder / "out"
            (folder / "out").mkdir(exist_ok=True)
            run([options.program, "case", *files, "--out", out, "--kv", "f16", "--activations", "q8", "--force"])
            for (i, entry), (file, tail) in cases.items():
                if i in group:
                    out = folder / "out" / f"{file.stem}.h5"
                    with h5py.File(out) as case:
                        result.setdefault(entry, []).append({"question": i, **score(case, hay, i, tail, found[i])})
                    out.unlink()
    part = kept.with_suffix(".part")
    part.write_text(json.dumps(result))
    part.replace(kept)
    return result


def table(model, context, way, result):
    # Full attention answers while it records; decoded in steps ("later") its rounding is other, so it is asked again.
    asked = {s["question"] for s in result.get("full", []) if s["answers"]}
    print(f"\n{model}, {context} tokens, question {'decoded later' if way == 'later' else 'in the prompt'}: full attention "
          f"answers {len(asked)} of {len(asked_in(context))}\n")
    if not asked:
        return
    header("policy", "answers", "digits right, of 5", "needle's digits in the set", "of those with >= 1 % of full's weight",
           "of their weight", "positions, of full's", "misses at depths, %")
    full = statistics.fmean(s["positions"] for s in result["full"] if s["question"] in asked)
    for entry, scores in result.items():
        mine = [s for s in scores if s["question"] in asked]
        total = lambda key: sum(s[key] for s in mine)
        misses = [str(DEPTHS[s["question"]]) for s in mine if not s["answers"]]
        row(entry.replace(":", " "), f"{total('answers')} of {len(mine)}", f"{statistics.fmean(s['digits'] for s in mine):.1f}",
            percent(total("held") / total("pairs")), f"{percent(total('heavy_held') / max(1, total('heavy')))} of "
            f"{total('heavy')}", percent(total("weight_held") / total("weight")),
            percent(statistics.fmean(s["positions"] for s in mine) / full), ", ".join(misses) or "–")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--program", default="build/bin/reattend", help="the reattend to run")
    ap.add_argument("--model", nargs="+", default=["smollm2-135m"], help="names of get-model --list, or files")
    ap.add_argument("--contexts", type=int, nargs="+", help="tokens before the question [2048, 7680; others 2048, 8192, 16384]")
    ap.add_argument("--cache", type=pathlib.Path, default=pathlib.Path("out/needle"), help="folder of finished runs")
    ap.add_argument("--only-cached", action="store_true", help="run nothing: tables of what is there")
    options = ap.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    for model in options.model:
        for context in options.contexts or CONTEXTS.get(model, LONG_CONTEXTS):
            for way in ("later", "prompt") if context <= LONGEST_IN_PROMPT else ("later",):
                if result := measure(options, model, context, way):
                    table(model, context, way, result)


if __name__ == "__main__":
    main()
