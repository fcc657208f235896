"""Recurrent layers: Elman's network, the LSTM and the GRU; one step gate by gate, whole sequences by PyTorch's kernels.

Everything is batch first: sequences are (B, T, D). PyTorch's recurrent functions take (T, B, D) unless ``batch_first``
is set, and what it changes are the sequences alone: their states stay (layers, B, H).
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SATURATED = 1e4
"""A sum whose sigmoid is 1, and the sigmoid of its negative 0: exactly, in every number format."""


class Recurrence(nn.Module):
    """One recurrent layer in one direction: h_t = f(x_t, h_{t-1}).

    Its state is (P, B, H): h, and behind it whatever else the cell remembers. The gates' matrices lie one after another
    in the rows of ``w_input`` and ``w_hidden``, in PyTorch's order. Departure from PyTorch: one bias a gate, where
    PyTorch adds a second.

    Args:
        d_input: width of the input, D.
        d_hidden: width of the hidden vectors, H.
    """

    gates: ClassVar[tuple[str, ...]]
    """What the rows of the matrices are for, in their order."""
    n_states: ClassVar[int] = 1
    """P: how many vectors a state has."""

    def __init__(self, d_input: int, d_hidden: int) -> None:
        super().__init__()
        self.w_input = nn.Parameter(torch.empty(len(self.gates) * d_hidden, d_input))
        self.w_hidden = nn.Parameter(torch.empty(len(self.gates) * d_hidden, d_hidden))
        for gate in self.gates:  # each by itself, for they start from different values
            self.register_parameter(f"bias_{gate}", nn.Parameter(torch.empty(d_hidden)))

    def forward(self, x: Tensor, state: Tensor | None = None, is_token: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the hidden vectors (B, T, H) of all positions and the state (P, B, H) behind the last one.

        Args:
            x: (B, T, D).
            state: (P, B, H) in front of the first position; None for zeros.
            is_token: (B, T) bool, False where padding is, which lies behind the tokens: then the state that is returned
                is the one behind each row's last token. None where there is no padding, or none that matters.
        """
        if state is None:
            state = torch.zeros(self.n_states, len(x), self.w_hidden.shape[1], device=x.device)
        if x.shape[1] == 1 and is_token is None:  # as fast as PyTorch's kernels, which win over many positions only
            state, _ = self.step(x[:, 0], state)
            hidden = state[0].unsqueeze(1)
        else:
            hidden, state = self._run(x, state, is_token)
        if is_token is not None:
            last = hidden[torch.arange(len(x), device=x.device), is_token.sum(dim=1) - 1]
            state = torch.cat([last.unsqueeze(0), state[1:]])
        return hidden.contiguous(), state.float()  # a cell adds up over many steps, which bf16 is too coarse for

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the next state (P, B, H) and the gates by name, (B, H) each; x: (B, D), state: (P, B, H)."""
        raise NotImplementedError

    def _run(self, x: Tensor, state: Tensor, is_token: Tensor | None) -> tuple[Tensor, Tensor]:
        """Take all steps with PyTorch's kernel; return (B, T, H) and the state behind the last position."""
        raise NotImplementedError

    def _sums(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Return W_input x + b + W_hidden h by gates, (B, H) each."""
        return (F.linear(x, self.w_input, self._biases()) + F.linear(h, self.w_hidden)).chunk(len(self.gates), dim=-1)

    def _biases(self) -> Tensor:
        return torch.cat([self.get_parameter(f"bias_{gate}") for gate in self.gates])

    def _weights(self, w_input: Tensor) -> list[Tensor]:
        """Return the weights as PyTorch's kernels take them; their second bias is zero."""
        biases = self._biases()
        return [w_input, self.w_hidden, biases, torch.zeros_like(biases)]


class Elman(Recurrence):
    """The simple recurrent network (Elman 1990): h_t = tanh(W_input x_t + W_hidden h_{t-1} + b)."""

    gates = ("candidate",)

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the next state (1, B, H) and the gates by name; x: (B, D), state: (1, B, H)."""
        (candidate,) = self._sums(x, state[0])
        candidate = candidate.tanh()
        return candidate.unsqueeze(0), {"candidate": candidate}

    def _run(self, x: Tensor, state: Tensor, is_token: Tensor | None) -> tuple[Tensor, Tensor]:
        train = torch.is_grad_enabled()
        return torch.rnn_tanh(x, state, self._weights(self.w_input), True, 1, 0.0, train, False, batch_first=True)


class Lstm(Recurrence):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with the forget gate of Gers et al. 2000.

    c_t = forget * c_{t-1} + input * candidate; h_t = output * tanh(c_t). The gates are sigmoids of sums over x_t and
    h_{t-1}, the candidate is a tanh of one. The state is h and c. No peephole connections.
    """

    gates = ("input", "forget", "candidate", "output")
    n_states = 2

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the next state (2, B, H) and the gates by name; x: (B, D), state: (2, B, H)."""
        h, c = state
        input, forget, candidate, output = self._sums(x, h)
        input, forget, output = input.sigmoid(), forget.sigmoid(), output.sigmoid()
        candidate = candidate.tanh()
        c = forget * c + input * candidate
        h = output * c.tanh()
        gates = {"input": input, "forget": forget, "candidate": candidate, "output": output}
        return torch.stack([h, c]), gates

    def _run(self, x: Tensor, state: Tensor, is_token: Tensor | None) -> tuple[Tensor, Tensor]:
        w_input: Tensor = self.w_input
        if is_token is not None:
            # One more input, 1 at padding, shuts the input gate and opens the forget gate: the cell stays as the last
            # token left it. PyTorch's own way, packed sequences, takes half as long again.
            is_padding = ~is_token.unsqueeze(-1)
            x = torch.cat([x.masked_fill(is_padding, 0.0), is_padding.to(x.dtype)], dim=-1)
            column = torch.tensor([-SATURATED, SATURATED, 0.0, 0.0], dtype=w_input.dtype, device=w_input.device)
            w_input = torch.cat([w_input, column.repeat_interleave(self.w_hidden.shape[1]).unsqueeze(1)], dim=1)
        weights, train = self._weights(w_input), torch.is_grad_enabled()
        hidden, h, c = torch.lstm(x, (state[:1], state[1:]), weights, True, 1, 0.0, train, False, batch_first=True)
        return hidden, torch.cat([h, c])


class Gru(Recurrence):
    """The gated recurrent unit (Cho et al. 2014): h_t = update * h_{t-1} + (1 - update) * candidate.

    The candidate is tanh(W x_t + b + reset * (U h_{t-1})). Departure: as in PyTorch, the reset gate comes after the
    product with U, so that one product serves all gates. The paper has it before: U (reset * h_{t-1}).
    """

    gates = ("reset", "update", "candidate")

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the next state (1, B, H) and the gates by name; x: (B, D), state: (1, B, H)."""
        h = state[0]
        x_reset, x_update, x_candidate = F.linear(x, self.w_input, self._biases()).chunk(3, dim=-1)
        h_reset, h_update, h_candidate = F.linear(h, self.w_hidden).chunk(3, dim=-1)
        reset = (x_reset + h_reset).sigmoid()
        update = (x_update + h_update).sigmoid()
        candidate = (x_candidate + reset * h_candidate).tanh()
        h = update * h + (1.0 - update) * candidate
        return h.unsqueeze(0), {"reset": reset, "update": update, "candidate": candidate}

    def _run(self, x: Tensor, state: Tensor, is_token: Tensor | None) -> tuple[Tensor, Tensor]:
        train = torch.is_grad_enabled()
        return torch.gru(x, state, self._weights(self.w_input), True, 1, 0.0, train, False, batch_first=True)


CELLS: dict[str, type[Recurrence]] = {"rnn": Elman, "lstm": Lstm, "gru": Gru}


class DirectedRecurrence(nn.Module):
    """A recurrent layer that reads from the start, from the end, or both ways (Schuster and Paliwal 1997).

    Args:
        cell: one of ``CELLS``.
        direction: "forward", "backward" or "both".
        d_model: width of input and output; both ways each direction has half of the output.
    """

    def __init__(self, cell: str, direction: str, d_model: int) -> None:
        super().__init__()
        width = d_model // 2 if direction == "both" else d_model
        self.forwards = CELLS[cell](d_model, width) if direction != "backward" else None
        self.backwards = CELLS[cell](d_model, width) if direction != "forward" else None

    def forward(self, x: Tensor, is_token: Tensor) -> tuple[Tensor, Tensor]:
        """Return the hidden vectors (B, S, D) and the state (P, B, D) behind what was read last.

        x: (B, S, D); is_token: (B, S) bool, False where padding is, which lies behind the tokens and is not read.
        """
        read = []
        if self.forwards is not None:
            read.append(self.forwards(x, is_token=is_token))
        if self.backwards is not None:
            hidden, state = self.backwards(reversed_rows(x, is_token), is_token=is_token)
            read.append((reversed_rows(hidden, is_token), state))
        hiddens, states = zip(*read)
        return torch.cat(hiddens, dim=-1), torch.cat(states, dim=-1)


def reversed_rows(x: Tensor, is_token: Tensor) -> Tensor:
    """Return x (B, S, D) with the tokens of each row in the opposite order; padding stays behind them.

    is_token: (B, S) bool.
    """
    length = is_token.sum(dim=1, keepdim=True)
    place = torch.arange(x.shape[1], device=x.device)
    place = torch.where(is_token, length - 1 - place, place)  # (B, S): which place each one comes from
    place = place + x.shape[1] * torch.arange(len(x), device=x.device).unsqueeze(1)
    return x.flatten(0, 1).index_select(0, place.flatten()).view_as(x)  # rows of memory: cheaper than a gather
