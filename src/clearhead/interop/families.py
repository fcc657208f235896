"""What other libraries' models are in our terms: one table of settings and one of names for each family.

Each was read off the published weights' config.json and model.safetensors.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clearhead.interop.mapping import AS_IS, ONE_ROW, THIRDS, TRANSPOSED, Row, behind

ACTIVATIONS = {
    "relu": "relu", "gelu": "gelu", "gelu_new": "gelu-tanh", "gelu_pytorch_tanh": "gelu-tanh", "gelu_fast": "gelu-tanh",
    "silu": "silu", "swish": "silu",
}  # fmt: skip
"""Their names of the activations and ours; on the way back the first that fits."""

Table = Mapping[str, tuple[str, Any]]
"""A key of their config.json -> ours, and what holds where it is not there."""


@dataclass(frozen=True)
class Head:
    """What may stand on a family's body.

    architecture: its name in config.json, and others that are read as the same.
    form: "masked", "pooler" or "none" (what ``EncoderConfig.head`` says), "classifier", "decoder" or "transformer".
    rows: its tensors; ``{base}`` stands before the names that count as the body's.
    plain: whether a file of it leaves the base away.
    """

    architecture: tuple[str, ...]
    form: str
    rows: Sequence[Row] = ()
    plain: bool = False


@dataclass(frozen=True)
class Family:
    """A family of models.

    name: config.json's ``model_type``.
    base: what the names of the body's tensors begin with where a head stands on it.
    fields: the settings that have a counterpart.
    fixed: what our config says of every model of the family.
    allowed: what our config may say of one, where that is less than all.
    twins: settings that must be alike, for we have one.
    demands: what their config.json must say, where it says anything.
    body: the body's tensors, given how many rows of a position table lie unused in front.
    unused: how many those are, given ``pad_id``; counts_unused: whether their longest length counts them.
    pooler_activation, label_dropout: a classifier's, and how they call its dropout.
    same: names of one and the same tensor, which a file may have once or more; the first is ours.
    ignored: patterns of names that say nothing to a model that does not have them, as Transformers sees it too.
    """

    name: str
    base: str
    fields: Table
    fixed: Mapping[str, Any]
    body: Callable[[int], Sequence[Row]]
    heads: Sequence[Head]
    allowed: Mapping[str, Collection[object]] = field(default_factory=dict)
    twins: Sequence[tuple[str, str]] = ()
    demands: Mapping[str, Collection[object]] = field(default_factory=dict)
    unused: Callable[[int], int] = lambda pad_id: 0
    counts_unused: bool = False
    pooler_activation: str = "tanh"
    label_dropout: str = "classifier_dropout"
    same: Sequence[tuple[str, ...]] = ()
    ignored: Sequence[str] = ()

    def rows(self, head: Head, pad_id: int) -> list[Row]:
        """Return all tensors of a model with ``head``; the body's names begin with ``{base}``."""
        return [*((ours, "{base}" + its, how) for ours, its, how in self.body(self.unused(pad_id))), *head.rows]


# --- encoders -----------------------------------------------------------------------------------------------------


def _layers(ours: str, theirs: str, parts: Mapping[str, str]) -> list[Row]:
    return [(f"{ours}.{mine}.*", f"{theirs}.{its}.*", AS_IS) for mine, its in parts.items()]


BERT_LAYER = {
    "self_attention.w_q": "attention.self.query",
    "self_attention.w_k": "attention.self.key",
    "self_attention.w_v": "attention.self.value",
    "self_attention.w_o": "attention.output.dense",
    "self_attention_residual.norm": "attention.output.LayerNorm",
    "feed_forward.w_1": "intermediate.dense",
    "feed_forward.w_2": "output.dense",
    "feed_forward_residual.norm": "output.LayerNorm",
}

DISTILBERT_LAYER = {
    "self_attention.w_q": "attention.q_lin",
    "self_attention.w_k": "attention.k_lin",
    "self_attention.w_v": "attention.v_lin",
    "self_attention.w_o": "attention.out_lin",
    "self_attention_residual.norm": "sa_layer_norm",
    "feed_forward.w_1": "ffn.lin1",
    "feed_forward.w_2": "ffn.lin2",
    "feed_forward_residual.norm": "output_layer_norm",
}


def _bert_body(unused: int) -> list[Row]:
    return [
        ("body.token_embedding.weight", "embeddings.word_embeddings.weight", AS_IS),
        ("body.positions.table", "embeddings.position_embeddings.weight", behind(unused)),
        ("body.segments.weight", "embeddings.token_type_embeddings.weight", AS_IS),
        ("body.norm.*", "embeddings.LayerNorm.*", AS_IS),
        *_layers("body.encoder.layers.{i}", "encoder.layer.{i}", BERT_LAYER),
    ]


def _distilbert_body(unused: int) -> list[Row]:
    embeddings = [row for row in _bert_body(unused) if row[1].startswith("embeddings.")]
    return [*embeddings, *_layers("body.encoder.layers.{i}", "transformer.layer.{i}", DISTILBERT_LAYER)]


BERT_FIELDS: Table = {
    "hidden_size": ("d_model", 768),
    "intermediate_size": ("d_ff", 3072),
    "num_attention_heads": ("n_heads", 12),
    "num_hidden_layers": ("n_layers", 12),
    "hidden_act": ("activation", "gelu"),
    "max_position_embeddings": ("max_positions", 512),
    "type_vocab_size": ("segments", 2),
    "layer_norm_eps": ("norm_epsilon", 1e-12),
    "hidden_dropout_prob": ("dropout", 0.1),
    "attention_probs_dropout_prob": ("attention_dropout", 0.1),
}
ENCODER = {"kind": "encoder", "norm": "post", "positions": "learned", "feed_forward_dropout": 0.0}
BERT_DEMANDS = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}

POOLER: Row = ("w_pooler.*", "{base}pooler.dense.*", AS_IS)

BERT = Family(
    name="bert",
    base="bert.",
    fields=BERT_FIELDS,
    fixed=ENCODER,
    allowed={"segments": (1, 2, 3, 4)},
    demands=BERT_DEMANDS,
    body=_bert_body,
    heads=(
        Head(
            ("BertForMaskedLM", "BertForPreTraining"),
            "masked",
            (
                ("w_transform.*", "cls.predictions.transform.dense.*", AS_IS),
                ("transform_norm.*", "cls.predictions.transform.LayerNorm.*", AS_IS),
                ("output_bias", "cls.predictions.bias", AS_IS),
            ),
        ),
        Head(("BertModel",), "pooler", (POOLER,), plain=True),
        Head(("BertModel",), "none", plain=True),
        Head(
            ("BertForSequenceClassification",),
            "classifier",
            (POOLER, ("w_label.*", "classifier.*", AS_IS)),
        ),
    ),
    same=(
        ("embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
        ("cls.predictions.bias", "cls.predictions.decoder.bias"),
    ),
    ignored=(r"embeddings\.position_ids", r"cls\.seq_relationship\..*", r"pooler\..*"),
)

ROBERTA = Family(
    name="roberta",
    base="roberta.",
    fields=BERT_FIELDS,
    fixed=ENCODER,
    allowed={"segments": (1,), "activation": ("gelu",)},
    demands=BERT_DEMANDS | {"hidden_act": ("gelu",)},  # its head has GELU whatever the layers have
    body=_bert_body,
    unused=lambda pad_id: pad_id + 1,  # positions are counted from behind pad_id
    counts_unused=True,
    heads=(
        Head(
            ("RobertaForMaskedLM",),
            "masked",
            (
                ("w_transform.*", "lm_head.dense.*", AS_IS),
                ("transform_norm.*", "lm_head.layer_norm.*", AS_IS),
                ("output_bias", "lm_head.bias", AS_IS),
            ),
        ),
        Head(("RobertaModel",), "pooler", (POOLER,), plain=True),
        Head(("RobertaModel",), "none", plain=True),
        Head(
            ("RobertaForSequenceClassification",),
            "classifier",
            (("w_pooler.*", "classifier.dense.*", AS_IS), ("w_label.*", "classifier.out_proj.*", AS_IS)),
        ),
    ),
    same=(
        ("embeddings.word_embeddings.weight", "lm_head.decoder.weight"),
        ("lm_head.bias", "lm_head.decoder.bias"),
    ),
    ignored=(r"embeddings\.position_ids", r"pooler\..*"),
)

DISTILBERT = Family(
    name="distilbert",
    base="distilbert.",
    fields={
        "dim": ("d_model", 768),
        "hidden_dim": ("d_ff", 3072),
        "n_heads": ("n_heads", 12),
        "n_layers": ("n_layers", 6),
        "activation": ("activation", "gelu"),
        "max_position_embeddings": ("max_positions", 512),
        "dropout": ("dropout", 0.1),
        "attention_dropout": ("attention_dropout", 0.1),
    },
    fixed={**ENCODER, "segments": 0, "norm_epsilon": 1e-12},
    pooler_activation="relu",
    label_dropout="seq_classif_dropout",
    demands={"tie_word_embeddings": (True,)},
    body=_distilbert_body,
    heads=(
        Head(
            ("DistilBertForMaskedLM",),
            "masked",
            (
                ("w_transform.*", "vocab_transform.*", AS_IS),
                ("transform_norm.*", "vocab_layer_norm.*", AS_IS),
                ("output_bias", "vocab_projector.bias", AS_IS),
            ),
        ),
        Head(("DistilBertModel",), "none", plain=True),
        Head(
            ("DistilBertForSequenceClassification",),
            "classifier",
            (("w_pooler.*", "pre_classifier.*", AS_IS), ("w_label.*", "classifier.*", AS_IS)),
        ),
    ),
    same=(("embeddings.word_embeddings.weight", "vocab_projector.weight"),),
    ignored=(r"embeddings\.position_ids",),
)

# --- decoders -----------------------------------------------------------------------------------------------------


def _gpt2_body(unused: int) -> list[Row]:
    layer = "decoder.layers.{i}"
    return [
        ("token_embedding.weight", "wte.weight", AS_IS),
        ("positions.table", "wpe.weight", AS_IS),
        (f"{layer}.self_attention_residual.norm.*", "h.{i}.ln_1.*", AS_IS),
        (f"{layer}.self_attention.w_q.*", "h.{i}.attn.c_attn.*", THIRDS),
        (f"{layer}.self_attention.w_k.*", "h.{i}.attn.c_attn.*", THIRDS),
        (f"{layer}.self_attention.w_v.*", "h.{i}.attn.c_attn.*", THIRDS),
        (f"{layer}.self_attention.w_o.*", "h.{i}.attn.c_proj.*", TRANSPOSED),
        (f"{layer}.feed_forward_residual.norm.*", "h.{i}.ln_2.*", AS_IS),
        (f"{layer}.feed_forward.w_1.*", "h.{i}.mlp.c_fc.*", TRANSPOSED),
        (f"{layer}.feed_forward.w_2.*", "h.{i}.mlp.c_proj.*", TRANSPOSED),
        ("decoder.norm.*", "ln_f.*", AS_IS),
    ]


GPT2 = Family(
    name="gpt2",
    base="transformer.",
    fields={
        "n_embd": ("d_model", 768),
        "n_inner": ("d_ff", None),
        "n_head": ("n_heads", 12),
        "n_layer": ("n_layers", 12),
        "activation_function": ("activation", "gelu_new"),
        "n_positions": ("max_positions", 1024),
        "layer_norm_epsilon": ("norm_epsilon", 1e-5),
        "resid_pdrop": ("dropout", 0.1),
        "attn_pdrop": ("attention_dropout", 0.1),
    },
    fixed={"kind": "decoder", "norm": "pre", "positions": "learned", "band": 0, "feed_forward_dropout": 0.0},
    demands={
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
        "tie_word_embeddings": (True,),
    },
    body=_gpt2_body,
    heads=(Head(("GPT2LMHeadModel",), "decoder"),),
    same=(("wte.weight", "lm_head.weight"),),
    ignored=(r"h\.\d+\.attn\.(bias|masked_bias)",),
)

# --- encoder and decoder ------------------------------------------------------------------------------------------

BART_LAYER = {
    "self_attention.w_q": "self_attn.q_proj",
    "self_attention.w_k": "self_attn.k_proj",
    "self_attention.w_v": "self_attn.v_proj",
    "self_attention.w_o": "self_attn.out_proj",
    "self_attention_residual.norm": "self_attn_layer_norm",
    "feed_forward.w_1": "fc1",
    "feed_forward.w_2": "fc2",
    "feed_forward_residual.norm": "final_layer_norm",
}
BART_CROSS = {
    "cross_attention.w_q": "encoder_attn.q_proj",
    "cross_attention.w_k": "encoder_attn.k_proj",
    "cross_attention.w_v": "encoder_attn.v_proj",
    "cross_attention.w_o": "encoder_attn.out_proj",
    "cross_attention_residual.norm": "encoder_attn_layer_norm",
}


def _bart_body(unused: int) -> list[Row]:
    return [
        ("src_embedding.weight", "shared.weight", AS_IS),
        ("src_positions.table", "encoder.embed_positions.weight", behind(unused)),
        ("tgt_positions.table", "decoder.embed_positions.weight", behind(unused)),
        ("src_norm.*", "encoder.layernorm_embedding.*", AS_IS),
        ("tgt_norm.*", "decoder.layernorm_embedding.*", AS_IS),
        *_layers("encoder.layers.{i}", "encoder.layers.{i}", BART_LAYER),
        *_layers("decoder.layers.{i}", "decoder.layers.{i}", BART_LAYER | BART_CROSS),
    ]


BART_FIELDS: Table = {
    "d_model": ("d_model", 1024),
    "encoder_ffn_dim": ("d_ff", 4096),
    "encoder_attention_heads": ("n_heads", 16),
    "encoder_layers": ("n_encoder_layers", 12),
    "decoder_layers": ("n_decoder_layers", 12),
    "activation_function": ("activation", "gelu"),
    "max_position_embeddings": ("max_positions", 1024),
    "scale_embedding": ("scale_embedding", False),
    "dropout": ("dropout", 0.1),
    "attention_dropout": ("attention_dropout", 0.0),
    "activation_dropout": ("feed_forward_dropout", 0.0),
}
BOTH = {
    **{"kind": "transformer", "norm": "post", "norm_epsilon": 1e-5, "tie": "three-way"},
    **{"residual": True, "attention_scale": True, "causal_mask": True},
}
BART_DEMANDS = {
    "normalize_before": (False,),
    "add_final_layer_norm": (False,),
    "share_encoder_decoder_embeddings": (True,),
    "tie_word_embeddings": (True,),
}
BART_TWINS = (("encoder_ffn_dim", "decoder_ffn_dim"), ("encoder_attention_heads", "decoder_attention_heads"))
BIAS: Row = ("output_bias", "final_logits_bias", ONE_ROW)
EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")

BART = Family(
    name="bart",
    base="model.",
    fields=BART_FIELDS,
    fixed={**BOTH, "positions": "learned", "embedding_norm": True},
    twins=BART_TWINS,
    demands=BART_DEMANDS | {"normalize_embedding": (True,)},
    body=_bart_body,
    unused=lambda pad_id: 2,
    heads=(Head(("BartForConditionalGeneration", "BartModel"), "transformer", (BIAS,)),),
    same=(EMBEDDINGS,),
)

MARIAN = Family(
    name="marian",
    base="model.",
    fields=BART_FIELDS,
    fixed={**BOTH, "positions": "sinusoidal-halves", "embedding_norm": False},
    allowed={"positions": ("sinusoidal-halves", "sinusoidal")},
    twins=BART_TWINS,
    demands=BART_DEMANDS | {"normalize_embedding": (False,)},
    body=_bart_body,
    heads=(Head(("MarianMTModel", "MarianModel"), "transformer", (BIAS,)),),
    same=(EMBEDDINGS,),
    ignored=(r"(en|de)coder\.embed_positions\.weight",),
)

FAMILIES = {family.name: family for family in (DISTILBERT, ROBERTA, BERT, GPT2, MARIAN, BART)}
"""By config.json's ``model_type``; on the way out the first that can express a config is taken."""
