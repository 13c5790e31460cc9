"""What several processes minimise together is what one minimises: every quotient of sums is formed over all rows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hydra.utils import instantiate
from torch import Tensor, nn

from oponm.configs import compose_choices, groups
from oponm.data.samplers.parts import part_of_batch
from oponm.models import CosineClassifier
from oponm.noise import Batch
from oponm.training import LongTailModule, Phase, PhasePlan

COUNTS = [100, 40, 10, 3]
IMAGES = 11
SIZES = (2, 3)  # processes
LABELS = [0, 0, 0, 1, 0, 1, 2, 1, 3, 3, 2]  # the head in the first part, the tail in the last
NOISE = {"natural": [0] * 11, "first alone": [1, 1, 0, 1] + [0] * 7, "last": [0] * 8 + [1] * 3, "all": [1] * 11}
APPENDED = {2: (3, 2), 3: (2, 2, 1)}  # rows of noise behind the images of each part


def phases() -> dict[str, tuple[Phase, object]]:
    """Each phase of each method, with the method's loss, and some that weigh noise."""
    found: dict[str, tuple[Phase, object]] = {}
    for method in groups()["method"]:
        settings = compose_choices({"method": method})[1]
        plan = PhasePlan.from_config(instantiate(settings["method"]["phases"], _convert_="all"), 200)
        loss = instantiate({**settings["loss"], "_partial_": True})
        found |= {f"{method}-{number}": (phase, loss) for number, phase in enumerate(plan.phases)}
    weighed = [(noise, classes) for noise in (0.0, 0.4) for classes in ("none", "inverse_frequency")]
    plain = found["erm-0"][1]
    for noise, classes in weighed:
        found[f"noise_loss={noise},{classes}"] = (Phase(1, noise=True, noise_loss=noise, class_weights=classes), plain)
    return found


PHASES = phases()
BATCHES = [*NOISE, "mixed", "appended"]
CASES = [(phase, batch) for phase in PHASES for batch in BATCHES]


def make_module(name: str) -> LongTailModule:
    phase, loss = PHASES[name]
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


def step(case: tuple[str, str], rank: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Loss and gradient of a process's part, and the loss that the epoch logs."""
    module = make_module(case[0])
    part = part_of_batch(IMAGES, rank, size)
    module._part = lambda step: part if size > 1 else None
    loss = module.training_step(make_batch(case[1], rank, size), 0)
    loss.backward()
    return loss.detach(), module.model[1].weight.grad, module.train_loss.compute()


def work(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting{size}", rank=rank, world_size=size)
    torch.save([step(case, rank, size) for case in CASES], folder / f"{rank}_of_{size}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[int, list[list[tuple[Tensor, Tensor, Tensor]]]]:
    folder = tmp_path_factory.mktemp("processes")
    for size in SIZES:
        mp.spawn(work, (size, folder), nprocs=size)
    return {size: [torch.load(folder / f"{rank}_of_{size}.pt") for rank in range(size)] for size in SIZES}


@pytest.mark.parametrize("place", range(len(CASES)), ids=["-".join(case) for case in CASES])
@pytest.mark.parametrize("size", SIZES)
def test_processes_average_to_the_loss_and_gradient_of_the_whole_batch(parts, size, place):
    loss, gradient, logged = step(CASES[place], 0, 1)
    of_rank = [of_process[place] for of_process in parts[size]]
    torch.testing.assert_close(sum(part[0] for part in of_rank) / size, loss, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(sum(part[1] for part in of_rank) / size, gradient, rtol=1e-10, atol=1e-12)
    for part in of_rank:
        torch.testing.assert_close(part[2], logged, rtol=1e-5, atol=1e-6)


def test_methods_that_weigh_classes_are_among_them():
    weighing = {name for name, (phase, _) in PHASES.items() if phase.class_weights != "none"}
    assert {"rw-0", "drw-1", "class_balanced_loss-0", "ldam_drw-1"} <= weighing
