"""What of a config is about text: its sources, and how it becomes tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from clearhead.config.section import NonNegative, Positive, Probability, Section

Column = NonNegative | Annotated[str, Field(min_length=1)]
"""A column of a TSV: its number, from 0, or its name in the first line, which then is a header."""


class SourceOptions(Section):
    """What every kind of source has."""

    weight: Annotated[float, Field(gt=0.0)] = 1.0
    """How often each pair is drawn in an epoch: 2.0 twice, 0.5 in every second epoch on average."""
    tag: str = ""
    """Name of a language tag put in front of the source sentence, for example "2de"; empty for none."""


class ParallelFiles(SourceOptions):
    """Two aligned files: line i of one belongs to line i of the other. Plain or gzip."""

    src: str
    """Path of the source-language file, relative to ``data.root``."""
    tgt: str
    """Path of the target-language file, relative to ``data.root``."""


class TsvColumns(SourceOptions):
    """Two columns of a tab-separated file. Plain or gzip."""

    tsv: str
    """Path of the file, relative to ``data.root``."""
    src_column: Column = 0
    """The source column."""
    tgt_column: Column = 1
    """The target column."""
    header: bool = False
    """Whether the first line names the columns; it does where a column is named."""


class BuiltIn(SourceOptions):
    """A corpus that comes with the package."""

    builtin: Literal["starter-ko-en", "starter-en-ko"]
    """Name of the corpus and its direction."""
    split: Literal["train", "valid", "test"] = "train"
    """Which part of it."""


class TextFile(SourceOptions):
    """A file with a text on each line, for tasks on single texts. Plain or gzip."""

    text: str
    """Path of the file, relative to ``data.root``."""


class TsvTexts(SourceOptions):
    """Texts, alone or in twos, and their labels as columns of a tab-separated file. Plain or gzip."""

    tsv: str
    """Path of the file, relative to ``data.root``."""
    text_column: Column
    """The text's column."""
    second_column: Column | None = None
    """The second text's column where two texts are classified together."""
    label_column: Column | None = None
    """The label's column."""
    header: bool = False
    """Whether the first line names the columns; it does where a column is named."""
    labels: dict[str, str] = Field(default={})
    """What the file's labels are called in the run ({"0": "NEGATIVE"}); one that is not named here keeps its name."""


SOURCES: dict[str, type[SourceOptions]] = {
    "files": ParallelFiles, "tsv": TsvColumns, "builtin": BuiltIn, "text": TextFile, "texts": TsvTexts,
}  # fmt: skip


def _source_kind(value: Any) -> str:
    keys = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
    if "tsv" in keys:
        return "texts" if "text_column" in keys else "tsv"
    return next((kind for kind in ("builtin", "text") if kind in keys), "files")


Source = Annotated[
    Annotated[ParallelFiles, Tag("files")]
    | Annotated[TsvColumns, Tag("tsv")]
    | Annotated[BuiltIn, Tag("builtin")]
    | Annotated[TextFile, Tag("text")]
    | Annotated[TsvTexts, Tag("texts")],
    Discriminator(_source_kind),
]


class Languages(Section):
    """The languages of the run as BCP-47 tags."""

    src: str = "und"
    tgt: str = "und"


class DataConfig(Section):
    """Which text is trained on."""

    root: str = "."
    """Folder that the sources' paths start from; may name environment variables ("$CLEARHEAD_DATA/multi30k")."""
    sources: tuple[Source, ...] = ()
    """The training corpora, mixed by weight."""
    valid: tuple[Source, ...] = ()
    """The validation corpora; where none is given, ``holdout`` pairs are taken out of training."""
    holdout: Positive = 1000
    """How many training pairs (at most a twentieth of them) become validation where ``valid`` is empty."""
    max_tokens: Positive = 256
    """A pair with a longer side is dropped and counted; in tokens as the model sees them, eos and tag included. At most
    ``model.max_positions``."""
    max_ratio: Annotated[float, Field(ge=0.0)] = 0.0
    """A pair whose longer side has more than this many times the shorter side's tokens is dropped; 0 keeps all."""
    long_texts: Literal["cut", "drop"] = "cut"
    """What becomes of a single text of more than ``max_tokens``; either is counted. Pairs are always dropped."""
    subword_dropout: Probability = 0.0
    """Subword regularisation: in training each token is split with this probability into the two that it was merged
    from, and those again, anew in every epoch; for translation and classification. ``training.batch_tokens`` counts
    what there was before."""
    skip_bad_lines: bool = False
    """Whether a line that is not UTF-8 or is absurdly long is dropped and counted, where it would be an error."""


class TokenizerConfig(Section):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "characters", "imported"] = "bpe"
    """Subword model, or single characters; "imported" where it came with the model by clearhead import."""
    vocabulary_size: Annotated[int, Field(ge=325)] = 8000
    """Number of tokens of each vocabulary, the special and the byte ones included; of characters at most so many."""
    joint: bool = True
    """One vocabulary for both languages; needed where embeddings are tied three ways."""
    decoder_start: Literal["bos", "eos", "pad"] = "bos"
    """The special token that a decoder starts from (its id is ``decoder_start_id``, apart from ``bos_id``)."""
