# What policy_quality.py measures: models, texts, contexts, budgets, and every setting with its name in the tables.
import dataclasses
import json
import pathlib
import subprocess

from package_texts import DOC, JARGON

PACKAGES = "jargon-text anarchism"
# Dictionary prose at two places, and running argument that isn't technical: fixed before any result was seen. B.1 takes the
# place of A.1 where a prompt is longer than that section.
TEXTS = {"jargon 200k": (JARGON, 200000), "jargon 700k": (JARGON, 700000),
         "anarchism A.1": (DOC / "anarchism/html/secA1.html", 0), "anarchism I.4": (DOC / "anarchism/html/secI4.html", 0)}


@dataclasses.dataclass(frozen=True)
class Grid:
    """Steps by context, and texts."""
    steps: dict
    texts: tuple


SHORT = Grid({2048: 64, 4096: 64, 7680: 64}, ("jargon 200k", "jargon 700k", "anarchism A.1"))
# Fewer steps at long contexts: a prefill of 32,000 tokens is minutes, and 50 settings of 24 steps another.
LONG = Grid({4096: 64, 16384: 32, 32000: 24}, ("jargon 200k", "anarchism I.4"))
SMOLLM2 = "smollm2-135m"
MODELS = {SMOLLM2: SHORT, "qwen2.5-coder-0.5b": LONG, "gemma-3-270m": LONG}


def slug_of(model):
    """What the cache knows a model by: its name, or a file's."""
    return pathlib.Path(model).name.removesuffix(".gguf")


def grid_of(model):
    """A file of the same models, or of any other, takes the long grid."""
    return MODELS.get(model, LONG)


# SmolLM2's own two budgets, at which every variant below runs and recovered mass is measured.
BUDGETS = ("L/8", "64")
# Budgets of the policies in CURVES, on all models.
LADDER = ("L/4", "L/8", "L/16", "L/32")
S_SHORT, S_LONG = 5, 10
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
    "pyramidkv": "pyramidkv", "tova": "tova", "quest": "quest", "tokenselect": "tokenselect", "oracle": "oracle",
    "sketch": "sketch"}
# A curve of KL against bytes each. The oracle without pooling bounds those that choose single positions.
CURVES = {**{name: AT_EACH_BUDGET[name] for name in ("recycled S=5", "recycled S=10")}, "recycled S=20": "recycled:S=20",
          "query S=5": AT_EACH_BUDGET["query S=5, pre_rope .85"],
          **{name: name for name in ("streaming", "h2o", "snapkv", "pyramidkv", "tova", "quest", "tokenselect")},
          "oracle, pool 1": "oracle:pool=1", "sketch": "sketch"}
# h2o looks at every row of the prompt, which doubles the time of a long one.
LONGEST_H2O = 8192
# K = L/4 at most, and of that what the estimate gives this weight.
ADAPTIVE, MIN_WEIGHTS = "sketch, min_weight", ("0.00025", "0.0005", "0.001", "0.002")
RIVALS = ("snapkv", "h2o", "streaming")


def equal_reading(context, stride):
    """Budget at which a policy without full steps reads as many positions as recycled with K = L/8."""
    return round(context / stride + (1 - 1 / stride) * (context // 8))


def with_mass(model, context):
    """{(name, budget): entry of --policies} of the settings whose recovered mass is measured, too; budgets named "=S5" read
    what recycled S=5, K = L/8 reads."""
    if model != SMOLLM2:
        return {}
    out = {(name, k): f"{entry}:K={k}" for k in BUDGETS for name, entry in AT_EACH_BUDGET.items()}
    out |= {(name, f"=S{s}"): f"{name}:K={equal_reading(context, s)}" for s in (S_SHORT, S_LONG) for name in RIVALS}
    return out


def curves(context, d_head):
    """{(name, budget): entry} of every policy's curve, the adaptive budget, and the sketch with other numbers of channels."""
    out = {(name, k): f"{entry}:K={k}" for name, entry in CURVES.items() for k in LADDER
           if name != "h2o" or context <= LONGEST_H2O}
    out |= {(ADAPTIVE, w): f"sketch:K=L/4:min_weight={w}" for w in MIN_WEIGHTS}
    return out | {(channels_name(c), "L/16"): f"sketch:K=L/16:channels={c}" for c in other_channels(d_head)}


def other_channels(d_head):
    """An eighth, a half and all of a head's; a quarter is the default."""
    return d_head // 8, d_head // 2, d_head


def channels_name(channels):
    return f"sketch, {channels} channels"


def head_width(program, model):
    return json.loads(subprocess.run([program, "info", model, "--json"], stdout=subprocess.PIPE, text=True,
                                     check=True).stdout)["head width"]
