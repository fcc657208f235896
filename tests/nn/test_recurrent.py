"""Recurrent layers: each step written out against PyTorch's fused networks, and padding that nobody reads."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from clearhead.nn.recurrent import CELLS, DirectedRecurrence, Recurrence, reversed_rows

TORCH = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
LENGTHS = torch.tensor([7, 4, 1, 6])
IS_TOKEN = torch.arange(7) < LENGTHS[:, None]


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return module


def copy_layer(theirs: nn.RNNBase, ours: Recurrence, layer: int = 0, reverse: bool = False) -> None:
    end = f"l{layer}" + "_reverse" * reverse
    with torch.no_grad():
        getattr(theirs, f"weight_ih_{end}").copy_(ours.w_input)
        getattr(theirs, f"weight_hh_{end}").copy_(ours.w_hidden)
        getattr(theirs, f"bias_ih_{end}").copy_(torch.cat([ours.get_parameter(f"bias_{gate}") for gate in ours.gates]))
        getattr(theirs, f"bias_hh_{end}").zero_()


def stacked(state) -> torch.Tensor:
    """torch's state, a tensor or (h, c), as (layers, P, B, H)."""
    return torch.stack(state if isinstance(state, tuple) else (state,), dim=1)


def a_sequence(width: int, length: int = 7) -> torch.Tensor:
    return torch.randn(4, length, width, generator=torch.Generator().manual_seed(1))


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("cell", CELLS)
def test_steps_gate_by_gate_equal_torch_over_a_whole_sequence(cell):
    ours, theirs, x = randomised(CELLS[cell](5, 6)), TORCH[cell](5, 6, batch_first=True), a_sequence(5)
    copy_layer(theirs, ours)
    expected, last = theirs(x)
    state, hidden = torch.zeros(ours.n_states, 4, 6), []
    for position in x.unbind(1):
        state, gates = ours.step(position, state)
        assert tuple(gates) == ours.gates and all(gate.shape == (4, 6) for gate in gates.values())
        hidden.append(state[0])
    same(torch.stack(hidden, 1), expected)
    same(state, stacked(last)[0])


@pytest.mark.parametrize("cell", CELLS)
def test_the_named_gates_make_the_state(cell):
    """By the papers' last lines, from the gates alone."""
    layer, x = randomised(CELLS[cell](5, 6)), a_sequence(5)[:, 0]
    before = torch.randn(layer.n_states, 4, 6, generator=torch.Generator().manual_seed(2))
    after, gates = layer.step(x, before)
    match cell:
        case "rnn":
            expected = [gates["candidate"]]
        case "lstm":
            c = gates["forget"] * before[1] + gates["input"] * gates["candidate"]
            expected = [gates["output"] * c.tanh(), c]
        case "gru":
            expected = [gates["update"] * before[0] + (1 - gates["update"]) * gates["candidate"]]
    same(after, torch.stack(expected))


@pytest.mark.parametrize("cell", CELLS)
def test_all_positions_at_once_equal_the_steps_from_any_state(cell):
    layer, x = randomised(CELLS[cell](5, 6)), a_sequence(5)
    state = torch.randn(layer.n_states, 4, 6, generator=torch.Generator().manual_seed(2))
    hidden, last = layer(x, state)
    for t, position in enumerate(x.split(1, dim=1)):
        one, state = layer(position, state)
        same(one, hidden[:, t : t + 1])
    same(state, last)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("direction", ["forward", "both"])
def test_layers_over_padded_rows_equal_torch_over_packed_ones(cell, direction):
    both, x = direction == "both", a_sequence(6)
    layers = [randomised(DirectedRecurrence(cell, direction, 6), seed) for seed in range(3)]
    theirs = TORCH[cell](6, 3 if both else 6, num_layers=3, batch_first=True, bidirectional=both)
    for number, layer in enumerate(layers):
        copy_layer(theirs, layer.forwards, number)
        if both:
            copy_layer(theirs, layer.backwards, number, reverse=True)
    packed, last = theirs(pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False))
    expected, _ = pad_packed_sequence(packed, batch_first=True)
    states = []
    for layer in layers:
        x, state = layer(x, IS_TOKEN)
        states.append(state)
    same(x[IS_TOKEN], expected[IS_TOKEN])
    directions = stacked(last).unflatten(0, (3, -1))  # (L, 1 or 2, P, B, H)
    same(torch.stack(states), torch.cat(directions.unbind(1), dim=-1))


@pytest.mark.parametrize("cell", CELLS)
def test_backward_is_forward_over_the_reversed_sentence(cell):
    layer, x = randomised(DirectedRecurrence(cell, "backward", 6)), a_sequence(6)
    hidden, state = layer(x, IS_TOKEN)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, last = layer.backwards(x[row : row + 1, :length].flip(1))
        same(hidden[row : row + 1, :length], alone.flip(1))
        same(state[:, row : row + 1], last)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_padding_gives_nothing_and_gets_no_gradient(cell, direction):
    layer, x = randomised(DirectedRecurrence(cell, direction, 6)), a_sequence(6).requires_grad_()
    junk = torch.where(IS_TOKEN[:, :, None], x, 1e6)
    for ours, other in zip(layer(x, IS_TOKEN), layer(junk, IS_TOKEN)):
        ours, other = (y[IS_TOKEN] if len(y) == 4 else y for y in (ours, other))  # (B, S, D) or (P, B, D)
        assert torch.equal(ours, other)
    hidden, state = layer(x, IS_TOKEN)
    (hidden[IS_TOKEN].square().sum() + state.square().sum()).backward()
    assert x.grad[IS_TOKEN].abs().min() > 0 and (x.grad[~IS_TOKEN] == 0).all()
    assert all(weight.grad.isfinite().all() and (weight.grad != 0).any() for weight in layer.parameters())


def test_rows_are_reversed_up_to_their_padding_and_back():
    x = torch.arange(1, 9).view(2, 4, 1)
    is_token = torch.tensor([[True, True, True, False], [True, True, True, True]])
    reverse = reversed_rows(x, is_token)
    assert reverse[..., 0].tolist() == [[3, 2, 1, 4], [8, 7, 6, 5]]
    assert torch.equal(reversed_rows(reverse, is_token), x)
