"""Several processes that train one model: the team that torchrun starts, and the engine that joins their gradients."""

from __future__ import annotations

import copy
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from clearhead.errors import MachineError, UsageError

PATIENCE = timedelta(hours=2)
"""How long processes wait for what one of them may be long about: vocabularies, a corpus' tokens, a slow disk. One that
has died is noticed at once, by its connections and by torchrun; a machine without power says nothing."""
STEP_PATIENCE = timedelta(minutes=30)
"""How long they wait for each other's sums and gradients, which all compute at once: PyTorch's own default."""
_patient: dist.ProcessGroup | None = None
"""The processes once more, joined by PATIENCE; the default group is joined by STEP_PATIENCE."""


class Team:
    """The processes of one training. A process by itself is a team of one and needs no network.

    rank: this process's number, from 0; size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the run folder and speaks to the user."""
        return self.rank == 0

    @classmethod
    def join(cls, device: str) -> Team:
        """Return the team of this process: that of torchrun's environment variables, else a team of one.

        Args:
            device: "cpu" (gloo) or "cuda" (NCCL; each process of a machine takes a GPU of its own).

        Raises:
            MachineError: the others cannot be reached.
            UsageError: this machine has more processes than GPUs.
        """
        # The group lasts as long as the process. Torn down earlier, gloo may wait, with Python's lock held, for a
        # thread of its own that needs that lock to let go of a tensor (seen with torch 2.13).
        global _patient
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return cls()
        if device == "cuda":
            number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
            if number >= there:
                raise UsageError("too-few-gpus", processes=os.environ.get("LOCAL_WORLD_SIZE", number + 1), gpus=there)
            torch.cuda.set_device(number)
        if not dist.is_initialized():
            try:
                store, rank, size = next(dist.rendezvous("env://", timeout=PATIENCE))
                backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
                fresh = shared_by_this_start(store, rank, size)
                dist.init_process_group(backend, store=fresh, rank=rank, world_size=size, timeout=STEP_PATIENCE)
                _patient = dist.new_group(timeout=PATIENCE, backend="gloo")
            except (RuntimeError, ValueError) as error:
                raise MachineError("no-team", problem=str(error).splitlines()[0]) from error
        return cls(dist.get_rank(), dist.get_world_size())

    def total(self, *numbers: float) -> list[float]:
        """Return the sum of each number over all processes."""
        if self.size == 1:
            return list(numbers)
        sums = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(sums)
        return sums.tolist()

    def gather(self, word: Any) -> list[Any]:
        """Return what every process says, in the order of their ranks; each is waited for with PATIENCE.

        word: JSON's own types.
        """
        if self.size == 1:
            return [word]
        said = _spelt(word)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(said)]), group=_patient)
        room = torch.zeros(int(max(lengths)), dtype=torch.uint8)
        room[: len(said)] = said
        heard = [torch.empty_like(room) for _ in range(self.size)]
        dist.all_gather(heard, room, group=_patient)
        return [_read(part[: int(n)]) for part, n in zip(heard, lengths)]

    def agree(self, word: Any) -> Any:
        """Return what the first process says: all go on with the same word. Nobody returns before all have come.

        word: JSON's own types.
        """
        if self.size == 1:
            return word
        said = _spelt(word)
        length = torch.tensor([len(said)])
        dist.broadcast(length, 0, group=_patient)
        heard = said if self.leads else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(heard, 0, group=_patient)
        dist.barrier(group=_patient)
        return _read(heard)


def _spelt(word: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(word).encode()), dtype=torch.uint8)


def _read(said: Tensor) -> Any:
    return json.loads(bytes(said.tolist()))


def shared_by_this_start(store: dist.Store, rank: int, size: int) -> dist.Store:
    """Return the part of ``store`` that the processes of this start, and none of an earlier one, write to.

    torchrun may keep one store over all its restarts, and the address that a dead process has left in it looks as good
    as a living one's (seen with torch 2.13: "connectFullMesh failed"). So the first process announces itself, the
    others answer it, and it tells whose answers it has had; who is not among them has answered a dead one.
    """
    me = uuid.uuid4().hex
    if rank == 0:
        store.set("clearhead", me)
        answers = [store.get(f"clearhead/{me}/{other}").decode() for other in range(1, size)]
        store.set(f"clearhead/{me}", " ".join(answers))
        return dist.PrefixStore(me, store)
    while True:
        first = store.get("clearhead").decode()
        store.set(f"clearhead/{first}/{rank}", me)
        if store.check([f"clearhead/{first}"]) and me in store.get(f"clearhead/{first}").decode().split():
            return dist.PrefixStore(first, store)
        time.sleep(0.02)


class Engine(Protocol):
    """How the processes' gradients become one."""

    files: int
    """How many files a checkpoint's tensors lie in: one, or one a process."""

    def wrap(self, loss: nn.Module) -> nn.Module:
        """Return the module whose backward pass also joins the gradients; parameters may be replaced by their parts."""
        ...

    def piece(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return the context of a micro-batch's passes; with the last one of an update all gradients are joined."""
        ...

    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        """Return a context with the model for every process to compute with by itself."""
        ...


class Alone:
    """One process: nothing to join."""

    files = 1

    def wrap(self, loss: nn.Module) -> nn.Module:
        return loss

    def piece(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        return nullcontext()

    def whole(self, model: nn.Module) -> AbstractContextManager[nn.Module]:
        return nullcontext(model)


class Replicated(Alone):
    """PyTorch's DistributedDataParallel: every process holds all weights and averages the gradients."""

    def wrap(self, loss: nn.Module) -> nn.Module:
        return DistributedDataParallel(loss, gradient_as_bucket_view=True)

    def piece(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        assert isinstance(loss, DistributedDataParallel)
        return nullcontext() if last else loss.no_sync()


class Sharded:
    """PyTorch's fully_shard (FSDP2): every process holds a part of each weight, its gradient and its moments.

    Each layer of a stack is gathered when its turn comes; what belongs to no stack (embeddings, the output matrix) is
    gathered for a whole pass.
    """

    def __init__(self, team: Team) -> None:
        self.files = team.size
        self._shell: nn.Module | None = None

    def wrap(self, loss: nn.Module) -> nn.Module:
        # A model of the same make for computing without PyTorch's hooks; its weights are there only when needed, and
        # not even now are they there twice.
        model = loss.get_submodule("model")
        weights = [weight.data for weight in model.parameters()]
        for weight in model.parameters():
            weight.data = weight.data.new_empty(0)
        self._shell = copy.deepcopy(model)
        for weight, data in zip(model.parameters(), weights):
            weight.data = data
        # By itself it would take a GPU wherever there is one, whatever the model is on.
        mesh = init_device_mesh(weights[0].device.type, (self.files,))
        for module in list(loss.modules()):
            if isinstance(module, nn.ModuleList):
                for layer in module:
                    fully_shard(layer, mesh=mesh)
        fully_shard(loss, mesh=mesh)
        return loss

    def piece(self, loss: nn.Module, last: bool) -> AbstractContextManager[None]:
        # Joined only at the last piece, the gradients of all weights would be held whole until then.
        return nullcontext()

    @contextmanager
    def whole(self, model: nn.Module) -> Iterator[nn.Module]:
        assert self._shell is not None
        for weight, part in zip(self._shell.parameters(), model.parameters()):
            weight.data = part.detach().full_tensor()  # type: ignore[attr-defined]  # a DTensor
        for buffer, ours in zip(self._shell.buffers(), model.buffers()):  # a checkpoint may have brought others
            buffer.copy_(ours)
        try:
            yield self._shell
        finally:
            for weight in self._shell.parameters():
                weight.data = weight.data.new_empty(0)


def make_engine(team: Team, parallel: str) -> Engine:
    """Return the engine for ``training.parallel``: "ddp" or "fsdp"; a team of one needs none."""
    if team.size == 1:
        return Alone()
    match parallel:
        case "ddp":
            return Replicated()
        case "fsdp":
            return Sharded(team)
    raise AssertionError(parallel)


def own_parts(tensors: Mapping[str, Tensor], team: Team) -> dict[str, Tensor]:
    """Return what this process writes of ``tensors``: its rows of each divided one; the first process also the others.

    The parts of all processes, in the order of their ranks, make up the whole along the first dimension.
    """
    parts = {}
    for name, tensor in tensors.items():
        if isinstance(tensor, DTensor):
            parts[name] = tensor.to_local()
        elif team.leads:
            parts[name] = tensor
    return parts


def part_like(whole: Tensor, like: Tensor) -> Tensor:
    """Return of a ``whole`` tensor what this process holds of ``like``, on its device; no process is asked."""
    whole = whole.to(like.device)
    if isinstance(like, DTensor):
        return distribute_tensor(whole, like.device_mesh, like.placements, src_data_rank=None)
    return whole


def whole_number(tensor: Tensor) -> float:
    """Return a scalar that may be divided among processes, such as the norm of divided gradients."""
    return float(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor)
