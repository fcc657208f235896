"""The attention of recurrent networks: additive (Bahdanau et al. 2015) and multiplicative (Luong et al. 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from clearhead.nn.attention import masked_softmax


def additive_attention(q: Tensor, k: Tensor, v: Tensor, w_score: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the context and the weights, with w . tanh(q + k) as score (Bahdanau et al. 2015, section 3.1, A.1.2).

    Args:
        q: (..., T, D) decoder states, projected (the paper's W_a s).
        k: (..., S, D) the memory, projected (the paper's U_a h).
        v: (..., S, D) the memory.
        w_score: (1, D) the paper's v_a.
        mask: bool, broadcastable to (..., T, S), True where the query may attend; where it may to nothing, zeros come.

    Returns:
        The context (..., T, D) and the weights (..., T, S).
    """
    sums = q.unsqueeze(-2) + k.unsqueeze(-3)  # (..., T, 1, D) + (..., 1, S, D)
    scores = (sums.tanh_() @ w_score.t()).squeeze(-1)  # (..., T, S)
    weights = masked_softmax(scores, mask)
    return weights @ v, weights


def multiplicative_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return the context and the weights, with q . k as score (Luong et al. 2015, section 3.1).

    With the memory itself as keys it is the paper's "dot", with W_a times the memory its "general". No 1 / sqrt(d_k).

    Args:
        q: (..., T, D) decoder states; k: (..., S, D) keys; v: (..., S, D) the memory.
        mask: bool, broadcastable to (..., T, S), True where the query may attend; where it may to nothing, zeros come.

    Returns:
        The context (..., T, D) and the weights (..., T, S).
    """
    weights = masked_softmax(q @ k.transpose(-2, -1), mask)
    return weights @ v, weights


class RecurrentAttentionCore(nn.Module):
    """Either formula behind one seam: what comes in and goes out can be watched by a hook."""

    def __init__(self, w_score: nn.Linear | None) -> None:
        super().__init__()
        self.w_score = w_score

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Return the context (..., T, D) of q (..., T, D), k, v (..., S, D), mask broadcastable to (..., T, S)."""
        if self.w_score is None:
            return multiplicative_attention(q, k, v, mask)[0]
        return additive_attention(q, k, v, self.w_score.weight, mask)[0]


class RecurrentAttention(nn.Module):
    """What a decoder's state finds in the memory.

    Args:
        score: "additive", "general" or "dot".
        d_model: width of decoder states and memory, D.
    """

    def __init__(self, score: str, d_model: int) -> None:
        super().__init__()
        additive, dot = score == "additive", score == "dot"
        self.w_q = nn.Linear(d_model, d_model, bias=False) if additive else nn.Identity()
        self.w_k = nn.Identity() if dot else nn.Linear(d_model, d_model, bias=False)
        self.core = RecurrentAttentionCore(nn.Linear(d_model, 1, bias=False) if additive else None)

    def keys(self, memory: Tensor) -> Tensor:
        """Return what states are compared with, (..., S, D) -> (..., S, D); made once a sentence."""
        return self.w_k(memory)

    def forward(self, q: Tensor, keys: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Return the context (..., T, D) of states q (..., T, D).

        keys, memory: (..., S, D); mask: bool, broadcastable to (..., T, S), True where a token is.
        """
        return self.core(self.w_q(q), keys, memory, mask)
