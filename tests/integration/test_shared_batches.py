"""What several processes minimize together is what one minimizes: every quotient of sums is formed over all rows."""

from __future__ import annotations

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from oponm.configs import compose_choices, groups
from oponm.training import Phase, PhasePlan
from tests.integration.shared_steps import NOISE, step, work
from tests.processes import spawn

SIZES = (2, 3)  # processes


DRAWS = {"gcl"}  # methods whose loss draws: each process draws for its own rows, as for dropout


def phases() -> dict[str, tuple[Phase, object]]:
    """Each phase of each method, with the method's loss, and some that weigh noise."""
    found: dict[str, tuple[Phase, object]] = {}
    for method in sorted({*groups()["method"]} - DRAWS):
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
NAMES = [(phase, batch) for phase in PHASES for batch in BATCHES]
CASES = [(*PHASES[phase], batch) for phase, batch in NAMES]


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[int, list[list[tuple[Tensor, Tensor, Tensor]]]]:
    folder = tmp_path_factory.mktemp("processes")
    for size in SIZES:
        spawn(work, (size, folder, CASES), size)
    return {size: [torch.load(folder / f"{rank}_of_{size}.pt") for rank in range(size)] for size in SIZES}


@pytest.mark.parametrize("place", range(len(CASES)), ids=map("-".join, NAMES))
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
