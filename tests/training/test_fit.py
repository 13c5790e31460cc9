"""Runs from code: those of the command line, to the bit, and with objects in place of names."""

from __future__ import annotations

import csv
import json
import pickle
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pytorch_lightning.loggers import CSVLogger
from torch import nn
from torchvision.datasets import ImageFolder

from oponm.configs import compose_choices
from oponm.data import DigitsLT, Images, LongTailDataModule, Pool, Source
from oponm.data.augmentation import flip_crop
from oponm.data.mixing import mixup
from oponm.data.noise import make_noise
from oponm.errors import InputError
from oponm.losses import Focal
from oponm.metrics import MOST_CONFUSED
from oponm.models import SmallCNN
from oponm.report import read_report
from oponm.training import Phase, Run, fit
from oponm.training.schedule import cosine_schedule
from tests.cli.command import oponm
from tests.models.networks import HeadOfTwoLayers, WithOthersOfThatSize


class OwnNet(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.body = SmallCNN(num_classes, in_channels, width=4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.body(images)


@pytest.fixture(scope="module")
def data() -> DigitsLT:
    return DigitsLT(imbalance_ratio=50)


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    done = oponm("train", "trainer.max_epochs=3", "seed=1", "output_dir=run", "phase_cache=cache", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["state_dict"]


def assert_same_bits(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_is_the_command_to_the_bit(command, data, tmp_path):
    run = fit(data, max_epochs=3, seed=1, output_dir=tmp_path / "run")
    assert_same_bits(run.folder, command / "run")
    other = weights(fit(data, max_epochs=3).folder)
    assert any(not torch.equal(tensor, other[name]) for name, tensor in weights(run.folder).items())
    theirs = json.loads((command / "run/result.json").read_text())
    for key in ("metrics", "recall", "confusion_matrix", "noise_histogram", "choices", "content_digest", "phases"):
        assert run.result[key] == theirs[key], key
    assert set(run.result["overrides"]) == {"trainer.max_epochs=3", "seed=1"} <= set(theirs["overrides"])
    ours, expected = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (run.folder, command / "run"))
    for key in ("logger", "output_dir", "phase_cache", "resume", "optimized_metric"):
        ours.pop(key, None), expected.pop(key, None)
    assert ours == expected
    rows, others = (list(csv.DictReader((folder / "metrics.csv").open())) for folder in (run.folder, command / "run"))
    assert rows == others
    assert {path.name for path in run.folder.iterdir()} == {path.name for path in (command / "run").iterdir()} - {
        "run.log"
    }


def test_phases_are_shared_with_the_command(command, data):
    run = fit(data, method="drs", max_epochs=3, seed=1, phase_cache=command / "cache")
    assert run.result["reused"]["epochs"] == 2


def test_a_run_of_the_command_is_read(command, data):
    run = Run.load(command / "run")
    assert run.metrics == json.loads((command / "run/result.json").read_text())["metrics"]
    assert [row["epoch"] for row in run.epochs] == [0, 1, 2]
    assert run.evaluate(data)["metrics"] == run.metrics
    assert run.evaluate(data, split="train")["test_counts"] == run.result["class_counts"]
    assert repr(run).startswith("<Run: open on digits_lt, small_cnn, seed 1: balanced accuracy")


def test_the_command_line_reads_a_run_from_code(data, tmp_path):
    run = fit(
        data, method="drs", max_epochs=2, optimizer=partial(torch.optim.SGD, lr=0.05), output_dir=tmp_path / "run"
    )
    done = oponm("eval", "checkpoint=run/checkpoints/last.ckpt", "output_dir=eval", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "eval/result.json").read_text())["metrics"] == run.metrics
    config = yaml.safe_load((tmp_path / "eval/config.yaml").read_text())
    assert (config["optimizer"]["lr"], config["optimizer"]["momentum"]) == (0.05, 0)


def test_names_and_objects_are_the_same(data):
    named = fit(data, method="rs", max_epochs=2, loss="focal", schedule="cosine", noise="uniform")
    by_object = fit(
        data,
        partial(SmallCNN, width=16),
        [Phase(200, sampler="class_balanced")],
        max_epochs=2,
        loss=Focal,
        schedule=cosine_schedule,
        noise=partial(make_noise, distribution="uniform", delta=1 / 3),
    )
    assert_same_bits(named.folder, by_object.folder)
    choices = by_object.result["choices"]
    assert [choices[group] for group in ("method", "loss", "schedule", "noise")] == ["rs", "focal", "cosine", "uniform"]
    assert sorted(by_object.result["overrides"]) == sorted(named.result["overrides"])


def test_the_second_stage_trains_the_layer_that_gives_the_logits(data):
    plain, retrained = (
        fit(data, WithOthersOfThatSize, method=method, max_epochs=3, norm="standard") for method in ("erm", "crt")
    )
    before = {name: tensor for name, tensor in weights(plain.folder).items() if "second_head" in name}
    after = weights(retrained.folder)
    assert before
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert not torch.equal(weights(plain.folder)["model.output.weight"], after["model.output.weight"])


def test_the_classifier_can_be_named(data):
    run = fit(data, HeadOfTwoLayers, method="crt", max_epochs=3, norm="standard", classifier="head")
    assert "model.classifier=head" in run.result["overrides"]
    assert fit(data, max_epochs=1, method="erm", classifier="fc").metrics
    with pytest.raises(InputError, match="classifier is stem, whose output is not the logits"):
        fit(data, HeadOfTwoLayers(10, 1), method="crt", max_epochs=3, classifier="stem")


class Auxiliary(WithOthersOfThatSize):
    def __init__(self, always: bool = False, **sizes: int) -> None:
        super().__init__(**sizes, auxiliary=True)
        self.always = always

    def forward(self, images: torch.Tensor):
        return super().forward(images) if not self.always else (super().forward(images), None)


@pytest.mark.parametrize(
    ("always", "words"),
    [(False, "model gives a tuple for 2 images in training"), (True, "model gives a tuple for an image")],
)
@pytest.mark.parametrize("method", ["erm", "crt"])
def test_a_network_that_returns_more_than_logits_is_refused_in_one_line(data, always, words, method):
    with pytest.raises(InputError, match=words):
        fit(data, partial(Auxiliary, always), method=method, max_epochs=3, norm="standard")


class ManyClasses(LongTailDataModule):
    """More classes than confusions are counted for, an image or two of each."""

    def load_source(self) -> Source:
        classes = MOST_CONFUSED + 1
        labels = np.arange(classes).repeat(2)
        images = torch.randint(
            256, (2 * classes, 1, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        )
        pool = Pool(labels, lambda wanted: Images(images[wanted], np.arange(len(wanted))))
        return Source([str(label) for label in range(classes)], pool, pool)


@pytest.mark.parametrize("asked", ["auto", True])
def test_of_many_classes_confusions_are_counted_where_that_is_asked_for(tmp_path, asked):
    options = {"max_epochs": 1, "method": "erm", "norm": "standard", "confusion_matrix": asked}
    run = fit(ManyClasses(val="test"), partial(SmallCNN, width=2), output_dir=tmp_path / "run", **options)
    assert (tmp_path / "run/result.json").stat().st_size < 200 * MOST_CONFUSED
    if asked == "auto":
        assert run.confusion_matrix is run.result["confusion_matrix"] is run.evaluate()["confusion_matrix"] is None
        assert not (tmp_path / "run/confusion_matrix.npz").exists()
    else:
        assert run.result["confusion_matrix"] == "confusion_matrix.npz"
        assert run.confusion_matrix.sum(1).tolist() == [2] * (MOST_CONFUSED + 1)
        assert (run.evaluate()["confusion_matrix"] != run.confusion_matrix).nnz == 0
        assert "trainer.confusion_matrix=true" in run.result["overrides"]
        (tmp_path / "run/confusion_matrix.npz").write_bytes(b"damaged")
        with pytest.raises(InputError, match=r"confusion_matrix\.npz cannot be read"):
            _ = Run.load(tmp_path / "run").confusion_matrix


def test_the_confusion_matrix_of_a_run_of_an_older_version(data, tmp_path):
    run = fit(data, max_epochs=1, method="erm", output_dir=tmp_path / "run")
    written = run.confusion_matrix.toarray().tolist()
    assert [sum(row) for row in written] == run.result["test_counts"]
    (tmp_path / "run/result.json").write_text(json.dumps({**run.result, "confusion_matrix": written}))
    assert Run.load(tmp_path / "run").confusion_matrix.toarray().tolist() == written
    with pytest.raises(InputError, match="confusion_matrix must be auto, true or false"):
        fit(data, max_epochs=1, method="erm", confusion_matrix="yes")


def test_a_folder_and_a_dataset_in_place_of_a_data_module(tmp_path):
    random = np.random.default_rng(0)
    for name, number in (("cat", 12), ("dog", 6)):
        (tmp_path / name).mkdir()
        for index in range(number):
            Image.fromarray(random.integers(256, size=(8, 8, 3)).astype(np.uint8)).save(
                tmp_path / name / f"{index}.png"
            )
    folder = fit(str(tmp_path), method="erm", max_epochs=1)
    assert folder.result["class_names"] == ["cat", "dog"]
    dataset = fit(ImageFolder(str(tmp_path)), method="erm", max_epochs=1)
    assert dataset.result["content_digest"] == folder.result["content_digest"]
    assert dataset.evaluate()["metrics"] == dataset.metrics
    with pytest.raises(InputError, match="data is not a folder: nowhere"):
        fit("nowhere")


def test_a_network_of_a_library_by_its_name(data):
    run = fit(data, model="timm/resnet18", method="erm", max_epochs=1)
    assert run.result["choices"]["model"] == "timm"
    assert type(run.network).__module__.startswith("timm.")
    with pytest.raises(InputError, match="name is no network of timm, got 'resnet_18'"):
        fit(data, model="timm/resnet_18")
    with pytest.raises(InputError, match="model must be one of timm, torchvision, got 'keras'"):
        fit(data, model="keras/resnet18")


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda counts: nn.CrossEntropyLoss(), r"loss gives \(\) for two rows, .* reduction='none'"),
        (nn.CrossEntropyLoss(), "loss must be a function from the class counts to the loss, such as lambda counts"),
        (nn.CrossEntropyLoss, "loss cannot be used"),
    ],
)
def test_a_loss_that_cannot_be_used(data, loss, words):
    with pytest.raises(InputError, match=words):
        fit(data, max_epochs=2, loss=loss)
    with pytest.raises(InputError, match=words):
        fit(data, max_epochs=2, method=[Phase(1), Phase(1, loss=loss)])


def test_a_single_logger(data, tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    fit(data, method="erm", max_epochs=1, loggers=logger)
    assert (tmp_path / "metrics.csv").is_file()
    with pytest.raises(InputError, match="loggers must be Lightning's, one or a list of them, got 'csv'"):
        fit(data, max_epochs=1, loggers="csv")


def test_phases_of_one_s_own(data):
    phases = [Phase(1), Phase(1, "class_balanced", noise=True, class_weights="effective_number")]
    run = fit(data, method=phases, max_epochs=2)
    assert run.result["choices"]["method"] == "instance > class_balanced+noise+effective_number"
    assert "method.phases=[{epochs:1}," in " ".join(run.result["overrides"])


def test_defaults_are_the_command_line_s():
    import inspect

    defaults = {name: parameter.default for name, parameter in inspect.signature(fit).parameters.items()}
    _, settings = compose_choices({})
    assert defaults["max_epochs"] == settings["trainer"]["max_epochs"]
    chosen, _ = compose_choices({})
    assert all(chosen[group] == defaults[group] for group in ("model", "method", "norm", "optimizer"))


def test_the_data_module_stays_as_it_is(data):
    data.setup()
    before = (data.seed, data.make_noise, data.pipeline, data.test_set, torch.get_num_threads())
    run = fit(data, max_epochs=2, seed=7, noise="uniform", num_threads=2)
    run.evaluate(split="train")
    assert (data.seed, data.make_noise, data.pipeline, data.test_set, torch.get_num_threads()) == before
    assert data.trainer is None
    assert run.result["seed"] == 7


def test_a_network_of_one_s_own(data, tmp_path):
    network = OwnNet(10, 1)
    run = fit(data, network, "ldam_drw", max_epochs=2, output_dir=tmp_path / "run")
    assert torch.equal(network.body.fc.weight, weights(run.folder)["model.body.fc.weight"])
    assert type(network.body.fc).__name__ == "CosineClassifier"
    assert run.result["choices"]["model"] == "OwnNet"
    pixels = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    with pytest.raises(InputError, match="network="):
        Run.load(tmp_path / "run").predict(pixels)
    assert Run.load(tmp_path / "run", network=network).predict(pixels) == run.predict(pixels)

    made = fit(data, OwnNet, max_epochs=2)
    assert made.predict(pixels) == Run.load(made, network=OwnNet).predict(pixels)
    with pytest.raises(InputError, match="which is not part of oponm: if you trust the file, set trust=true"):
        Run.load(made).predict(pixels)


def test_predictions_of_files_and_pixels(data, tmp_path):
    run = fit(data, max_epochs=2)
    data.setup()
    pixels = data.test_set.images[:4]
    for number, image in enumerate(pixels):
        Image.fromarray(image[0].numpy()).save(tmp_path / f"{number}.png")
    of_pixels, of_files = run.predict(pixels), run.predict(tmp_path)
    assert [found.probabilities for found in of_files] == [found.probabilities for found in of_pixels]
    assert [found.path.name for found in of_files] == [f"{number}.png" for number in range(4)]
    logits = run.network(((pixels / 255) - run.classifier.statistics.mean[0]) / run.classifier.statistics.std[0])
    assert [found.label for found in of_pixels] == logits.argmax(1).tolist()
    with pytest.raises(InputError, match="must be uint8"):
        run.predict(pixels.float())
    (tmp_path / "bad.png").write_text("no image")
    with pytest.raises(InputError, match=r"bad\.png"):
        run.predict(tmp_path)
    assert len(run.predict([tmp_path], on_error="skip")) == 4


def test_evaluation_on_a_folder_and_export(data, tmp_path):
    run = fit(data, max_epochs=2)
    (tmp_path / "images/3").mkdir(parents=True)
    Image.fromarray(data.test_set.images[0, 0].numpy()).save(tmp_path / "images/3/a.png")
    assert sum(run.evaluate(tmp_path / "images")["test_counts"]) == 1
    files = run.export(tmp_path / "out/model.pt2", "torch_export")
    assert torch.export.load(files[-1]).module()(torch.rand(2, 1, 8, 8)).shape == (2, 10)
    card = files[1].read_text()
    assert "oponm train trainer.max_epochs=2" in card
    assert "trained from code" in card


def test_the_best_epoch(tmp_path):
    run = fit(DigitsLT(imbalance_ratio=20, val="split"), max_epochs=3, output_dir=tmp_path / "run")
    best = Run.load(run, weights="best", data=run.data)
    assert best.evaluate()["metrics"] == best.metrics == run.result["best"]["metrics"]
    with pytest.raises(InputError, match="no validation set"):
        _ = Run.load(fit(DigitsLT(imbalance_ratio=20), max_epochs=2), weights="best").metrics


def test_a_run_that_was_begun_goes_on_and_one_that_is_done_is_read(data, tmp_path, monkeypatch):
    whole = fit(data, max_epochs=3, output_dir=tmp_path / "whole")
    options = {"max_epochs": 3, "output_dir": tmp_path / "run", "checkpoint_every_n_steps": 2}
    from oponm.training.callbacks.checkpoint import Checkpoints

    original = Checkpoints.save_last

    def save_and_die(self, trainer, started=None):
        original(self, trainer, started)
        if trainer.global_step >= 6:
            raise RuntimeError("killed")

    monkeypatch.setattr(Checkpoints, "save_last", save_and_die)
    with pytest.raises(RuntimeError, match="killed"):
        fit(data, **options)
    monkeypatch.undo()
    with pytest.raises(InputError, match="holds no finished run"):
        Run.load(tmp_path / "run")
    with pytest.raises(InputError, match="optimizer"):
        fit(data, **options, resume=True, optimizer="adam")
    assert_same_bits(fit(data, **options, resume=True).folder, whole.folder)
    before = (tmp_path / "run/result.json").read_bytes()
    assert fit(data, **options, resume=True).metrics == whole.metrics
    assert (tmp_path / "run/result.json").read_bytes() == before
    with pytest.raises(InputError, match="output_dir"):
        fit(data, **options)


def test_a_folder_of_no_name_goes_when_the_program_ends(data, monkeypatch):
    at_exit = []
    monkeypatch.setattr("atexit.register", lambda *call, **options: at_exit.append(partial(*call, **options)))
    folder = fit(data, max_epochs=2).folder
    assert (folder / "result.json").is_file()
    for call in at_exit:
        call()
    assert not folder.exists()


def test_reports_tell_runs_from_code_apart(data):
    runs = [fit(data, max_epochs=2, seed=seed, noise_grad=grad) for seed in (0, 1) for grad in ("none", "full")]
    report = read_report(runs)
    assert {group.name: len(group.runs) for group in report.groups} == {"open": 2, "open norm.noise_grad=full": 2}
    assert not report.problems


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "opn"}, "method must be one of"),
        ({"method": []}, "phases"),
        ({"model": OwnNet(7, 1)}, "one for each class"),
        ({"model": SmallCNN(10, 3)}, "model cannot be used"),
        ({"norm": "standard", "noise_grad": "all"}, "noise_grad"),
        ({"noise_grad": "some"}, "noise_grad"),
        ({"norm": SmallCNN}, "norm must be one of aux, dar, standard"),
        ({"max_epochs": 0}, "max_epochs"),
        ({"seed": -1}, "seed"),
        ({"optimizer": partial(torch.optim.SGD, lr=-1)}, "optimizer"),
        ({"resume": True}, "output_dir"),
        ({"shots": 5}, "shots must be a dict"),
        ({"callbacks": 5}, "callbacks must be Lightning's, or names"),
        ({"phase_cache": 5}, "phase_cache must be a path, got 5"),
        ({"checkpoint_every_minutes": "a"}, "checkpoint_every_minutes must be a number"),
        ({"head": "round"}, "head"),
        ({"shots": {"many_over": 1, "few_under": 50}}, "many_over|few_under"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(data, options, words, tmp_path):
    given = {"max_epochs": 2, **options}
    given |= {} if "resume" in options else {"output_dir": tmp_path / "run"}
    with pytest.raises(InputError, match=words):
        fit(data, **given)
    assert list(tmp_path.iterdir()) == []


def test_noise_that_is_no_transform(data, tmp_path):
    with pytest.raises(InputError, match=r"noise must make a noise transform, .* got 3"):
        fit(data, max_epochs=2, noise=lambda *given: 3, output_dir=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_data_with_an_augmentation_of_its_own(tmp_path):
    run = fit(DigitsLT(augmentation=partial(flip_crop, padding=1)), max_epochs=2)
    assert run.result["choices"]["augmentation"] == "flip_crop"
    assert {"augmentation.padding=1", "data.imbalance_ratio=null"} <= set(run.result["overrides"])


def test_nothing_in_a_checkpoint_is_executed(data, tmp_path):
    run = fit(data, max_epochs=2, output_dir=tmp_path / "run")
    run.checkpoint.write_bytes(pickle.dumps(Path))
    with pytest.raises(InputError, match=r"last\.ckpt"):
        _ = Run.load(run).network


def test_callbacks_by_name_are_those_of_the_command(tmp_path):
    run = fit(DigitsLT(imbalance_ratio=50), method="erm", max_epochs=2, callbacks=["ema"], output_dir=tmp_path / "run")
    saved = torch.load(run.checkpoint, weights_only=True)
    assert "ExponentialAverage" in "".join(saved["callbacks"])
    assert run.result["choices"]["callbacks"] == "ema"
    assert "callbacks=[ema]" in run.result["overrides"]
    with pytest.raises(InputError, match="emo") as error:
        fit(DigitsLT(imbalance_ratio=50), callbacks="emo")
    assert error.value.key == "callbacks"


@pytest.mark.parametrize("name", ["augmentation", "mixing"])
def test_settings_of_the_data_are_refused_with_their_place(name):
    with pytest.raises(InputError, match=rf"is a setting of the data: DigitsLT\({name}=") as error:
        fit(DigitsLT(imbalance_ratio=50), **{name: "none"})
    assert error.value.key == name


@pytest.mark.parametrize("mixing", [None, mixup])
def test_a_method_s_mixing_is_the_data_s_to_give_and_said_where_it_is_not(tmp_path, caplog, mixing):
    data = DigitsLT(imbalance_ratio=50, **({} if mixing is None else {"mixing": mixing}))
    run = fit(data, "small_cnn", "mislas", max_epochs=3, output_dir=tmp_path / "run")
    said = "method=mislas is published with mixing=mixup: give it to the data"
    assert (said in caplog.messages) == (mixing is None)
    assert run.result["choices"]["mixing"] == ("none" if mixing is None else "mixup")
    assert ("mixing=none" in run.result["overrides"]) == (mixing is None)
