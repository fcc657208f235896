"""What one run is: typed, documented, frozen fields, with every default in this one place.

A recipe (TOML) says what differs from the defaults; the run folder's ``run.toml`` holds the whole resolved config, so
that a run can be repeated whatever the defaults become later.
"""

from __future__ import annotations

import copy
import difflib
import os
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from clearhead.errors import ConfigError, RunError

FORMAT: Final = 1
Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Layers = Annotated[int, Field(gt=0, le=1000)]
"""More would be a config from elsewhere that is to cost memory, even without weights."""
Activation = Literal["relu", "gelu", "gelu-tanh", "silu", "swiglu"]
Positions = Literal["sinusoidal", "sinusoidal-halves", "learned", "none", "counted", "normalised"]


class Section(BaseModel):
    """A table of the config: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# --- data ---------------------------------------------------------------------------------------------------------


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
    src_column: NonNegative = 0
    """Number of the source column, from 0."""
    tgt_column: NonNegative = 1
    """Number of the target column, from 0."""
    header: bool = False
    """Whether the first line names the columns."""


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
    text_column: NonNegative
    """Number of the text's column, from 0."""
    second_column: NonNegative | None = None
    """Number of the second text's column where two texts are classified together."""
    label_column: NonNegative | None = None
    """Number of the label's column."""
    header: bool = False
    """Whether the first line names the columns."""
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
    skip_bad_lines: bool = False
    """Whether a line that is not UTF-8 or is absurdly long is dropped and counted, where it would be an error."""


class TokenizerConfig(Section):
    """How text becomes tokens."""

    kind: Literal["bpe", "unigram", "characters", "imported"] = "bpe"
    """Subword model, or single characters; "imported" where it came with the model by clearhead import."""
    vocabulary_size: Annotated[int, Field(ge=330)] = 8000
    """Number of tokens of each vocabulary, the special and the byte ones included; of characters at most so many."""
    joint: bool = True
    """One vocabulary for both languages; needed where embeddings are tied three ways."""
    decoder_start: Literal["bos", "eos", "pad"] = "bos"
    """The special token that a decoder starts from (its id is ``decoder_start_id``, apart from ``bos_id``)."""


# --- models -------------------------------------------------------------------------------------------------------


class StackConfig(Section):
    """What every stack of Transformer layers has."""

    d_model: Positive = 512
    """Width of embeddings and sublayer outputs."""
    d_ff: Positive = 2048
    """Inner width of the position-wise feed-forward network."""
    n_heads: Positive = 8
    """Number of attention heads; d_k = d_v = d_model / n_heads."""
    norm: Literal["post", "pre", "none", "batch"] = "post"
    """Where layer normalisation sits: after the residual sum (the paper) or before the sublayer. An encoder-decoder may
    do without, or with batch normalisation after the sum (then micro-batches are part of the result)."""
    norm_epsilon: Annotated[float, Field(gt=0.0)] = 1e-5
    """What layer normalisation adds to the variance."""
    activation: Activation = "relu"
    """The feed-forward network's non-linearity; "gelu-tanh" is GPT's approximation."""
    positions: Positions = "sinusoidal"
    """Sines and cosines in turn (the paper), all sines before all cosines (Marian), or learned vectors; to see what
    they are for, none, or the position's number in the first coordinate, as it is or over ``max_positions``."""
    max_positions: Positive = 1024
    """The longest sequence, in tokens, that the model takes."""
    dropout: Probability = 0.1
    """Dropout on every sublayer's output and on the sum of embeddings and positions."""
    attention_dropout: Probability = 0.0
    """Dropout on the attention weights."""
    feed_forward_dropout: Probability = 0.0
    """Dropout after the feed-forward network's activation."""

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.d_model % self.n_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of n_heads {self.n_heads}")
        return self


class TransformerConfig(StackConfig):
    """The encoder-decoder Transformer of "Attention Is All You Need"; the defaults are the paper's base model."""

    kind: Literal["transformer"] = "transformer"
    n_encoder_layers: Layers = 6
    n_decoder_layers: Layers = 6
    residual: bool = True
    """Whether a sublayer's input is added to its output; False to see what that is for."""
    attention_scale: bool = True
    """Whether scores of attention are divided by sqrt(d_k); False to see what that is for."""
    causal_mask: bool = True
    """Whether in training a target position is kept from seeing later ones; False to see a model cheat: it sees the
    words that it is to foretell, and in decoding there are none."""
    tie: Literal["three-way", "two-way", "none"] = "three-way"
    """Which share one matrix: both embeddings and the output (three-way), target embedding and output (two-way)."""
    scale_embedding: bool = True
    """Whether embeddings are multiplied by sqrt(d_model)."""
    embedding_norm: bool = False
    """Whether the sum of embeddings and positions is normalised, as in BART."""
    output_bias: bool = False
    """Whether each token of the output has a bias, as in Marian."""


class RecurrentStackConfig(Section):
    """What every stack of recurrent layers over a text has."""

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent layers: LSTM, GRU, or Elman's network."""
    d_model: Positive = 512
    """Width of embeddings, states and hidden vectors."""
    n_layers: Layers = 2
    """Layers of the encoder, and of the decoder, which start from the encoder's last states."""
    direction: Literal["both", "forward", "backward"] = "both"
    """How the encoder reads: from the start, the end (Sutskever et al. 2014), or both ways, half of d_model each."""
    max_positions: Positive = 1024
    """The longest sequence, in tokens, that the model takes."""
    dropout: Probability = 0.2
    """Dropout on what goes into each layer, and on what is projected to the vocabulary."""

    @model_validator(mode="after")
    def _both_ways_halve_the_width(self) -> Self:
        if self.direction == "both" and self.d_model % 2:
            raise ValueError(f'd_model {self.d_model} is odd; direction = "both" gives half of it to each direction')
        return self


class RecurrentConfig(RecurrentStackConfig):
    """A recurrent encoder and decoder, with attention or without; the defaults are what is fast, no paper's model."""

    kind: Literal["recurrent"] = "recurrent"
    attention: Literal["general", "dot", "additive", "none"] = "general"
    """How a state s scores the memory h: s W h or s h (both Luong et al. 2015), or v tanh(W s + U h) (Bahdanau et al.
    2015); with "none" the decoder knows nothing but the encoder's last states."""
    attends: Literal["after", "input-feeding", "before"] = "after"
    """When: after a step; after it, and what comes out is fed into the next one (Luong et al. 2015); or before it, with
    the state so far (Bahdanau et al. 2015). The last two learn position by position, which is slower."""
    tie: Literal["three-way", "two-way", "none"] = "three-way"
    """Which share one matrix: both embeddings and the output (three-way), target embedding and output (two-way)."""

    @model_validator(mode="after")
    def _attends_to_something(self) -> Self:
        if self.attention == "none" and self.attends != "after":
            raise ValueError(f'attends = {self.attends!r} needs an attention; set attention, or attends = "after"')
        return self


class EncoderConfig(StackConfig):
    """An encoder alone, as BERT (Devlin et al. 2019); the defaults are its base model."""

    kind: Literal["encoder"] = "encoder"
    d_model: Positive = 768
    d_ff: Positive = 3072
    n_heads: Positive = 12
    n_layers: Layers = 12
    norm: Literal["post", "pre"] = "post"
    norm_epsilon: Annotated[float, Field(gt=0.0)] = 1e-12
    activation: Activation = "gelu"
    positions: Positions = "learned"
    max_positions: Positive = 512
    attention_dropout: Probability = 0.1
    segments: NonNegative = 2
    """How many kinds of segments have a vector of their own, added to the token's; 0 for none."""
    head: Literal["masked", "pooler", "none"] = "masked"
    """What stands on the encoder: what foretells hidden tokens, a pooler for classifiers to start from, or nothing."""


class DecoderConfig(StackConfig):
    """A decoder alone, as GPT; the defaults are the small model of GPT-2 (Radford et al. 2019)."""

    kind: Literal["decoder"] = "decoder"
    d_model: Positive = 768
    d_ff: Positive = 3072
    n_heads: Positive = 12
    n_layers: Layers = 12
    norm: Literal["post", "pre"] = "pre"
    activation: Activation = "gelu-tanh"
    positions: Positions = "learned"
    attention_dropout: Probability = 0.1
    band: NonNegative = 0
    """Every second layer attends to so many last positions only (GPT-3, Brown et al. 2020); 0: all attend to all."""


class NgramConfig(Section):
    """Vectors of runs of tokens, beside those of the tokens (Joulin et al. 2017); a run's place is its hash."""

    longest: Positive = 1
    """The longest run that has a vector, in tokens; 1: none but the tokens themselves."""
    buckets: Positive = 65_536
    """How many places there are; runs that share one share its vector."""
    width: Positive = 32
    """Width of the vectors; the sum of those that end at a token is projected to the body's width."""


class BagConfig(Section):
    """The mean of the tokens' vectors: no order but that of n-grams, no context."""

    kind: Literal["bag"] = "bag"
    ngrams: NgramConfig = NgramConfig()
    d_model: Positive = 128
    """Width of the vectors."""
    max_positions: Positive = 512
    """The longest text, in tokens."""
    dropout: Probability = 0.1
    """Dropout on the vectors."""


class RecurrentEncoderConfig(RecurrentStackConfig):
    """Recurrent layers that read a text."""

    kind: Literal["recurrent-encoder"] = "recurrent-encoder"
    ngrams: NgramConfig = NgramConfig()


class ClassifierConfig(Section):
    """A text's label, from what a body says of its tokens."""

    kind: Literal["classifier"] = "classifier"
    body: Annotated[EncoderConfig | RecurrentEncoderConfig | BagConfig, Field(discriminator="kind")] = EncoderConfig()
    """What reads the text."""
    ngrams: NgramConfig = NgramConfig()
    """Runs of tokens that speak for the labels by themselves, beside the body (Cheng et al. 2016)."""
    labels: tuple[str, ...] = ()
    """The labels' names; empty: those that the training corpus has, in the order of their names."""
    pooling: Literal["first", "mean", "max", "final"] = "first"
    """What of the tokens' vectors becomes the text's: the first token's, their mean, each number's maximum; or the
    state that recurrent layers end in."""
    pooler: bool = True
    """One more layer before the labels, as BERT has it."""
    pooler_activation: Literal["tanh", "relu"] = "tanh"
    """Its non-linearity; DistilBERT's is ReLU."""
    dropout: Probability = 0.1
    """Dropout on the text's vector."""

    @model_validator(mode="after")
    def _pools_what_has_read_the_text(self) -> Self:
        recurrent = self.body.kind == "recurrent-encoder"
        if self.pooling == "final" and not recurrent:
            raise ValueError(f"pooling = 'final' needs recurrent layers, not body.kind = {self.body.kind!r}")
        if self.pooling == "first" and recurrent:
            raise ValueError("pooling = 'first' is a token that has not read on; set it to 'final', 'mean' or 'max'")
        return self

    @property
    def d_model(self) -> int:
        """Width of the body."""
        return self.body.d_model

    @property
    def max_positions(self) -> int:
        """The longest text, in tokens."""
        return self.body.max_positions


def _model_kind(value: Any) -> str:
    kind = value.get("kind", "transformer") if isinstance(value, dict) else getattr(value, "kind", None)
    return str(kind)


MODELS: dict[str, type[Section]] = {
    "transformer": TransformerConfig, "recurrent": RecurrentConfig, "encoder": EncoderConfig,
    "decoder": DecoderConfig, "classifier": ClassifierConfig, "bag": BagConfig,
    "recurrent-encoder": RecurrentEncoderConfig,
}  # fmt: skip

ModelConfig = Annotated[
    Annotated[TransformerConfig, Tag("transformer")]
    | Annotated[RecurrentConfig, Tag("recurrent")]
    | Annotated[EncoderConfig, Tag("encoder")]
    | Annotated[DecoderConfig, Tag("decoder")]
    | Annotated[ClassifierConfig, Tag("classifier")],
    Discriminator(_model_kind),
]

PRESETS: dict[str, dict[str, Any]] = {
    "paper-base": {},
    "paper-big": {"d_model": 1024, "d_ff": 4096, "n_heads": 16, "dropout": 0.3},
    "small": {"d_model": 256, "d_ff": 1024, "n_heads": 4, "n_encoder_layers": 3, "n_decoder_layers": 3},
    "tiny": {
        "d_model": 128, "d_ff": 256, "n_heads": 4, "n_encoder_layers": 4, "n_decoder_layers": 4,
        "dropout": 0.3, "attention_dropout": 0.1, "feed_forward_dropout": 0.1,
    },
    "starter": {"d_model": 128, "d_ff": 256, "n_heads": 4, "n_encoder_layers": 2, "n_decoder_layers": 2},
}  # fmt: skip
"""Sizes by name, as what differs from TransformerConfig's defaults. "tiny" is that of Wu et al. 2021."""

RECURRENT_PRESETS: dict[str, dict[str, Any]] = {
    "small": {"d_model": 256},
    "tiny": {"d_model": 128, "dropout": 0.3},
    "starter": {"d_model": 128, "n_layers": 1},
}
"""Sizes by name, as what differs from RecurrentConfig's defaults: as wide as the Transformers of these names."""

ENCODER_PRESETS: dict[str, dict[str, Any]] = {
    "bert-base": {},
    "bert-large": {"d_model": 1024, "d_ff": 4096, "n_heads": 16, "n_layers": 24},
    "bert-small": {"d_model": 512, "d_ff": 2048, "n_heads": 8, "n_layers": 4},
    "bert-mini": {"d_model": 256, "d_ff": 1024, "n_heads": 4, "n_layers": 4},
    "bert-tiny": {"d_model": 128, "d_ff": 512, "n_heads": 2, "n_layers": 2},
}
"""What differs from EncoderConfig's defaults. The small ones are those of Turc et al. 2019."""

DECODER_PRESETS: dict[str, dict[str, Any]] = {
    "gpt-1": {"norm": "post", "max_positions": 512},
    "gpt-2": {},
    "gpt-2-medium": {"d_model": 1024, "d_ff": 4096, "n_heads": 16, "n_layers": 24},
    "gpt-2-large": {"d_model": 1280, "d_ff": 5120, "n_heads": 20, "n_layers": 36},
    "gpt-2-xl": {"d_model": 1600, "d_ff": 6400, "n_heads": 25, "n_layers": 48},
    "gpt-3-small": {"max_positions": 2048, "band": 256},
    "gpt-3": {"d_model": 12288, "d_ff": 49152, "n_heads": 96, "n_layers": 96, "max_positions": 2048, "band": 256},
}
"""What differs from DecoderConfig's defaults. GPT-3's width of the bands is not published: 256 is a choice."""

ALL_PRESETS: dict[str, dict[str, Any]] = {
    **PRESETS,
    **{name: {"kind": "encoder", **preset} for name, preset in ENCODER_PRESETS.items()},
    **{name: {"kind": "decoder", **preset} for name, preset in DECODER_PRESETS.items()},
}


# --- training -----------------------------------------------------------------------------------------------------


class TrainingConfig(Section):
    """How the weights are learnt."""

    seed: NonNegative = 1
    """All randomness is a pure function of this, the purpose, and the step or pair."""
    init_from: tuple[str, ...] = ()
    """Run folders whose weights are taken where they fit, and whose tokenizers are used: an encoder for a classifier,
    an encoder and a decoder for a translator. What a later one has overrules what an earlier one has."""
    freeze: tuple[str, ...] = ()
    """Weights that stay as they are, by patterns of their names ("body.*")."""
    max_steps: Positive = 20_000
    """Updates of the weights; training ends here at the latest."""
    max_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Training ends after so many minutes of updates, validations and checkpoints not counted; 0 for never."""
    batch_tokens: Positive = 4096
    """Size of an update: rows times the longest side, over all processes and micro-batches. Part of the result."""
    micro_batch_tokens: Positive | Literal["auto"] = "auto"
    """What one process holds at once, counted the same way. Not part of the result."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work: each holds the whole model, or a part of it. Not part of the result."""
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Annotated[float, Field(gt=0.0)] = 1.0
    """The schedule's peak; for the "paper" schedule a factor on equation 3."""
    betas: tuple[Probability, Probability] = (0.9, 0.98)
    epsilon: Annotated[float, Field(gt=0.0)] = 1e-9
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """Decoupled for adamw, added to the gradient for adam."""
    schedule: Literal["paper", "inverse-sqrt", "cosine", "warmup-stable-decay", "constant"] = "paper"
    warmup_steps: NonNegative = 4000
    decay_steps: NonNegative = 0
    """Length of the last, falling part of "warmup-stable-decay"."""
    label_smoothing: Probability = 0.1
    clip_norm: Annotated[float, Field(ge=0.0)] = 1.0
    """The gradient's norm is scaled down to this; 0 for never."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the arithmetic; auto takes bf16 where the processor has AMX or the GPU supports it."""
    validate_every: Positive = 1000
    """Steps between validations."""
    mask_whole_words: bool = False
    """Whether a masked language model is asked whole words."""
    balance_classes: bool = False
    """Whether a text of a rare class counts as much more as its class is rarer."""
    validate_metric: Literal["loss", "bleu", "chrf", "accuracy", "f1"] = "loss"
    """What chooses the best checkpoint and stops early."""
    validate_sentences: Positive = 1000
    """How many validation sentences are decoded (greedily) where the metric needs text, and for the samples."""
    patience: NonNegative = 0
    """Stop after so many validations in a row without a better one; 0 for never."""
    checkpoint_every: Positive = 1000
    """Steps between checkpoints."""
    keep_last: Positive = 2
    """How many of the last checkpoints stay on disk; at least ``average_last`` are kept."""
    average_last: NonNegative = 0
    """The run's weights are the mean of so many last checkpoints; 0: the best checkpoint by ``validate_metric``."""
    log_every: Positive = 50
    """Steps between progress events."""


# --- use ----------------------------------------------------------------------------------------------------------


class DecodingConfig(Section):
    """How a translation is searched for."""

    beam_size: Positive = 4
    """1 is greedy search."""
    length_penalty: Annotated[float, Field(ge=0.0)] = 0.6
    """Alpha of the GNMT length penalty ((5 + length) / 6) ** alpha."""
    n_best: Positive = 1
    """How many hypotheses are given back; at most ``beam_size``."""
    max_extra_tokens: NonNegative = 50
    """A translation has at most this many tokens more than its source (Vaswani et al. 2017, section 6.1)."""
    max_tokens: Positive | None = None
    """A limit of one's own on top of that."""
    exhaustive: bool = False
    """Search on until no live hypothesis could still win, where the default stops when none would win as it stands."""
    sampling: bool = False
    """Draw tokens instead of searching."""
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    top_k: NonNegative = 0
    """Sample among this many likeliest tokens; 0 for all."""
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """Sample among the fewest tokens whose probabilities sum to this."""
    seed: NonNegative = 1
    """Seed of the sampling; a sentence's draw depends on it and the sentence's place alone."""
    batch_tokens: Positive = 4096
    """Source tokens times beams decoded at once."""
    long_source: Literal["split", "refuse"] = "split"
    """What happens to a source longer than the model's limit: split at sentence ends, or refused. Never cut."""


class EvaluationConfig(Section):
    """How translations are scored (sacreBLEU's names)."""

    tokenize: Literal["13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none", "auto"] = "auto"
    """BLEU's tokeniser; auto: by the target language (ko: ko-mecab if installed), else 13a."""
    lowercase: bool = False
    """Score case-insensitively."""


class RunConfig(Section):
    """One run, whole."""

    format: Literal[1] = FORMAT
    """Revision of the run folder's format."""
    clearhead: str = ""
    """The version that wrote it."""
    task: Literal["translation", "classification", "masked-language-model", "language-model"] = "translation"
    """What is learnt; it decides which kinds of model and which ``validate_metric`` there are."""
    languages: Languages = Languages()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = TransformerConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _three_way_needs_one_vocabulary(self) -> RunConfig:
        separate = not self.tokenizer.joint and self.tokenizer.kind != "imported"  # those share their ids as they say
        if getattr(self.model, "tie", "") == "three-way" and separate:
            raise ValueError(
                'model.tie = "three-way" needs one vocabulary; set tokenizer.joint = true or tie = "two-way"'
            )
        return self

    @model_validator(mode="after")
    def _task_model_and_metric_belong_together(self) -> RunConfig:
        kinds, metrics = TASKS[self.task]
        if self.model.kind not in kinds:
            raise ValueError(f"task = {self.task!r} needs model.kind = {_or(kinds)}, not {self.model.kind!r}")
        if self.training.validate_metric not in metrics:
            raise ValueError(
                f"task = {self.task!r} needs training.validate_metric = {_or(metrics)}, "
                f"not {self.training.validate_metric!r}"
            )
        if self.task != "translation" and not self.tokenizer.joint:
            raise ValueError(f"task = {self.task!r} has one language; set tokenizer.joint = true")
        return self


TASKS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "translation": (("transformer", "recurrent"), ("loss", "bleu", "chrf")),
    "classification": (("classifier",), ("loss", "accuracy", "f1")),
    "masked-language-model": (("encoder",), ("loss",)),
    "language-model": (("decoder",), ("loss",)),
}
"""Which kinds of model a task is learnt by, and which metrics its validation has."""


def _or(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))


# --- reading ------------------------------------------------------------------------------------------------------


def read_config(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> RunConfig:
    """Read a recipe or a run.toml and apply ``key=value`` overrides (TOML values, dotted keys).

    Raises:
        ConfigError: not TOML, an unknown key (with the nearest name), a value out of range.
        RunError: the file cannot be read.
    """
    return make_config(read_toml(path), overrides, where=str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file as nested tables.

    Raises:
        ConfigError: not TOML.
        RunError: the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror) from error
    except UnicodeDecodeError as error:
        raise ConfigError("bad-toml", where=path, problem="not UTF-8") from error
    except (ValueError, RecursionError) as error:  # TOMLDecodeError; too many digits; nested too deep
        raise ConfigError("bad-toml", where=path, problem=error) from error


def make_config(table: dict[str, Any], overrides: list[str] | tuple[str, ...] = (), where: str = "config") -> RunConfig:
    """Turn a nested table into a RunConfig: preset filled in, overrides applied, every key checked.

    Raises:
        ConfigError: an unknown key (with the nearest name), a value out of range, an override that is not key=value.
    """
    table = copy.deepcopy(table)  # the caller's stays as it is
    for override in overrides:
        _apply(table, override)
    table = _with_preset(table, where)
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        raise _as_config_error(error, where) from error


def with_overrides(config: RunConfig, overrides: list[str] | tuple[str, ...]) -> RunConfig:
    """Return ``config`` with ``key=value`` overrides applied."""
    return make_config(config.model_dump(exclude_none=True), overrides, where="--set")


def resolved(config: RunConfig) -> RunConfig:
    """Return ``config`` as a run folder keeps it: ``data.root`` expanded, ``data.max_tokens`` what the model takes.

    Raises:
        ConfigError: ``data.root`` names a variable that is not set.
    """
    limit = min(config.data.max_tokens, config.model.max_positions)
    data = config.data.model_copy(update={"root": expand_root(config.data.root), "max_tokens": limit})
    return config.model_copy(update={"data": data})


def expand_root(root: str) -> str:
    """Return ``data.root`` with ~ and environment variables filled in.

    Raises:
        ConfigError: a variable is not set.
    """
    for name in re.findall(r"\$\{?(\w+)\}?", root):
        if name not in os.environ:
            raise ConfigError("unset-variable", where="data.root", value=root, name=name)
    return os.path.expanduser(os.path.expandvars(root))


def _apply(table: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError("bad-set", value=override)
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()  # a bare word is a string: --set model.norm=pre
    for name in names[:-1]:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError("bad-set", value=override)
    table[names[-1]] = parsed


def _with_preset(table: dict[str, Any], where: str, key: str = "model") -> dict[str, Any]:
    """Return ``table`` with the preset that the model at its last ``key``, and that one's body, may name filled in."""
    model = table.get(key.rpartition(".")[2])
    if not isinstance(model, dict):
        return table
    presets = RECURRENT_PRESETS if model.get("kind") == "recurrent" else ALL_PRESETS
    rest = {key: value for key, value in model.items() if key != "preset"}
    if "preset" in model:
        name = model["preset"]
        if name not in presets:
            problem = _one_of(name, list(presets))
            raise ConfigError("bad-value", where=where, key=f"{key}.preset", value=name, problem=problem)
        rest = {**presets[name], **rest}
    return {**table, key.rpartition(".")[2]: _with_preset(rest, where, f"{key}.body")}


def _as_config_error(error: ValidationError, where: str) -> ConfigError:
    first = error.errors(include_url=False)[0]
    place = _place(first["loc"])
    key = ".".join(place) or "config"
    if first["type"] == "extra_forbidden":
        return ConfigError("unknown-key", where=where, key=key, nearest=_nearest(first["loc"]))
    if first["type"] == "union_tag_invalid":
        kinds = re.findall(r"'([^']+)'", first["ctx"]["expected_tags"])
        problem, value = _one_of(first["ctx"]["tag"], kinds), first["ctx"]["tag"]
        return ConfigError("bad-value", where=where, key=f"{key}.kind", value=value, problem=problem)
    message = first["msg"].removeprefix("Value error, ")
    return ConfigError("bad-value", where=where, key=key, value=_shown(first["input"]), problem=message)


def _shown(value: Any) -> Any:
    return "..." if isinstance(value, (dict, BaseModel)) else value


def _place(loc: tuple[int | str, ...]) -> list[str]:
    """Return the keys on the way to a place, without the names of the kinds that pydantic puts between them."""
    kinds: dict[str, Collection[object]] = {"sources": SOURCES, "valid": SOURCES, "model": MODELS, "body": MODELS}
    found: list[str] = []
    for part in loc:
        last = next((key for key in reversed(found) if not key.isdigit()), "")
        if part not in kinds.get(last, ()):
            found.append(str(part))
    return found


def _nearest(loc: tuple[int | str, ...]) -> str:
    section: Any = RunConfig
    for part in loc[:-1]:
        kinds = SOURCES | MODELS
        if part in kinds:
            section = kinds[part]
        elif not isinstance(part, int) and part in section.model_fields:
            annotation = section.model_fields[part].annotation
            section = annotation if isinstance(annotation, type) else section
    names = [*section.model_fields, *(["preset"] if section in MODELS.values() else [])]
    close = difflib.get_close_matches(str(loc[-1]), names, n=1, cutoff=0.0)
    return ".".join([*_place(loc[:-1]), close[0]])


def _one_of(value: object, names: list[str]) -> str:
    close = difflib.get_close_matches(str(value), names, n=1, cutoff=0.0)[0]
    return f"one of {', '.join(names)}; the nearest is {close!r}"
