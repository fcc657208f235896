"""The tokenizer of a Hugging Face folder, whichever files it consists of, and the files to write for one."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors

from clearhead.errors import ClearheadError, RunError, UsageError
from clearhead.interop.spm import SentencePieceModel
from clearhead.runs.faults import FaultsError
from clearhead.runs.files import read_json, read_text
from clearhead.text.foreign import ForeignTokenizer
from clearhead.text.library import read_library
from clearhead.text.tokenizer import Tokenizer, TokenizerPair

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
VOCABULARY = "vocab.json"
MERGES = "merges.txt"
WORDS = "vocab.txt"
SPM = ("source.spm", "target.spm")

ROLES = {"pad": ("pad",), "unk": ("unk",), "bos": ("cls", "bos"), "eos": ("sep", "eos"), "mask": ("mask",)}
"""Our roles and theirs: what stands at a text's ends is what their encoders have there, if they have something."""
BERT_TOKENS = {"unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "pad": "[PAD]", "mask": "[MASK]"}
GPT_TOKENS = {"unk": "<|endoftext|>", "bos": "<|endoftext|>", "eos": "<|endoftext|>"}
ROBERTA_TOKENS = {
    "unk": "<unk>", "bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "mask": "<mask>",
}  # fmt: skip
MARIAN_TOKENS = {"unk": "<unk>", "eos": "</s>", "pad": "<pad>"}
TOKENS = {
    "bert": BERT_TOKENS, "distilbert": BERT_TOKENS, "gpt2": GPT_TOKENS, "roberta": ROBERTA_TOKENS,
    "bart": ROBERTA_TOKENS, "marian": MARIAN_TOKENS,
}  # fmt: skip
"""The special tokens of each family where a folder does not name them."""

UNUSED_ROWS = 1024
"""From so many rows without a token on, an embedding was not just padded to a multiple: of 64 or 128 as a rule, and
the most that is usual is Phi's 905, 51,200 rows for 50,295 tokens."""


def read_tokenizers(path: Path, config: Mapping[str, Any]) -> TokenizerPair:
    """Read the tokenizers of a folder whose config.json says ``config``.

    Raises:
        RunError: there is none, or it is not what such a file should be, or it has more tokens than the model.
        FaultsError: lists the special tokens that config.json numbers otherwise.
    """
    settings = _table(path, SETTINGS) | _table(path, SPECIAL)
    special = _special(settings, TOKENS[config["model_type"]])
    size = config.get("vocab_size")
    start = decoder_start(config)
    if type(size) is not int:
        raise RunError("foreign-setting", key="vocab_size", value=size, wanted="int")
    if (path / SPM[0]).exists() and not (path / TOKENIZER).exists():
        ids = _ids(path / VOCABULARY, special)
        sides = []
        for name in SPM:
            content = _bytes(path / name)
            model = SentencePieceModel.from_bytes(content, name).tokenizer(ids, special)
            roles = _roles(model, special)
            sides.append(ForeignTokenizer.make(model, roles, size, settings, start, base64.b64encode(content).decode()))
        _check_belongs(model, settings, config)
        return TokenizerPair(*sides)
    model = _library_tokenizer(path, settings, special)
    both = ForeignTokenizer.make(model, _roles(model, special), size, settings, start)
    _check_belongs(model, settings, config)
    return TokenizerPair(both, both)


def languages(pair: TokenizerPair) -> dict[str, str]:
    """Return the languages that the tokenizers name, as far as they do."""
    assert isinstance(pair.src, ForeignTokenizer)
    named = {"src": pair.src.settings.get("source_lang"), "tgt": pair.src.settings.get("target_lang")}
    return {side: name for side, name in named.items() if isinstance(name, str)}


def tokenizer_files(
    pair: TokenizerPair, template: str, max_tokens: int, segments: bool = False
) -> dict[str, str | bytes]:
    """Return the files, by name, that Transformers reads ``pair`` from.

    template: what a text of ours becomes, for example "<bos> $A <eos>"; max_tokens: how many the model takes, those
    included, for a text too long to be cut to; segments: whether two texts are told apart.

    Raises:
        UsageError: two vocabularies, for which there is no such file.
    """
    src, tgt = pair.src, pair.tgt
    if isinstance(src, Tokenizer) or isinstance(tgt, Tokenizer):
        if src is not tgt or isinstance(src, ForeignTokenizer):
            raise UsageError("export-two-vocabularies")
        return _our_files(src, template, max_tokens, segments)
    files: dict[str, str | bytes] = {SETTINGS: _text({"model_max_length": max_tokens} | src.settings)}
    if not src.spm:
        return files | {TOKENIZER: src.library_json()}
    return files | {
        SPM[0]: base64.b64decode(src.spm),
        SPM[1]: base64.b64decode(tgt.spm),
        VOCABULARY: _text({src.token_text(id): id for id in range(src.vocabulary_size)}),
    }


def _our_files(tokenizer: Tokenizer, template: str, max_tokens: int, segments: bool) -> dict[str, str | bytes]:
    names = {role: tokenizer.token_text(id) for role, id in tokenizer.roles().items()}
    library = read_library(tokenizer.to_json())
    library.add_special_tokens([AddedToken(tokenizer.token_text(id), special=True) for id in tokenizer.special_ids])
    ends = [(name, library.token_to_id(name)) for name in names.values() if name in template]
    two = template.replace("$A <eos>", "$A <eos> $B:1 <eos>:1") if "<bos>" in template else None
    library.post_processor = processors.TemplateProcessing(template, two, ends)
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    settings["model_max_length"] = max_tokens
    settings |= {f"{role}_token": name for role, name in names.items()}
    settings |= {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]} if segments else {}
    if {"<bos>", "<eos>"} <= {*template.split()}:
        settings |= {"cls_token": names["bos"], "sep_token": names["eos"]}
    return {TOKENIZER: library.to_str(), SETTINGS: _text(settings)}


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def _table(path: Path, name: str) -> dict[str, Any]:
    content = read_json(path / name) if (path / name).exists() else {}
    if not isinstance(content, dict):
        raise RunError("not-json", name=name, problem="not an object")
    return content


def _special(settings: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Return role -> token, in our roles: those that the folder names, else the family's."""
    found: dict[str, str] = {}
    for ours, theirs in ROLES.items():
        named = [_named(settings, role) for role in theirs]
        tokens = [token for token in [*named, *map(known.get, theirs)] if isinstance(token, str)]
        if tokens:
            found[ours] = tokens[0]
    return found


def _named(settings: Mapping[str, Any], role: str) -> Any:
    """Return the token that the folder names for ``role``, which is one of theirs."""
    token = settings.get(f"{role}_token")
    return token.get("content") if isinstance(token, dict) else token


def _roles(model: tokenizers.Tokenizer, special: Mapping[str, str]) -> dict[str, int]:
    ids = {role: model.token_to_id(token) for role, token in special.items()}
    return {role: id for role, id in ids.items() if id is not None}


def decoder_start(config: Mapping[str, Any]) -> str:
    """Return the role of the token that a decoder starts from.

    Raises:
        RunError: it has none.
    """
    start = config.get("decoder_start_token_id")
    if start is None:
        return "bos"
    for role in ("pad", "eos", "bos"):
        if config.get(f"{role}_token_id") == start:
            return role
    wanted = "pad_token_id, eos_token_id or bos_token_id"
    raise RunError("foreign-setting", key="decoder_start_token_id", value=start, wanted=wanted)


def _check_belongs(model: tokenizers.Tokenizer, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check that config.json and the tokenizer give the same numbers to pad, bos, eos and what a decoder starts from.

    Only what both of them name can differ: an id beyond the embedding is left over from the family's defaults, BERT's
    tokenizer has no bos or eos but [CLS] and [SEP], and who pads with eos has nothing of its own to pad with.

    Warns where the embedding has far more rows than there are tokens.

    Raises:
        FaultsError: lists those that differ.
    """
    rows, known = config["vocab_size"], TOKENS[config["model_type"]]
    tokens = {role: _named(settings, role) or known.get(role) for role in ("pad", "bos", "eos")}
    found = {role: model.token_to_id(token) for role, token in tokens.items() if isinstance(token, str)}
    said = {role: id for role in tokens if type(id := config.get(f"{role}_token_id")) is int and 0 <= id < rows}
    differing = [role for role, id in said.items() if found.get(role) not in (None, id)]
    if "pad" in differing and any(ids.get("eos") == ids["pad"] for ids in (said, found)):
        differing.remove("pad")
    keys = [(f"{role}_token_id", role) for role in differing]
    start, role = config.get("decoder_start_token_id"), decoder_start(config)
    if start is not None and found.get(role) not in (None, start):
        keys.append(("decoder_start_token_id", role))
    faults: list[ClearheadError] = [
        RunError("other-number", key=key, value=config[key], token=tokens[role], id=found[role]) for key, role in keys
    ]
    if faults:
        raise FaultsError("other-tokenizer", faults)
    there = max(model.get_vocab().values(), default=-1) + 1
    if rows - there >= UNUSED_ROWS:
        warnings.warn(RunError("vocabulary-smaller", tokens=there, rows=rows).message(), stacklevel=2)


# --- the files ----------------------------------------------------------------------------------------------------


def _library_tokenizer(path: Path, settings: Mapping[str, Any], special: Mapping[str, str]) -> tokenizers.Tokenizer:
    if (path / TOKENIZER).exists():
        try:
            return read_library(read_text(path / TOKENIZER))
        except ValueError as error:
            raise RunError("not-json", name=TOKENIZER, problem=str(error)) from error
    if (path / WORDS).exists():
        return _wordpiece(path, settings, special)
    if (path / VOCABULARY).exists() and (path / MERGES).exists():
        return _byte_pairs(path, settings, special)
    raise RunError("file-missing", name=TOKENIZER)


def _wordpiece(path: Path, settings: Mapping[str, Any], special: Mapping[str, str]) -> tokenizers.Tokenizer:
    """BERT's tokenizer from vocab.txt, a token a line."""
    ids = {token: id for id, token in enumerate(read_text(path / WORDS).removesuffix("\n").split("\n"))}
    _check(ids, WORDS, special)
    tokenizer = tokenizers.Tokenizer(models.WordPiece(ids, unk_token=special["unk"], max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(settings.get("tokenize_chinese_chars", True)),
        strip_accents=settings.get("strip_accents"),
        lowercase=bool(settings.get("do_lower_case", True)),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return _with_ends(tokenizer, special)


def _byte_pairs(path: Path, settings: Mapping[str, Any], special: Mapping[str, str]) -> tokenizers.Tokenizer:
    """The byte-level BPE of GPT-2, RoBERTa and BART from vocab.json and merges.txt."""
    lines = [line for line in read_text(path / MERGES).split("\n") if line and not line.startswith("#version")]
    merges = [tuple(line.split(" ")) for line in lines]
    try:
        tokenizer = tokenizers.Tokenizer(models.BPE(_ids(path / VOCABULARY, special), merges))  # type: ignore[arg-type]
    except Exception as error:  # the library raises plain Exception
        raise RunError("not-json", name=MERGES, problem=str(error).partition("\n")[0]) from error
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=bool(settings.get("add_prefix_space", False)))
    tokenizer.decoder = decoders.ByteLevel()
    return _with_ends(tokenizer, special) if "mask" in special else _with_special(tokenizer, special)


def _with_special(tokenizer: tokenizers.Tokenizer, special: Mapping[str, str]) -> tokenizers.Tokenizer:
    known = [token for token in special.values() if tokenizer.token_to_id(token) is not None]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in known])
    return tokenizer


def _with_ends(tokenizer: tokenizers.Tokenizer, special: Mapping[str, str]) -> tokenizers.Tokenizer:
    """Let the tokenizer put bos and eos around a text, as encoders want it."""
    ends = [(special[role], tokenizer.token_to_id(special[role])) for role in ("bos", "eos")]
    bos, eos = special["bos"], special["eos"]
    tokenizer.post_processor = processors.TemplateProcessing(f"{bos} $A {eos}", f"{bos} $A {eos} $B:1 {eos}:1", ends)
    return _with_special(tokenizer, special)


def _ids(path: Path, special: Mapping[str, str]) -> dict[str, int]:
    ids = read_json(path)
    _check(ids, path.name, special)
    return ids


def _check(ids: Any, name: str, special: Mapping[str, str]) -> None:
    needed = {special[role] for role in ("unk", "bos", "eos") if role in special}
    numbered = isinstance(ids, dict) and all(type(id) is int for id in ids.values())
    if not numbered or sorted(ids.values()) != list(range(len(ids))) or not needed <= ids.keys():
        raise RunError("bad-vocabulary", name=name, needed=" ".join(sorted(needed)))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunError("cannot-read", path=path, problem=error.strerror or error) from error
