"""clearhead: train, run and see through Transformers, from a parallel corpus to a translator.

``from clearhead import Translator, pipeline`` is the way in for programs; the import of torch waits until a name is
asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clearhead.version import __version__

if TYPE_CHECKING:
    from clearhead.decoding.translator import Translation
    from clearhead.inspection.translator import Translator
    from clearhead.pipelines import pipeline

__all__ = ["Translation", "Translator", "__version__", "pipeline"]


def __getattr__(name: str) -> object:
    if name == "Translation":
        from clearhead.decoding.translator import Translation

        return Translation
    if name == "Translator":
        from clearhead.inspection.translator import Translator

        return Translator
    if name == "pipeline":
        from clearhead.pipelines import pipeline

        return pipeline
    raise AttributeError(f"module 'clearhead' has no attribute {name!r}")
