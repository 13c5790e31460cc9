"""A step of one process and its part of a batch; apart from the tests, as processes import it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from oponm.data.samplers.batches import part_of_batch
from oponm.models import CosineClassifier
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase

COUNTS = [100, 40, 10, 3]
IMAGES = 11
LABELS = [0, 0, 0, 1, 0, 1, 2, 1, 3, 3, 2]  # the head in the first part, the tail in the last
NOISE = {"natural": [0] * 11, "first alone": [1, 1, 0, 1] + [0] * 7, "last": [0] * 8 + [1] * 3, "all": [1] * 11}
APPENDED = {2: (3, 2), 3: (2, 2, 1)}  # rows of noise behind the images of each part
Case = tuple[Phase, object, str]  # with what makes the loss, and the kind of batch


def make_module(phase: Phase, loss: object) -> LongTailModule:
    generator = torch.Generator().manual_seed(1)
    network = nn.Sequential(nn.Flatten(), CosineClassifier(9, len(COUNTS))).double()
    with torch.no_grad():
        network[1].weight.copy_(torch.randn(len(COUNTS), 9, generator=generator))
    module = LongTailModule(network, class_counts=COUNTS, loss=loss)
    module.to(torch.float64)
    module._trainer = SimpleNamespace(current_epoch=0, global_rank=0, world_size=1)
    module.follow(phase)
    return module


def make_batch(kind: str, rank: int, size: int) -> Batch:
    """A process's part of the batch; of one process, the whole."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(IMAGES, 1, 3, 3, generator=generator, dtype=torch.float64)
    targets, part = torch.tensor(LABELS), part_of_batch(IMAGES, rank, size)
    mine = slice(part.start, part.stop)
    if kind in NOISE:
        is_noise = None if kind == "natural" else torch.tensor(NOISE[kind]).bool()[mine]
        return Batch(images[mine], targets[mine], is_noise)
    if kind == "mixed":
        partners, shares = targets.flip(0), torch.rand(IMAGES, generator=generator, dtype=torch.float64)
        return Batch(images[mine], targets[mine], None, partners[mine], shares[mine])
    noise = torch.randn(5, 1, 3, 3, generator=generator, dtype=torch.float64)
    labels, added = torch.tensor([3, 2, 3, 1, 0]), APPENDED.get(size, (5,))
    own = slice(sum(added[:rank]), sum(added[: rank + 1]))
    is_noise = torch.tensor([False] * (part.stop - part.start) + [True] * added[rank])
    return Batch(torch.cat([images[mine], noise[own]]), torch.cat([targets[mine], labels[own]]), is_noise)


def step(case: Case, rank: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and gradient of a process's part, and the loss that the epoch logs."""
    phase, loss, kind = case
    module = make_module(phase, loss)
    part = part_of_batch(IMAGES, rank, size)
    module._part = lambda step: part if size > 1 else None
    loss = module.training_step(make_batch(kind, rank, size), 0)
    loss.backward()
    return loss.detach(), module.model[1].weight.grad, module.train_loss.compute()


def work(rank: int, size: int, folder: Path, cases: list[Case]) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{size}", rank=rank, world_size=size)
    torch.save([step(case, rank, size) for case in cases], folder / f"{rank}_of_{size}.pt")
    dist.destroy_process_group()
