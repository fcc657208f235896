"""The translator that explains itself: ``translator("text", explain=True).explanation``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from clearhead.config import DecodingConfig
from clearhead.decoding import translator as plain
from clearhead.inspection.explain import explain as explained
from clearhead.inspection.explanation import Explanation


@dataclass(frozen=True)
class ExplainedTranslation(plain.Translation):
    """A translation with what the model computed on the way; a blank sentence has nothing to explain."""

    explanation: Explanation | None = None


class Translator(plain.Translator):
    """A ``decoding.translator.Translator`` that can say how it came to what it says."""

    def __call__(  # type: ignore[override]  # as its parent's, which has one sentence and many written out
        self,
        source: str | Iterable[str],
        *,
        prefix: str | Sequence[str] = "",
        tag: str = "",
        decoding: DecodingConfig | None = None,
        first: int = 1,
        explain: bool = False,
    ) -> Any:
        """Translate one sentence or many, as the parent does.

        explain: give ``ExplainedTranslation``s. Each sentence is then looked at by itself, which takes several times as
            long; one that is longer than the model's limit is refused.

        Raises: as the parent's; where ``explain`` is set, as ``inspection.explain.ask``.
        """
        sources = source if isinstance(source, str) else list(source)
        found = super().__call__(sources, prefix=prefix, tag=tag, decoding=decoding, first=first)
        if not explain:
            return found
        translations = [found] if isinstance(found, plain.Translation) else found
        prefixes = [prefix] * len(translations) if isinstance(prefix, str) else prefix
        each = [self._with(each, start, tag, decoding) for each, start in zip(translations, prefixes)]
        return each[0] if isinstance(source, str) else each

    def _with(
        self, translation: plain.Translation, prefix: str, tag: str, decoding: DecodingConfig | None
    ) -> ExplainedTranslation:
        own = {field.name: getattr(translation, field.name) for field in fields(translation)}
        if not translation.source.strip():
            return ExplainedTranslation(**own)
        return ExplainedTranslation(
            **own, explanation=explained(self, translation.source, prefix=prefix, tag=tag, decoding=decoding)
        )
