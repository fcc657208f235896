"""What one run is: typed, documented, frozen fields, with every default in this one room.

A recipe (TOML) says what differs from the defaults; the run folder's ``run.toml`` holds the whole resolved config, so
that a run can be repeated whatever the defaults become later.
"""

# ruff: noqa: F401 - who needs an option imports it from here

from __future__ import annotations

from clearhead.config.data import (
    SOURCES,
    BuiltIn,
    Column,
    DataConfig,
    Languages,
    ParallelFiles,
    Source,
    SourceOptions,
    TextFile,
    TokenizerConfig,
    TsvColumns,
    TsvTexts,
)
from clearhead.config.models import (
    ALL_PRESETS,
    DECODER_PRESETS,
    ENCODER_PRESETS,
    MODELS,
    PRESETS,
    RECURRENT_PRESETS,
    Activation,
    BagConfig,
    ClassifierConfig,
    DecoderConfig,
    EncoderConfig,
    Layers,
    ModelConfig,
    NgramConfig,
    Positions,
    RecurrentConfig,
    RecurrentEncoderConfig,
    RecurrentStackConfig,
    StackConfig,
    TransformerConfig,
)
from clearhead.config.reading import (
    changed,
    check_long_texts,
    expand_root,
    fault_as_error,
    first_fault,
    make_config,
    place_of,
    read_config,
    read_toml,
    resolved,
    with_overrides,
)
from clearhead.config.run import FORMAT, TASKS, DecodingConfig, EvaluationConfig, RunConfig, TrainingConfig
from clearhead.config.section import NonNegative, Positive, Probability, Section
