"""One run, whole: its data and its model, how it learns, how it is used."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from clearhead.config.data import DataConfig, Languages, TokenizerConfig
from clearhead.config.models import ModelConfig, TransformerConfig
from clearhead.config.section import NonNegative, Positive, Probability, Section

FORMAT: Final = 1


class TrainingConfig(Section):
    """How the weights are learnt."""

    seed: NonNegative = 1
    """All randomness is a pure function of this, the purpose, and the step or pair."""
    init_from: tuple[str, ...] = ()
    """Run folders whose weights are taken where they fit, and whose tokenizers are used: an encoder for a classifier,
    an encoder and a decoder for a translator. The first that has what fits gives it; an embedding is one's own
    vocabulary's."""
    freeze: tuple[str, ...] = ()
    """Weights that stay as they are, by patterns of their names ("body.*")."""
    max_steps: Positive = 20_000
    """Updates of the weights; training ends here at the latest."""
    max_minutes: Annotated[float, Field(ge=0.0)] = 0.0
    """Training ends after so many minutes of updates, validations and checkpoints not counted; 0 for never. What comes
    out then depends on the machine's speed."""
    batch_tokens: Positive = 4096
    """Size of an update: rows times the longest side, over all processes and micro-batches. Part of the result."""
    micro_batch_tokens: Positive | Literal["auto"] = "auto"
    """What one process holds at once, counted the same way. Changes nothing but rounding, and which elements dropout
    hits."""
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
    """Number format of the arithmetic; auto takes bf16 where the processor or the GPU multiplies it faster."""
    validate_every: Positive = 1000
    """Steps between validations."""
    mask_whole_words: bool = False
    """Whether a masked language model is asked whole words."""
    balance_classes: bool = False
    """Whether a text of a rare class counts as much more as its class is rarer."""
    class_weights: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default={})
    """How much a text of a class counts, by its label ({"NEGATIVE" = 2.0}); 1 where none is named."""
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
    """Steps between progress events; the last one comes with the end."""


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
        if self.data.subword_dropout and self.task not in ("translation", "classification"):
            raise ValueError(f"task = {self.task!r} has no data.subword_dropout; set it to 0")
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
