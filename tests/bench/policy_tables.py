# Markdown tables of policy_quality.py: KL at equal K and at equal bytes, duels with their intervals, the sketch's aim.
import statistics

from policy_settings import (ADAPTIVE, AT_EACH_BUDGET, BUDGETS, CURVES, LADDER, MIN_WEIGHTS, RIVALS, S_LONG, S_SHORT, SMOLLM2)


def row(*cells):
    print("| " + " | ".join(str(c) for c in cells) + " |")


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def short(x):
    """Three decimals, four below 0.01, without the zero in front."""
    return (f"{x:.3f}" if abs(x) >= 0.01 else f"{x:.4f}").removeprefix("0")


def percent(x):
    return f"{100 * x:.1f} %"


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
    for name in AT_EACH_BUDGET:
        pair = lambda f: " / ".join(f((name, k)) for k in BUDGETS)
        row(name, pair(lambda x: short(r.mean(x, "kl"))), pair(lambda x: short(statistics.median(r.steps(x)))),
            pair(r.largest_step), pair(lambda x: short(r.mean(x, "agreement"))),
            pair(lambda x: short(r.mean(x, "recovered"))), pair(lambda x: f"{100 * r.mean(x, 'positions_share'):.1f}"),
            pair(lambda x: f"{100 * r.bytes_share(x):.1f}"), pair(lambda x: f"{100 * r.mean(x, 'full_share'):.1f}"))


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


def smollm2_tables(r):
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


def curve_table(r):
    """Equal K: KL with its interval, and what it read, at every budget."""
    print(f"\nKL (95 %), bytes of keys read to choose and of keys and values attended to, % of full attention's: "
          f"{len(r.places)} runs, contexts {', '.join(map(str, r.contexts))}\n")
    header("policy", *(f"K = {k}" for k in LADDER))
    for name in CURVES:
        cells = []
        for k in LADDER:
            if not r.has((name, k)):
                cells.append("–")
                continue
            lo, hi = r.interval((name, k))
            kl, share = r.mean((name, k), "kl"), r.bytes_share((name, k))
            cells.append(f"**{short(kl)}** ({short(lo)} to {short(hi)}), {percent(share)}")
        if any(c != "–" for c in cells):
            row(name, *cells)
    print()
    header("sketch with", "KL (95 %)", "bytes", "positions")
    for key in [k for k in r.of if k[0].startswith("sketch, ") and r.has(k)]:
        lo, hi = r.interval(key)
        what = f"K = L/4, min_weight {key[1]}" if key[0] == ADAPTIVE else f"{key[0].removeprefix('sketch, ')}, K = {key[1]}"
        row(what, f"**{short(r.mean(key, 'kl'))}** ({short(lo)} to {short(hi)})", percent(r.bytes_share(key)),
            percent(r.mean(key, "positions_share")))


def context_table(r):
    """Every context by itself, K = L/8, with bytes."""
    print("\nK = L/8 by context: KL, bytes\n")
    header("policy", *r.contexts)
    for name in CURVES:
        cells = [f"**{short(r.mean((name, 'L/8'), 'kl', c))}**, {percent(r.bytes_share((name, 'L/8'), c))}"
                 if r.has((name, "L/8"), c) else "–" for c in r.contexts]
        if any(c != "–" for c in cells):
            row(name, *cells)


def equal_bytes_table(r):
    """The sketch's settings, and each other policy's KL where it reads as much."""
    print("\nAt equal bytes: KL of the others at what the sketch reads, between their budgets' logarithms; in brackets the "
          "least or most that one of their budgets reads, and its KL, where that lies outside\n")
    others = [name for name in CURVES if name != "sketch"]
    header("sketch", "bytes", "KL", *others)
    for key in [("sketch", k) for k in LADDER] + [(ADAPTIVE, w) for w in MIN_WEIGHTS]:
        if not r.has(key):
            continue
        share, cells = r.bytes_share(key), []
        for name in others:
            kl, curve = r.kl_at_bytes(name, share), r.curve(name)
            if kl is None and curve:
                x, y, _ = curve[0] if share < curve[0][0] else curve[-1]
                cells.append(f"({percent(x)}: {short(y)})")
            else:
                cells.append("–" if kl is None else short(kl))
        row(f"K = {key[1]}" if key[0] == "sketch" else f"min_weight {key[1]}", percent(share),
            f"**{short(r.mean(key, 'kl'))}**", *cells)


def third_table(results):
    """The sketch's aim, per model: a third of recycled's KL for no more bytes."""
    print("\nKL of sketch against a third of that of recycled S=5, K = L/8, at no more bytes. Ratio: sketch's KL over "
          "recycled's; the interval is of three times the sketch's KL less recycled's, and unsure is a verdict whose interval "
          "reaches across 0\n")
    header("model", "sketch", "bytes, of recycled's", "KL, of recycled's", "ratio", "ratio by context", "95 %",
           "a third or less?")
    aim = (f"recycled S={S_SHORT}", "L/8")
    for r in results:
        for key in [("sketch", k) for k in LADDER] + [(ADAPTIVE, "0.0005"), (ADAPTIVE, "0.001")]:
            if not r.has(key) or not r.has(aim):
                continue
            ratio = lambda c=None: r.mean(key, "kl", c) / r.mean(aim, "kl", c)  # of means, not the mean of ratios
            read, allowed, (lo, hi) = r.bytes_share(key), r.bytes_share(aim), r.interval(key, aim, times=3)
            if read > allowed:
                verdict = "reads more"
            else:
                verdict = ("yes" if ratio() <= 1 / 3 else "no") + ("" if lo > 0 or hi < 0 else ", unsure")
            row(r.model, f"K = {key[1]}" if key[0] == "sketch" else f"K = L/4, min_weight {key[1]}",
                f"{percent(read)} of {percent(allowed)}", f"{short(r.mean(key, 'kl'))} of {short(r.mean(aim, 'kl'))}",
                f"{ratio():.2f}", " / ".join(f"{c}: {ratio(c):.2f}" for c in r.contexts), f"{lo:+.3f} to {hi:+.3f}", verdict)


def timed_table(model, context, rounds, policies):
    """ms/token of one context; `policies`: {(name, budget) or ("full", ""): policy}."""
    print(f"\n{model}, {context} tokens: ms/token beside KL, {rounds} interleaved rounds\n")
    header("policy", "ms/token", "times as fast as full", "KL")
    for key, p in sorted(policies.items(), key=lambda x: x[1]["ms_per_token"]):
        row(", ".join(filter(None, key)), f"{p['ms_per_token']:.2f}", f"{p['speed_up'] or 1:.2f}", short(p["kl"]))


def tables(r):
    print(f"\n## {r.model}")
    if r.model == SMOLLM2 and all(r.has((name, k)) for name in AT_EACH_BUDGET for k in BUDGETS):
        smollm2_tables(r)
    curve_table(r)
    context_table(r)
    equal_bytes_table(r)
