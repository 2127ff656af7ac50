"""What `verify` prints: a line for each rule, more where it is broken, and a summary."""

import shutil
import textwrap
from collections import Counter
from dataclasses import dataclass
from typing import Any

import click

from ..ops.project import ProjectError

# Where the tests of one rule end differently, the first of these is the rule's result.
SIGNS = {
    "broken": ("✗", "red"),
    "unchecked": ("?", "yellow"),
    "holds": ("✓", "green"),
    "skipped": ("-", "yellow"),
}


@dataclass
class Finding:
    """A rule with what its tests found; `result` is a key of `SIGNS`."""

    name: str
    holds: str
    why: str
    mend: str
    result: str = ""
    seen: str = ""


class Report:
    """Gathers findings, and prints each rule as soon as the last of its tests has run.

    Args:
        quiet: Print nothing.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.width = min(shutil.get_terminal_size().columns, 100)
        self.known: list[str] = []
        self.tests_left: Counter[str] = Counter()
        self.waiting: dict[str, Finding] = {}
        self.findings: list[Finding] = []
        self.in_progress = ""

    def take(self, event: dict[str, Any]) -> None:
        """Take in an event, in the form that `tests/contract/reporting.py` describes.

        A last one, `{"ended": how}`, says how the process ended that wrote the others.

        Raises:
            ProjectError: the tests themselves cannot be run; the message says why.
        """
        match event:
            case {"known": names}:
                self.known = names
            case {"rules": rules}:
                for rule in rules:
                    self.tests_left[rule["name"]] = rule.pop("tests")
                    self.waiting[rule["name"]] = Finding(**rule)
            case {"started": name}:
                self.in_progress = name
            case {"name": name, "result": result, "seen": seen, "mend": mend}:
                self.in_progress = ""
                self._add(name, result, seen, mend)
            case {"problem": text}:
                raise ProjectError(f"The rules cannot be checked. {text}")
            case {"ended": how}:
                self._end(how)

    def _add(self, name: str, result: str, seen: str, mend: str | None = None) -> None:
        """Add how a test ended to what is known of its rule."""
        finding = self.waiting[name]
        order = list(SIGNS)
        if not finding.result or order.index(result) < order.index(finding.result):
            finding.result, finding.seen, finding.mend = result, seen, mend or finding.mend
        self.tests_left[name] -= 1
        if not self.tests_left[name]:
            self._close(name)

    def _end(self, how: str) -> None:
        """Close the rules whose tests have not all run: one of them ended the process."""
        for name in list(self.waiting):
            if name == self.in_progress:
                self._add(name, "broken", how)
            else:
                self._add(name, "unchecked", "The agent ended the process before.")
        for name in list(self.waiting):
            self._close(name)

    def _close(self, name: str) -> None:
        """Print a rule, about which nothing more will be found."""
        finding = self.waiting.pop(name)
        self.findings.append(finding)
        sign, color = SIGNS[finding.result]
        text = finding.holds if finding.result in ("holds", "broken") else finding.seen
        self._say_wrapped(f"{sign} {name:<24}", text, fg=color)
        if finding.result == "broken":
            for label in ("seen", "why", "mend"):
                self._say_wrapped(f"    {label:<6}", getattr(finding, label))

    def _say_wrapped(self, label: str, text: str, fg: str | None = None) -> None:
        lines = textwrap.wrap(text, max(self.width - len(label), 20)) or [""]
        indented = ("\n" + " " * len(label)).join(lines)
        self.say(click.style(label, fg=fg) + indented)

    def say(self, text: str) -> None:
        """Print a text, unless nothing is to be printed."""
        if not self.quiet:
            click.echo(text)

    def summary(self) -> str:
        """How many rules hold, which are broken, and how many could not be checked."""
        times = Counter(finding.result for finding in self.findings)
        sentence = f"{times['holds']} of {len(self.findings)} rules hold"
        if times["skipped"]:
            sentence += f", {times['skipped']} skipped"
        if times["unchecked"]:
            sentence += f", {times['unchecked']} not checked"
        if times["broken"]:
            broken = (finding.name for finding in self.findings if finding.result == "broken")
            sentence += f"; broken: {', '.join(broken)}"
        return sentence + "."
