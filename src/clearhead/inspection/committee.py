"""A committee looked at: all of its members side by side, and what they say together."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clearhead.errors import UsageError
from clearhead.inspection.explanation import Explanation, Label
from clearhead.inspection.inspector import Inspector
from clearhead.runs.committee import agree, members


def inspector(
    path: str | os.PathLike[str], device: str = "auto", overrides: tuple[str, ...] = ()
) -> Inspector | CommitteeInspector:
    """Return what explains texts by the model, or the committee, at ``path``; see ``Inspector``.

    Raises:
        UsageError: a committee's members have unlike labels, or one of them is no classifier; others as ``Inspector``.
    """
    found = [(Inspector(member, device, overrides), share) for member, share in members(path)]
    return found[0][0] if len(found) == 1 else CommitteeInspector(Path(path), found)


class CommitteeInspector:
    """Explains texts by several classifiers that answer together; the first of them is shown in full.

    Args:
        path: the committee's folder.
        inspectors: of each member, and its share of the answer.
    """

    task = "classification"

    def __init__(self, path: Path, inspectors: Sequence[tuple[Inspector, float]]) -> None:
        self.path, self.inspectors = path, tuple(inspectors)
        self.first = inspectors[0][0]
        self.documents = len(inspectors)
        for each, _ in inspectors:
            if each.task != self.task:
                raise UsageError("wrong-task", path=each.path, task=each.task, wanted=self.task)
            agree(each.path, each.labels, self.first.labels)

    def document(
        self,
        text: str,
        *,
        prefix: str = "",
        tag: str = "",
        full: bool = False,
        in_file: int = 0,
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> dict[str, Any]:
        """Return the first member's document with the others' beside it; see ``Inspector.document``."""
        found = [
            each.document(text, full=full, in_file=in_file, on_progress=on_progress) for each, _ in self.inspectors
        ]
        said = [[Label(**label) for label in each["labels"]] for each in found]
        shown = [
            {"name": each.run["name"], "path": str(each.path), "share": share, "labels": document["labels"]}
            for (each, share), document in zip(self.inspectors, found)
        ]
        labels = [label._asdict() for label in self.together(said)]
        committee = {"name": self.path.resolve().name, "labels": labels, "members": shown}
        return {**found[0], "compare": found[1:], "committee": committee}

    def explain(self, text: str) -> list[Explanation]:
        """Return what each member computes for ``text``; see ``Inspector.explain``."""
        return [each.explain(text) for each, _ in self.inspectors]

    def together(self, said: Sequence[Sequence[Label]]) -> list[Label]:
        """Return the committee's labels: of what its members say the mean of the log-probabilities, by their shares."""
        means = [
            sum(share * _log_probs(labels)[place] for (_, share), labels in zip(self.inspectors, said))
            for place in range(len(self.first.labels))
        ]
        all_of_it = math.log(sum(math.exp(mean) for mean in means))
        return [Label(name, mean, math.exp(mean - all_of_it)) for name, mean in zip(self.first.labels, means)]

    def rival(self, text: str, prefix: list[int]) -> dict[str, Any]:
        """Raise a UsageError: a classifier has no rivals."""
        return self.first.rival(text, prefix)

    def ablation(self, text: str, part: str, head: int) -> dict[str, Any]:
        """Return what a head of the first member is worth; see ``Inspector.ablation``."""
        return self.first.ablation(text, part, head)

    def column(self, name: str, column: int) -> dict[str, Any]:
        """Return a column of a linear layer of the first member; see ``Inspector.column``."""
        return self.first.column(name, column)


def _log_probs(labels: Sequence[Label]) -> list[float]:
    """Return the logarithms of the labels' probabilities, exact also where one is nearly 0."""
    highest = max(label.logit for label in labels)
    normaliser = highest + math.log(sum(math.exp(label.logit - highest) for label in labels))
    return [label.logit - normaliser for label in labels]
