"""Label-smoothed cross-entropy fused with the output projection: no B x T x V tensor is ever held."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from clearhead.data.batch import Batch
from clearhead.device import Device
from clearhead.kernels import functions as kernels
from clearhead.kernels import library
from clearhead.models.interface import Seq2Seq

CHUNK_BYTES = 2**23
"""Logits held at once: small enough that a processor's cache keeps them from one pass to the next."""
CHUNK_BYTES_GPU = 2**28


class LinearCrossEntropy(torch.autograd.Function):
    """Sum over tokens of the label-smoothed cross-entropy of softmax(hidden W^T); its gradients are made going forward.

    With z the logits, lse their log-sum-exp and eps the smoothing (Szegedy et al. 2016, section 7; Vaswani et al. 2017,
    section 5.4), a token's loss is (1 - eps) (lse - z_y) + eps (lse - mean z), and its gradient by the logits is
    softmax(z) - (1 - eps) onehot(y) - eps / V. The last term is constant over the vocabulary, so it is added to the
    products with W and hidden as a whole: one pass less over the logits.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: torch.autograd.function.FunctionCtx,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        smoothing: float,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        """Return (scale * smoothed loss, plain cross-entropy), sums over tokens.

        hidden: (N, D); weight: (V, D); targets: (N,) ids; smoothing: eps; scale: 1 / tokens of the whole step.
        """
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]  # type: ignore[attr-defined]
        vocabulary_size = len(weight)
        mean_weight = weight.mean(dim=0)
        products = _matrix_dtype(hidden)
        matrix = weight.to(products)
        grad_hidden = torch.empty_like(hidden, dtype=torch.float32) if needs_hidden else None
        grad_weight = torch.zeros_like(weight) if needs_weight else None
        smoothed = hidden.new_zeros((), dtype=torch.float64)
        plain = hidden.new_zeros((), dtype=torch.float64)
        rows = max(1, (CHUNK_BYTES if hidden.device.type == "cpu" else CHUNK_BYTES_GPU) // (4 * vocabulary_size))
        own = library.loaded() is not None and hidden.device.type == "cpu"
        # Our kernel computes with floats whatever the logits' format is; PyTorch's operations need them as floats.
        buffer = hidden.new_empty(min(rows, len(hidden)), vocabulary_size, dtype=products if own else torch.float32)
        for h, y, first in zip(hidden.split(rows), targets.split(rows), range(0, len(hidden), rows)):
            h = h.to(products)
            logits = buffer[: len(h)]
            if products == buffer.dtype:
                torch.mm(h, matrix.t(), out=logits)
            else:
                logits.copy_(torch.mm(h, matrix.t()))
            mean_logit = h.float() @ mean_weight
            if own:
                lse, target_logit = kernels.cross_entropy_(logits, y, smoothing)
            else:
                lse, target_logit = cross_entropy_(logits, y, smoothing)
            plain += (lse - target_logit).sum(dtype=torch.float64)
            smoothed += (lse - (1.0 - smoothing) * target_logit - smoothing * mean_logit).sum(dtype=torch.float64)
            if not (needs_hidden or needs_weight):
                continue
            grad_logits = logits.to(products)
            if grad_hidden is not None:
                grad_hidden[first : first + len(h)] = torch.mm(grad_logits, matrix)
            if grad_weight is not None:
                grad_weight += torch.mm(grad_logits.t(), h)
        if grad_hidden is not None:
            grad_hidden = grad_hidden.sub_(mean_weight, alpha=smoothing).mul_(scale).to(hidden.dtype)
        if grad_weight is not None:
            grad_weight.sub_(hidden.float().sum(dim=0), alpha=smoothing / vocabulary_size).mul_(scale)
        ctx.save_for_backward(grad_hidden, grad_weight)  # type: ignore[arg-type]  # None is let through
        return (smoothed * scale).float(), plain.float()

    @staticmethod
    def backward(ctx, grad_smoothed: Tensor, grad_plain: Tensor):  # type: ignore[no-untyped-def, override]
        """Return the gradients made in the forward pass, times the gradient of the first output."""
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * grad_smoothed,
            None if grad_weight is None else grad_weight * grad_smoothed,
            None,
            None,
            None,
        )


def cross_entropy_(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """Turn logits (N, V) into their softmax less (1 - smoothing) at the target, in place.

    Returns the rows' log-sum-exp and the targets' logits, (N,) each.
    """
    targets = targets[:, None]
    target_logit = logits.gather(1, targets)[:, 0]
    largest = logits.amax(dim=1)
    torch.softmax(logits, dim=1, out=logits)
    lse = largest - logits.amax(dim=1).log()  # the largest probability is exp(largest - lse)
    logits.scatter_add_(1, targets, logits.new_full(targets.shape, smoothing - 1.0))
    return lse, target_logit


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    smoothing: float = 0.0,
    scale: float = 1.0,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return (scale * label-smoothed cross-entropy, plain cross-entropy), each the sum over N tokens, in nats.

    hidden: (N, D); weight: (V, D) and bias: (V,) of the output projection; targets: (N,) ids. Only the first result has
    a gradient.
    """
    if bias is not None:  # as one more column, of a vector that is 1 there
        hidden, weight = nn.functional.pad(hidden, (0, 1), value=1.0), torch.cat([weight, bias[:, None]], dim=1)
    loss, plain = LinearCrossEntropy.apply(hidden, weight, targets, smoothing, scale)
    return loss, plain.detach()


class Seq2SeqLoss(nn.Module):
    """A model and what a batch costs under it, as one module: whoever joins gradients sees the whole computation."""

    def __init__(self, model: Seq2Seq, label_smoothing: float, device: Device) -> None:
        super().__init__()
        assert isinstance(model, nn.Module)
        self.model = model
        self.label_smoothing = label_smoothing
        self.device = device

    def forward(self, batch: Batch, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return (scale * label-smoothed cross-entropy, plain cross-entropy), sums over the target tokens, in nats."""
        batch = batch.to(self.device.name)
        with self.device.autocast():
            hidden = self.model(batch)[batch.tgt_mask]  # (B, T, D) -> (N, D): padding is not projected
            targets = batch.tgt_output[batch.tgt_mask]
            return linear_cross_entropy(hidden, self.model.output_weight, targets, self.label_smoothing, scale)


def _matrix_dtype(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
