from __future__ import annotations

import csv

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger

from oponm.data.noise import make_noise
from oponm.metrics import read_confusion
from oponm.noise import GaussianNoise, ReplaceWithNoise
from oponm.training import evaluate
from oponm.training.noise_answers import noise_answers
from oponm.training.train import make_trainer
from tests.training.small import OPEN, make_data, make_module, run


def answers(data, module=None, **options) -> tuple[list[int], torch.Tensor]:
    """The histogram, and the images it was made of."""
    seen = []
    module = module or make_module(data)
    hook = module.model.register_forward_pre_hook(lambda model, inputs: seen.append(inputs[0]))
    counts = noise_answers(make_trainer(accelerator="cpu", **options), module, data)
    hook.remove()
    return counts, torch.cat(seen)


def pixels(data, images: torch.Tensor) -> torch.Tensor:
    return images * data.pipeline.std + data.pipeline.mean


def test_a_thousand_images_of_the_training_noise_normalized_as_the_input_is():
    data = make_data(noise=lambda *given: ReplaceWithNoise(given[1], 0.5, GaussianNoise([0.9], [0.01])))
    counts, images = answers(data)
    assert (len(counts), sum(counts)) == (10, 1000)
    assert images.shape == (1000, 1, 8, 8)
    assert pixels(data, images).mean().item() == pytest.approx(0.9, abs=1e-3)
    assert pixels(data, images).std().item() == pytest.approx(0.01, abs=1e-3)


@pytest.mark.parametrize("distribution", ["gaussian", "uniform", "class_gaussian", "spectrum"])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_every_noise_can_be_shown(distribution, mode):
    data = make_data(noise=lambda *given: make_noise(*given, distribution=distribution, mode=mode))
    assert sum(answers(data)[0]) == 1000


def test_noise_that_depends_on_the_class_is_drawn_for_each_class_in_turn():
    means = [[label / 20] for label in range(10)]
    data = make_data(
        noise=lambda *given: make_noise(*given, distribution="class_gaussian", mean=means, std=[[0.0]] * 10)
    )
    shown = pixels(data, answers(data)[1])[:, 0, 0, 0]
    torch.testing.assert_close(shown, torch.tensor(means).flatten().repeat(100))


@pytest.mark.parametrize("noise", [lambda *given: make_noise(*given, mode="add"), lambda *given: None])
def test_without_pure_noise_in_training_it_is_gaussian_with_the_images_statistics(noise):
    data = make_data(noise=noise)
    expected = make_data(noise=lambda *given: ReplaceWithNoise(given[1], 0.5, GaussianNoise(*data.statistics)))
    assert torch.equal(answers(data)[1], answers(expected)[1])


def test_the_images_are_a_function_of_the_seed_alone():
    torch.manual_seed(1)
    first = answers(make_data())[1]
    torch.manual_seed(2)
    assert torch.equal(first, answers(make_data(batch_size=32))[1])
    assert not torch.equal(first, answers(make_data(seed=1))[1])


def test_the_module_stays_as_it_is():
    data = make_data()
    module = make_module(data).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    answers(data, module)
    assert all(part.training for part in module.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


def test_it_is_asked_in_the_precision_of_the_run():
    data = make_data()
    module, seen = make_module(data), []
    module.model[2].register_forward_hook(lambda model, inputs, output: seen.append(output.dtype))
    answers(data, module, precision="bf16-mixed")
    assert set(seen) == {torch.bfloat16}


def test_the_favorite_class_of_a_network_shows():
    data = make_data()
    module = make_module(data)
    module.model[2].bias.data[7] = 1e6
    assert answers(data, module)[0] == [0] * 7 + [1000, 0, 0]


def test_a_run_s_result_has_what_was_measured(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    module, result = run(tmp_path, OPEN, loggers=[logger])
    scalars = ["accuracy", "top5_accuracy", "balanced_accuracy", "macro_f1", "geometric_mean", "many", "few", "ece"]
    scalars += ["roc_auc", "average_precision"]
    assert [name for name in result["metrics"] if name != "medium"] == scalars
    assert [len(result[key]) for key in ("recall", "precision", "fifths")] == [10, 10, 5]
    matrix = read_confusion(tmp_path, result["confusion_matrix"])
    assert matrix.sum(1).tolist() == result["test_counts"]
    assert sum(result["noise_histogram"]) == 1000
    again = evaluate(module, make_data(), accelerator="cpu")
    assert again["noise_histogram"] == result["noise_histogram"]
    assert (again["confusion_matrix"] != matrix).nnz == 0

    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    apart = {"train/loss_natural", "train/accuracy_natural", "train/loss_noise", "train/accuracy_noise"}
    assert {name for name in apart if rows[0][name]} == {"train/loss_natural", "train/accuracy_natural"}
    assert {name for name in apart if rows[1][name]} == apart
    for row in rows[:2]:
        assert row["train/accuracy"] == row["train/accuracy_natural"]
    share, natural, noise = (float(rows[1][name]) for name in ("noise_share", "train/loss_natural", "train/loss_noise"))
    assert float(rows[1]["train/loss"]) == pytest.approx((1 - share) * natural + share * noise, rel=1e-5)
    assert {f"test/{name}" for name in scalars} <= set(rows[0])
