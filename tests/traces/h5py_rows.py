# Another program reads a real recording: the documented h5py lines work, 20 random rows agree with the maps, and 20 with
# those that the reference device computes on the same tokens.
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

SKIPPED = 77  # SKIP_RETURN_CODE of the test
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


def recompute(f, layer, g, t):
    """The group-mean full row of step t, in double."""
    import numpy as np
    group = f.attrs["n_head"] // f.attrs["n_kv_head"]
    keys = np.concatenate([f["prompt/keys"][layer, g], f["steps/keys"][:t, layer, g]]).astype("f8")
    q = f["steps/queries"][t - 1, layer, g * group:(g + 1) * group].astype("f8")
    scores = q @ keys.T / np.sqrt(f.attrs["d_head"])
    rows = np.exp(scores - scores.max(1, keepdims=True))
    return (rows / rows.sum(1, keepdims=True)).mean(0)


def compare_with_reference(program, model, folder):
    """Full rows of the fast cache (f16) beside those of double precision (f32 cache), same tokens."""
    import h5py
    import numpy as np
    tokens, steps = pathlib.Path(folder) / "tokens.json", 6
    tokens.write_text(json.dumps(json.loads(pathlib.Path("tests/golden/logits/smollm2_short.json").read_text())["ids"]))
    traces = {}
    for device, options in (("cpu", ["--activations", "f32"]), ("reference", [])):
        traces[device] = pathlib.Path(folder) / f"{device}.h5"
        subprocess.run([program, "record", "--model", str(model), "--prompt-tokens", str(tokens), "--device", device, *options,
                        "--steps", str(steps), "--no-calibration", "--out", str(traces[device]), "--progress", "off"],
                       check=True, stdout=subprocess.DEVNULL)
    with h5py.File(traces["cpu"]) as fast, h5py.File(traces["reference"]) as exact:
        assert fast.attrs["kv_type"] != exact.attrs["kv_type"], "the comparison is of an f16 cache with an f32 one"
        np.testing.assert_array_equal(fast["tokens/ids"][:], exact["tokens/ids"][:])
        worst = 0
        for _ in range(20):
            where = (random.randrange(fast.attrs["n_layer"]), random.randrange(fast.attrs["n_kv_head"]), 1 + random.randrange(steps))
            worst = max(worst, np.abs(recompute(fast, *where) - recompute(exact, *where)).max())
        print(f"20 rows of the f16 cache differ from the reference's by at most {worst:.1e}")
        assert worst < 2e-3, f"rows differ from the reference's by {worst}"


def main(program):
    store = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "reattend"
    if not (store / MODEL).exists():
        print(f"skipped: {store / MODEL} is not there; `reattend get-model` fetches it")
        return SKIPPED
    import h5py
    import numpy as np

    page = pathlib.Path("docs/trace-format.md").read_text()
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder) / "trace.h5"
        subprocess.run([program, "record", "--model", str(store / MODEL), "--prompt-file", "docs/trace-format.md", "--raw",
                        "--steps", "12", "--out", str(trace), "--progress", "off"], check=True, stdout=subprocess.DEVNULL)

        example = re.search(r"```python\n(.*?)```", page, re.S).group(1)
        assert len(example.strip().splitlines()) <= 11, "the page promises a short example"
        names = {}
        exec(example.replace("trace.h5", str(trace)), names)
        difference = np.abs(names["row"][names["where"]] - names["weights"]).max()
        assert difference < 1e-5, f"the example on the page: {difference}"

        random.seed(1)
        with h5py.File(trace) as f:
            steps = int(f["steps/committed"][()])
            assert steps == 12 and f["steps/ms"].shape == (12,)
            text, offsets = f["vocab/text"][:].tobytes(), f["vocab/offsets"][:]
            ids = f["tokens/ids"][:]
            prompt = b"".join(text[offsets[i]:offsets[i + 1]] for i in ids[:f.attrs["n_prompt"]])
            assert prompt == page.encode(), "the prompt's tokens do not spell the prompt"
            for _ in range(20):
                layer, g, t = (random.randrange(f.attrs["n_layer"]), random.randrange(f.attrs["n_kv_head"]),
                               1 + random.randrange(steps))
                row = recompute(f, layer, g, t)
                where, weights = f["steps/map_positions"][t - 1, layer, g], f["steps/map_weights"][t - 1, layer, g]
                np.testing.assert_allclose(weights, row[where], atol=1e-5, rtol=1e-3)
                assert (np.diff(weights) <= 0).all(), "strongest first"
                assert row.max() <= weights[0] + 1e-5, "the strongest position is missing"
                np.testing.assert_allclose(f["steps/map_rest"][t - 1, layer, g], 1 - weights.sum(), atol=1e-4)
            before = f["steps/top_logprobs"][:-1], f["steps/top_ids"][:-1]
            for t in range(steps):
                fed = ids[f.attrs["n_prompt"] + t]
                if fed in before[1][t]:
                    at = list(before[1][t]).index(fed)
                    np.testing.assert_allclose(f["steps/logprob"][t], before[0][t][at], atol=1e-6)
        compare_with_reference(program, store / MODEL, folder)
    return 0


sys.exit(main(sys.argv[1]))
