"""What of a config is a model: one class a kind, and sizes by name."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from clearhead.config.section import NonNegative, Positive, Probability, Section

# More of either would be a config from elsewhere that is to cost memory, even without weights.
Layers = Annotated[int, Field(gt=0, le=1000)]
MaxPositions = Annotated[int, Field(gt=0, le=131_072)]
Activation = Literal["relu", "gelu", "gelu-tanh", "silu", "swiglu"]
Positions = Literal["sinusoidal", "sinusoidal-halves", "learned", "none", "counted", "normalised"]


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
    max_positions: MaxPositions = 1024
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
    max_positions: MaxPositions = 1024
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
    max_positions: MaxPositions = 512
    attention_dropout: Probability = 0.1
    segments: NonNegative = 2
    """How many kinds of segments have a vector of their own, added to the token's; 0 for none."""
    head: Literal["masked", "pooler", "none"] = "masked"
    """What stands on the encoder: what foretells hidden tokens, a pooler for classifiers to start from, or nothing."""
    scale_embedding: ClassVar[bool] = False

    @property
    def embedding_norm(self) -> bool:
        """Whether the sum of embeddings is normalised; a pre-norm stack does that by itself."""
        return self.norm == "post"


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
    scale_embedding: ClassVar[bool] = False
    embedding_norm: ClassVar[bool] = False


class NgramConfig(Section):
    """What runs of tokens say about the label by themselves (Wang and Manning 2012)."""

    longest: NonNegative = 0
    """The longest run, in tokens; 0: none."""
    buckets: Positive = 1_048_576
    """How many places there are; where a run finds none, more frequent ones stand there."""
    min_count: Positive = 2
    """In how many texts a run must stand."""


class BagConfig(Section):
    """The tokens' vectors as they are: no order, no context."""

    kind: Literal["bag"] = "bag"
    d_model: Positive = 128
    """Width of the vectors."""
    max_positions: MaxPositions = 512
    """The longest text, in tokens."""
    dropout: Probability = 0.1
    """Dropout on the vectors."""


class RecurrentEncoderConfig(RecurrentStackConfig):
    """Recurrent layers that read a text."""

    kind: Literal["recurrent-encoder"] = "recurrent-encoder"


class ClassifierConfig(Section):
    """A text's label, from what a body says of its tokens."""

    kind: Literal["classifier"] = "classifier"
    body: Annotated[EncoderConfig | RecurrentEncoderConfig | BagConfig, Field(discriminator="kind")] = EncoderConfig()
    """What reads the text."""
    ngram_evidence: NgramConfig = NgramConfig()
    """Runs of tokens that speak for the labels by themselves, beside the body (Cheng et al. 2016)."""
    labels: tuple[str, ...] = ()
    """The labels' names; empty: those that the training corpus has, in the order of their names."""
    pooling: Literal["first", "mean", "root", "max", "final"] = "first"
    """What of the tokens' vectors becomes the text's: the first token's, their mean, their sum divided by the root
    of their number, each number's maximum; or the state that recurrent layers end in."""
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
