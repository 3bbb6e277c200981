# What policies gave over texts and contexts of one model: means, bytes, and intervals of differences.
import bisect
import math
import random
import statistics

from policy_settings import ADAPTIVE, LADDER, MIN_WEIGHTS, TEXTS


class Results:
    """{(name, budget)} -> {(text, context)} -> a policy's object of compare's JSON."""

    def __init__(self, model, runs):
        """`runs`: {(text, context): {(name, budget) or ("full", ""): policy}}."""
        self.model = model
        self.texts = [t for t in TEXTS if any(text == t for text, _ in runs)]
        self.contexts = sorted({context for _, context in runs})
        self.places, self.of = sorted(runs, key=lambda x: (x[1], self.texts.index(x[0]))), {}
        for place in self.places:
            for key, policy in runs[place].items():
                self.of.setdefault(key, {})[place] = policy

    def has(self, key, context=None):
        """Whether a setting was measured at all places, or at all of a context."""
        places = [p for p in self.places if context in (None, p[1])]
        return bool(places) and all(p in self.of.get(key, {}) for p in places)

    def mean(self, key, field, context=None):
        """Over texts, and over contexts where none is given."""
        return statistics.fmean(p[field] for place, p in self.of[key].items() if context in (None, place[1]))

    def bytes_share(self, key, context=None):
        """Keys, values and what was read to choose, as a share of what full attention read in the same run."""
        full = self.of["full", ""]
        return statistics.fmean((p["bytes_attend"] + p["bytes_select"]) / full[place]["bytes_attend"]
                                for place, p in self.of[key].items() if context in (None, place[1]))

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

    def curve(self, name, context=None):
        """[(share of bytes, KL, budget)] of a policy's budgets, by what they read."""
        budgets = MIN_WEIGHTS if name == ADAPTIVE else LADDER
        return sorted((self.bytes_share((name, k), context), self.mean((name, k), "kl", context), k)
                      for k in budgets if self.has((name, k), context))

    def kl_at_bytes(self, name, share, context=None):
        """KL of a policy that read that share, straight between its budgets' logarithms; None outside of them."""
        curve = self.curve(name, context)
        at = bisect.bisect_left([x for x, _, _ in curve], share)
        if not curve or at == len(curve) or (at == 0 and curve[0][0] > share):
            return None
        if at == 0:
            return curve[0][1]
        (x0, y0, _), (x1, y1, _) = curve[at - 1], curve[at]
        w = math.log(share / x0) / math.log(x1 / x0)
        return math.exp((1 - w) * math.log(y0) + w * math.log(y1))

    def steps(self, key):
        """KL of every step of every run."""
        return [x for place in self.places for x in self.of[key][place]["steps"]["kl"]]

    def largest_step(self, key):
        """What the largest step holds of the sum over all steps, and the most that one holds of a run's."""
        runs = [policy["steps"]["kl"] for policy in self.of[key].values()]
        all_steps = self.steps(key)
        return f"{100 * max(all_steps) / sum(all_steps):.0f} ({100 * max(max(x) / sum(x) for x in runs):.0f})"

    def interval(self, a, b=None, times=1.0, rounds=2000, block=8):
        """95 % of the mean of `times` KL of a setting less that of another (or nothing) when blocks of neighbouring steps are
        drawn anew in each run: the two share their tokens, so they are drawn together; steps beside each other aren't
        independent."""
        pick, blocks = random.Random(1), []
        for place in self.places:
            d = [times * x for x in self.of[a][place]["steps"]["kl"]]
            if b:
                d = [x - y for x, y in zip(d, self.of[b][place]["steps"]["kl"])]
            blocks.append([statistics.fmean(d[i:i + block]) for i in range(0, len(d), block)])
        means = sorted(statistics.fmean(statistics.fmean(pick.choices(run, k=len(run))) for run in blocks)
                       for _ in range(rounds))
        return means[rounds * 25 // 1000], means[rounds * 975 // 1000]
