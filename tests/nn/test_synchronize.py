"""Several processes against one on the same global batch, in float64."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.distributed as dist
from timm.layers import BatchNormAct2d
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from oponm.errors import InputError
from oponm.nn import convert_batchnorm, desynchronize_batchnorm, noise_routing, synchronize_batchnorm
from tests.processes import spawn

KINDS = [("dar", "none"), ("dar", "input"), ("dar", "full"), ("aux", "none"), ("aux", "full"), ("standard", "full")]
KINDS += [("standard", "none"), ("standard", "input")]
STEPS, ROWS = 4, 16
# Which rows of a global batch of 16 are noise, step by step.
MASKS = {
    "scattered": lambda step: torch.arange(ROWS) % 3 == step % 3,
    "none on the first rank": lambda step: (torch.arange(ROWS) >= 8) & (torch.arange(ROWS) % 2 == step % 2),
    "nothing else on the last rank": lambda step: torch.arange(ROWS) >= 12 - step % 2,
    "none at all": lambda step: torch.zeros(ROWS, dtype=torch.bool),
    "a single row": lambda step: torch.arange(ROWS) == step,
    "no route": lambda step: None,
}
CASES = {2: [(*kind, mask) for kind in KINDS for mask in MASKS]}
CASES[4] = [case for case in CASES[2] if case[:2] in KINDS[:4] and case[2] in list(MASKS)[:3]]


def make_network(kind: str, noise_grad: str) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), BatchNormAct2d(4)),
        *(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4, momentum=None), nn.Flatten(), nn.Linear(4, 5), nn.BatchNorm1d(5)),
    )
    return convert_batchnorm(network, kind, noise_grad).double()


def train(network: nn.Module, mask: str, part: slice) -> tuple[list, dict]:
    """Losses and gradients of each step, and the state at the end."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    generator = torch.Generator().manual_seed(1)
    steps = []
    for step in range(STEPS):
        images = torch.randn(ROWS, 3, 8, 8, generator=generator, dtype=torch.float64) * 2 + 1
        targets = torch.randint(5, (ROWS,), generator=generator)
        is_noise = MASKS[mask](step)
        with noise_routing(None if is_noise is None else is_noise[part]):
            logits = network(images[part])
        loss = nn.functional.cross_entropy(logits, targets[part])
        optimizer.zero_grad()
        loss.backward()
        steps.append((loss.item(), [None if p.grad is None else p.grad.clone() for p in network.parameters()]))
        optimizer.step()
    return steps, {name.removeprefix("module."): tensor for name, tensor in network.state_dict().items()}


def work(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    part = slice(rank * ROWS // size, (rank + 1) * ROWS // size)
    done = []
    for kind, noise_grad, mask in CASES[size]:
        network = synchronize_batchnorm(make_network(kind, noise_grad))
        wrapped = DistributedDataParallel(network, find_unused_parameters=kind == "aux", broadcast_buffers=False)
        done.append(train(wrapped, mask, part))
    torch.save(done, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict[int, list[list]]:
    """What each process came to, case by case, by the number of processes."""
    done = {}
    for size in CASES:
        folder = tmp_path_factory.mktemp("processes")
        spawn(work, (size, str(folder)), size)
        done[size] = [torch.load(folder / f"{rank}.pt") for rank in range(size)]
    return done


@pytest.mark.parametrize(
    ("size", "case"),
    [(size, case) for size, cases in CASES.items() for case in range(len(cases))],
    ids=[f"{size} {' '.join(case)}" for size, cases in CASES.items() for case in cases],
)
def test_losses_gradients_and_statistics_are_those_of_one_process(trained, size, case):
    trained, (kind, noise_grad, mask) = trained[size], CASES[size][case]
    steps, state = train(make_network(kind, noise_grad), mask, slice(0, ROWS))
    exact = {"atol": 1e-10, "rtol": 1e-10}
    for number, (loss, grads) in enumerate(steps):
        parts = [of_rank[case][0][number] for of_rank in trained]
        assert sum(part[0] for part in parts) / len(parts) == pytest.approx(loss, rel=1e-10, abs=1e-10)
        for part in parts:
            for mine, expected in zip(part[1], grads, strict=True):
                assert (mine is None) == (expected is None)
                if expected is not None:
                    torch.testing.assert_close(mine, expected, **exact)
    for of_rank in trained:
        assert of_rank[case][1].keys() == state.keys()
        for name, tensor in of_rank[case][1].items():
            torch.testing.assert_close(tensor, state[name], **exact)
            assert torch.equal(tensor, trained[0][case][1][name]), f"{name} differs between the processes"


def test_in_one_process_and_in_evaluation_nothing_changes():
    for kind, noise_grad in KINDS:
        plain, images = make_network(kind, noise_grad), torch.randn(ROWS, 3, 8, 8, dtype=torch.float64)
        shared = synchronize_batchnorm(copy.deepcopy(plain))
        for network in (plain, shared):
            network.train()
        with noise_routing(MASKS["scattered"](0)):
            assert torch.equal(plain(images), shared(images))
        assert torch.equal(plain.eval()(images), shared.eval()(images))
        assert plain.state_dict().keys() == shared.state_dict().keys()


def test_it_is_undone_and_survives_copies():
    network = nn.Sequential(nn.BatchNorm2d(3), convert_batchnorm(nn.BatchNorm2d(3)), BatchNormAct2d(3))
    before = [type(layer) for layer in network]
    shared = pickle.loads(pickle.dumps(copy.deepcopy(synchronize_batchnorm(network))))
    assert [layer.synchronized for layer in shared] == [True] * 3
    assert [type(layer) for layer in desynchronize_batchnorm(shared)] == before
    assert not any(getattr(layer, "synchronized", False) for layer in shared)


def test_a_layer_that_torch_has_synchronized_is_refused():
    with pytest.raises(InputError, match="SyncBatchNorm"):
        synchronize_batchnorm(nn.Sequential(nn.BatchNorm2d(3), nn.SyncBatchNorm(3)))
