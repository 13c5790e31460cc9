"""CIFAR-10-LT and CIFAR-100-LT: the published files, checked, and read without executing any code in them.

Addresses, names and checksums are torchvision's. Its classes are not used to read files: they execute any code that a
pickle names, which is unsafe with ``verify=false``, as the files may be anybody's. Its downloads have no time limit,
show a progress bar where there is no terminal, and leave truncated files under their final names.
"""

from __future__ import annotations

import os
import pickle
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torchvision.datasets import CIFAR10, CIFAR100
from typing_extensions import Unpack

from oponm.data.check import DataCheck
from oponm.data.module import LongTailDataModule
from oponm.data.options import DataOptions
from oponm.data.sources.base import Pool, Source
from oponm.data.sources.download import check_hash, download, scratch_folder
from oponm.errors import InputError, check_flag, check_path

PUBLISHED: dict[int, Any] = {10: CIFAR10, 100: CIFAR100}  # for their addresses, file names and checksums
REPLACE = "delete it and download it again, or set data.verify=false to use it as it is"


class CifarLT(LongTailDataModule):
    """A long-tailed draw of CIFAR-10 or CIFAR-100 with their balanced test set of 10,000 images.

    Images keep the order of the published files, so ``draw="ldam"`` and ``draw="m2m"`` give the subsets of the
    literature. The files are looked for at torchvision's paths, ``root/cifar-10-batches-py/*`` or
    ``root/cifar-100-python/*``, then unpacked from the archive if that is in ``root``, else downloaded. A download gets
    its final name only when it is complete and has its published checksums.

    Args:
        root: folder that contains the folders and archives of the data sets; missing files are downloaded to it.
        num_classes: 10 or 100.
        download: whether to download missing files.
        verify: whether to compare the files, and their archive if it is in ``root``, with their published checksums.
            False reads them unchecked, and takes numbers as class names if the file of class names is missing. A
            download is always compared.
        **options: for :class:`~oponm.data.LongTailDataModule`.

    Raises:
        InputError: for a value out of range; from :meth:`setup`, if files are missing and cannot be downloaded, have
            another checksum, or contain anything but images and labels.

    References:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019.

    Example:
        Made-up files in the published format, to download nothing; ``CifarLT("data")`` downloads the real ones.

        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "cifar-100-python")
        >>> folder.mkdir()
        >>> pixels = np.arange(500 * 3072, dtype=np.uint32).reshape(500, 3072).astype(np.uint8)
        >>> for name in ("train", "test"):
        ...     batch = {"data": pixels, "fine_labels": list(range(100)) * 5}
        ...     size = (folder / name).write_bytes(pickle.dumps(batch))
        >>> data = CifarLT(folder.parent, num_classes=100, verify=False, imbalance_ratio=5)
        >>> data.setup()
        >>> data.image_shape, sum(data.class_counts), data.class_counts[:3], data.class_counts[-3:]
        ((3, 32, 32), 204, [5, 4, 4], [1, 1, 1])
    """

    def __init__(
        self,
        root: str | Path,
        num_classes: int = 10,
        download: bool = True,
        verify: bool = True,
        **options: Unpack[DataOptions],
    ) -> None:
        super().__init__(**options)
        if isinstance(num_classes, bool) or num_classes not in PUBLISHED:
            raise InputError(f"must be 10 or 100, got {num_classes!r}", "num_classes")
        self.root, self.num_classes = check_path("root", root), num_classes
        self.download, self.verify = check_flag("download", download), check_flag("verify", verify)

    def prepare_data(self) -> None:
        """Download the files, or unpack their archive, unless they exist."""
        if self._ready:
            return
        published = PUBLISHED[self.num_classes]
        missing = self._missing()
        if not missing:
            return
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"is not a folder: {self.root}", "root")
        if not self.download and not (self.root / published.filename).is_file():
            by_hand = _by_hand(published, self.root)
            raise InputError(f"{self.root} lacks {missing[0]}: set data.download=true, or {by_hand}", "root")
        fetch(published, self.root, self.verify)

    def survey(self) -> DataCheck:
        """List present and missing files; nothing is downloaded."""
        survey, published = DataCheck(), PUBLISHED[self.num_classes]
        folder = self.root / published.base_folder
        for name, md5 in _checksums(published):
            if not (folder / name).is_file():
                continue
            try:
                if self.verify:
                    check_hash(folder / name, md5, REPLACE)
                survey.note(name, f"md5 {md5}, as published" if self.verify else "not compared with the published")
            except InputError as error:
                survey.refuse(name, error)
        if missing := self._missing():
            names, whole = ", ".join(file.name for file in missing), len(_checksums(published))
            archive = self.root / published.filename
            if archive.is_file():
                remedy = f"run 'oponm data prepare' with the same settings to unpack {archive}"
            else:
                remedy = "run 'oponm data prepare' with the same settings and data.download=true, or "
                remedy += _by_hand(published, self.root)
            survey.refuse("missing", InputError(f"{folder} lacks {len(missing)} of {whole} files, {names}: {remedy}"))
        return survey

    def _missing(self) -> list[Path]:
        """Required files that are missing."""
        published = PUBLISHED[self.num_classes]
        folder, needed = self.root / published.base_folder, _needed(published, self.verify)
        files = [folder / name for name, _ in _checksums(published) if name in needed]
        return [file for file in files if not file.is_file()]

    def load_source(self) -> Source:
        """Read the images in the order of the published files, after fetching missing ones."""
        self.prepare_data()
        published = PUBLISHED[self.num_classes]
        folder = self.root / published.base_folder
        if self.verify:
            for name, md5 in _checksums(published):
                check_hash(folder / name, md5, REPLACE)

        key = published.meta["key"]
        names_file, label_key = folder / published.meta["filename"], key.replace("label_names", "labels")

        def pool(files: list[tuple[str, str]]) -> Pool:
            batches = [_read_batch(folder / name, label_key, self.num_classes) for name, _ in files]
            images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
            return Pool.of(torch.from_numpy(images), labels)

        if names_file.is_file() or self.verify:
            names = _read_names(names_file, key, self.num_classes)
        else:
            names = [str(label) for label in range(self.num_classes)]
        return Source(names, pool(published.train_list), pool(published.test_list))


def fetch(published: Any, root: Path, verify: bool = True) -> None:
    """Put the files of a data set into ``root``: unpack the archive if it is in ``root``, else download it.

    All work is done in a temporary folder in ``root``. Files that exist already, or that another process puts there
    meanwhile, are kept.

    Args:
        published: :class:`torchvision.datasets.CIFAR10`, or a class with the same attributes.
        root: the folder that holds data sets; made if needed.
        verify: False uses an archive in ``root`` unchecked; nothing in it can leave the temporary folder, and only
            files with the published names are kept.

    Raises:
        InputError: if the archive cannot be downloaded, written or unpacked, or is not the published one.
    """
    with scratch_folder(root, ".cifar-") as scratch:
        archive, origin = root / published.filename, str(root / published.filename)
        remedy = "delete it to download it again, or set data.verify=false to use it as it is"
        if not archive.is_file():
            archive, origin, verify = scratch / published.filename, published.url, True
            remedy = f"it was cut short or altered on its way; run again, or {_by_hand(published, root)}"
            download(published.url, archive, _by_hand(published, root))
        if verify:
            check_hash(archive, published.tgz_md5, remedy, origin)
        try:
            with tarfile.open(archive, "r:gz") as opened:
                opened.extractall(scratch, filter="data")
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise InputError(f"{origin}: cannot be unpacked ({error}); {_by_hand(published, root)}") from error
        unpacked, folder = scratch / published.base_folder, root / published.base_folder
        files = [unpacked / name for name, _ in _checksums(published)]
        names = [file.name for file in files if file.is_file() and not (file.is_symlink() or unpacked.is_symlink())]
        if absent := sorted(_needed(published, verify) - set(names)):
            raise InputError(f"{origin}: lacks {published.base_folder}/{absent[0]}; {_by_hand(published, root)}")
        if verify:
            for name, md5 in _checksums(published):
                check_hash(unpacked / name, md5, remedy, f"{origin}, {published.base_folder}/{name}")
        folder.mkdir(exist_ok=True)
        for name in names:
            if not (folder / name).exists():
                os.replace(unpacked / name, folder / name)


def _checksums(published: Any) -> list[tuple[str, str]]:
    meta = published.meta
    return [*published.train_list, *published.test_list, (meta["filename"], meta["md5"])]


def _needed(published: Any, verify: bool) -> set[str]:
    """Names of the required files; the file of class names is optional."""
    return {name for name, _ in _checksums(published) if verify or name != published.meta["filename"]}


def _by_hand(published: Any, root: Path) -> str:
    return f"put {published.filename} into {root} by hand, or its files into {root / published.base_folder}"


def _read_batch(file: Path, label_key: str, num_classes: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images (N, 3, 32, 32) and labels (N,) of one file."""
    batch = _unpickle(file)
    pixels, labels = batch.get("data"), batch.get(label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
        raise InputError(f"{file}: 'data' is not N rows of 3072 bytes; replace it by the published file")
    if isinstance(labels, np.ndarray):
        labels = labels.tolist()
    if not isinstance(labels, list) or len(labels) != len(pixels) or not _all_below(labels, num_classes):
        raise InputError(
            f"{file}: {label_key!r} is not {len(pixels)} labels from 0 to {num_classes - 1}; "
            "replace it by the published file"
        )
    return pixels.reshape(-1, 3, 32, 32), np.array(labels, dtype=np.int64)


def _all_below(labels: list[Any], num_classes: int) -> bool:
    return all(isinstance(label, int) and 0 <= label < num_classes for label in labels)


def _read_names(file: Path, key: str, num_classes: int) -> list[str]:
    names = _unpickle(file).get(key)
    if not isinstance(names, list) or len(names) != num_classes or not all(isinstance(name, str) for name in names):
        raise InputError(f"{file}: {key!r} are not {num_classes} names; replace it by the published file")
    return names


def _unpickle(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        try:
            content = _ArrayUnpickler(opened, encoding="latin1").load()
        except _NotAllowed as error:
            raise InputError(f"{file}: is refused, as {error}; replace it by the published file") from error
        except Exception as error:  # a damaged pickle may raise anything
            raise InputError(f"{file}: cannot be read ({error}); replace it by the published file") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: holds no table of images or names; replace it by the published file")
    return content


class _NotAllowed(pickle.UnpicklingError):
    pass


def _to_bytes(text: str, encoding: str = "latin1") -> bytes:
    """Decode bytes that Python 3 pickled for Python 2; no other encoding is used."""
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _to_bytes,
}
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = np.empty(1).__reduce__()[0]
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = np.empty(1).__reduce_ex__(5)[0]


class _ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and plain containers; other names in a file are not looked up."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _NotAllowed(f"reading it would call {f'{module}.{name}'!r}")
        return _ALLOWED[module, name]
