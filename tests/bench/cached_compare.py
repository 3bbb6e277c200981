# Runs `reattend compare` for settings that were not measured yet, and keeps what each gave.
"""One JSON a model, text and context; a setting in it is not measured again, so a stopped script goes on where it was and a
new setting costs its own time alone. The prefilled prompt lies beside it until the caller is done with the place."""
import json
import subprocess
import sys


class Place:
    """Where settings are measured: a model, and a text from some character on, cut to a context."""

    def __init__(self, options, model, slug, text, skip, context, steps, more=()):
        self.options, self.model, self.slug = options, model, slug
        self.text, self.skip, self.context, self.steps, self.more = text, skip, context, steps, more
        self.kept, self.prompt = options.cache / f"{slug}.json", options.cache / f"{slug}.prompt"

    def command(self, entries, more):
        return [str(x) for x in (
            self.options.program, "compare", "--model", self.model, "--prompt-file", self.text, "--raw", "--skip-chars",
            self.skip, "--context", self.context, "--steps", self.steps, "--policies", ",".join(entries),
            "--prompt-cache", self.prompt, "--json", *self.more, *more)]

    def measured(self):
        """{"full" or an entry of --policies: its object of compare's JSON}."""
        return json.loads(self.kept.read_text())["policies"] if self.kept.exists() else {}

    def measure(self, entries, more=("--repeats", 0)):
        """The same, after `entries` were measured where they are missing. Nothing runs under --only-cached."""
        policies = self.measured()
        missing = [entry for entry in entries if entry not in policies]
        if not missing or self.options.only_cached:
            return policies
        print(f"{self.slug}: {len(missing)} settings", file=sys.stderr, flush=True)
        command = self.command(missing, more)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        run = json.loads(done.stdout)
        for entry, policy in zip(["full", *missing], run.pop("policies"), strict=True):
            policies.setdefault(entry, policy)
        part = self.kept.with_suffix(".part")
        part.write_text(json.dumps({**run, "command": command, "policies": policies}))
        part.replace(self.kept)
        return policies

    def done(self):
        """Nothing more is measured here. --only-cached may look at what another process is at."""
        if not self.options.only_cached:
            self.prompt.unlink(missing_ok=True)
