"""A run, ready to be looked at: the one way in for the command line, the page and the server."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from clearhead.decoding.translator import Translator
from clearhead.device import choose_device
from clearhead.errors import UsageError
from clearhead.inspection.ablation import Ablation, Head, ablations
from clearhead.inspection.checkpoints import Moment, how_many, over_checkpoints
from clearhead.inspection.document import ablation_of, document, said
from clearhead.inspection.explain import Question, answer, ask, outcome
from clearhead.inspection.explanation import Explanation
from clearhead.inspection.rivals import Progress, forced, rivals, silent
from clearhead.inspection.text_ablation import text_ablations
from clearhead.inspection.texts import explain_label, explain_masked, explain_next
from clearhead.interop.hub import model_folder
from clearhead.interop.huggingface import weights_sha256
from clearhead.interop.load import load
from clearhead.models.interface import MaskedLanguageModel
from clearhead.nn.recurrent import Recurrence
from clearhead.version import __version__


class Inspector:
    """Explains texts by the model of a run folder, or of a folder of Hugging Face's Transformers.

    Args:
        path: the folder, of whichever task; as a string also a model's name on the Hugging Face Hub.
        device: see ``device.choose_device``.
        overrides: ``decoding.key=value`` in place of what the run's config says.

    Raises:
        RunError: the folder is not whole.
        ConfigError: an override is wrong.
        UsageError: neither a folder nor a model's name.
        MachineError: the Hub cannot be reached.
    """

    def __init__(self, path: str | os.PathLike[str], device: str = "auto", overrides: tuple[str, ...] = ()) -> None:
        self.path = model_folder(path)
        run = load(self.path, None, overrides)
        self.folder = run.folder
        self.settings, self.tokenizers, self.device = run.config, run.tokenizers, choose_device(device)
        self.task = self.settings.task
        self.documents = 1
        self.labels: tuple[str, ...] = getattr(self.settings.model, "labels", ())
        self.model = run.model.to(self.device.name).eval()
        self.run = {
            "name": self.path.resolve().name if self.path == Path(path) else str(path),
            "version": self.settings.clearhead or __version__,
            "parameters": sum(weight.numel() for weight in self.model.parameters()),
            "weights_sha256": self.folder.weights_sha256() if self.folder else weights_sha256(self.path),
            "languages": self.settings.languages.model_dump(),
        }

    @cached_property
    def translator(self) -> Translator:
        """The model as a translator.

        Raises:
            UsageError: it is none.
        """
        if self.task != "translation":
            raise UsageError("wrong-task", path=self.path, task=self.task, wanted="translation")
        decoding, tgt = self.settings.decoding, self.settings.languages.tgt
        return Translator(self.model, self.tokenizers, decoding, self.device.name, tgt_language=tgt)  # type: ignore[arg-type]

    def config(self) -> dict[str, Any]:
        """Return the model's config with the sizes of its vocabularies."""
        src, tgt = self.tokenizers.src, self.tokenizers.tgt
        sizes = {"src_vocabulary": src.vocabulary_size, "tgt_vocabulary": tgt.vocabulary_size}
        return {**self.settings.model.model_dump(mode="json"), **sizes}

    def ask(self, text: str, prefix: str = "", tag: str = "") -> Question:
        """Return ``text`` as a question to a translator; see ``explain.ask``."""
        return ask(self.translator, text, prefix, tag)

    def explain(self, text: str, *, prefix: str = "", tag: str = "") -> Explanation:
        """Return what the model computes for ``text``; only a translator takes a prefix and a tag.

        Raises: as ``explain.ask``, and the functions of ``texts``.
        """
        match self.task:
            case "classification":
                limit = self.settings.data.max_tokens
                return explain_label(self.model, self.tokenizers.src, self.labels, self.device, limit, text)
            case "language-model":
                return explain_next(self.model, self.tokenizers.src, self.device, text)
            case "masked-language-model":
                limit, model = self.settings.data.max_tokens, cast(MaskedLanguageModel, self.model)
                return explain_masked(model, self.tokenizers.src, self.device, limit, text)
        return answer(self.translator, self.ask(text, prefix, tag))

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
        """Return what the page shows of ``text``.

        full: with heads switched off, and of a translation rivals and the run's checkpoints, which together take much
            longer than the rest.
        in_file: how many documents share the file that it is for; see ``document.document``.
        on_progress: told which of those ("rivals", "ablations", "checkpoints"), how many are done, and of how many.

        Raises: as ``explain``; FaultsError also where a checkpoint is damaged.
        """

        def told(what: str) -> Progress:
            return silent if on_progress is None else partial(on_progress, what)

        if self.task == "translation":
            question = self.ask(text, prefix, tag)
            explanation = answer(self.translator, question)
            more = self._more(question, explanation, told) if full else {}
        else:
            explanation = self.explain(text)
            more = {"ablations": self._text_ablations(explanation, None, told("ablations"))} if full else {}
        return document(explanation, self.run, self.config(), in_file, **more)

    def _more(self, question: Question, explanation: Explanation, told: Callable[[str], Progress]) -> dict[str, Any]:
        translator = self.translator
        return {
            "rivals": rivals(translator, question, explanation, on_progress=told("rivals")),
            "ablations": ablations(translator, question, explanation, on_progress=told("ablations")),
            "checkpoints": self._checkpoints(question, explanation, told("checkpoints")),
        }

    def _checkpoints(self, question: Question, explanation: Explanation, on_progress: Progress) -> list[Moment]:
        found: list[Moment] = []
        if self.folder is not None:
            for moment in over_checkpoints(self.folder, self.translator, question, explanation):
                found.append(moment)
                on_progress(len(found), how_many(self.folder))
        return found

    def _text_ablations(
        self, explanation: Explanation, heads: list[Head] | None, on_progress: Progress = silent
    ) -> list[Ablation]:
        tokenizer = self.tokenizers.src
        return text_ablations(self.model, tokenizer, self.device, explanation, heads, on_progress)

    def rival(self, text: str, prefix: list[int]) -> dict[str, Any]:
        """Return what the model says of ``text`` where the target's first tokens are ``prefix`` (ids).

        Raises:
            UsageError: there is no such token, or there are too many; others as ``explain.ask``.
        """
        question = self.ask(text)
        size, limit = self.tokenizers.tgt.vocabulary_size, int(question.problem.limits[0])
        for id in prefix:
            if not 0 <= id < size:
                raise UsageError("no-such-token", id=id, last=size - 1)
        if len(prefix) > limit:
            raise UsageError("prefix-too-long", line=1, tokens=len(prefix), limit=limit)
        (hypothesis,) = forced(self.translator, question, [prefix])
        return said(outcome(self.translator, hypothesis))

    def ablation(self, text: str, part: str, head: int) -> dict[str, Any]:
        """Return what ``head`` of the attention ``part`` is worth to what the model makes of ``text``.

        Raises:
            UsageError: there is no such head; others as ``explain``.
        """
        if self.task != "translation":
            (found,) = self._text_ablations(self.explain(text), [(part, head)])
            return ablation_of(found)
        question = self.ask(text)
        explanation = answer(self.translator, question)
        (found,) = ablations(self.translator, question, explanation, [(part, head)])
        return ablation_of(found)

    def column(self, name: str, column: int) -> dict[str, Any]:
        """Return the weights and the bias that make number ``column`` of what the linear layer ``name`` says.

        "output" is what makes logits; "encoder.layers.0.forward.forget_gate" a recurrent layer's gate, before it is
        bent: its weights are those of what comes in, then those of the state before.

        Raises:
            UsageError: there is no such layer or number.
        """
        weight, bias = self._matrix(name)
        if weight is None or not 0 <= column < len(weight):
            raise UsageError("no-such-column", name=name, column=column)
        return {"weights": weight[column].tolist(), "bias": None if bias is None else bias[column].item()}

    def _matrix(self, name: str) -> tuple[Tensor | None, Tensor | None]:
        """Return weights (out, in) and bias (out,) of a linear layer, of "output", or of a recurrent layer's gate."""
        modules = dict(self.model.named_modules())
        modules |= {path.removeprefix("body."): module for path, module in modules.items()}
        layer = modules.get(name)
        if isinstance(layer, nn.Linear):
            return layer.weight, layer.bias
        if name == "output" and self.task != "classification":
            return self.model.output_weight, getattr(self.model, "output_bias", None)  # type: ignore[return-value]
        path, _, gate = name.rpartition(".")
        layer = modules.get(re.sub(r"(?<=\.)(for|back)ward$", r"\1wards", path))
        gate = gate.removesuffix("_gate")
        if not isinstance(layer, Recurrence) or gate not in layer.gates:
            return None, None
        each = layer.gates.index(gate)
        both = torch.cat([layer.w_input, layer.w_hidden], dim=1)  # what comes in, then the state before
        return both.chunk(len(layer.gates))[each], layer.get_parameter(f"bias_{gate}")
