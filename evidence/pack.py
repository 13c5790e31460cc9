"""A drawn long-tailed CIFAR-10 and its test set as a folder of PNGs: ``python -m evidence.pack FOLDER``.

CIFAR's own files hold all images. What is written here, 48 MiB for an
imbalance ratio of 100, has the same pixels and is read by ``data=image_folder``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from PIL import Image

from oponm.cli.errors import one_line_errors
from oponm.data import CifarLT
from oponm.errors import InputError


def pack(data: CifarLT, folder: Path) -> int:
    """Write ``train/<class>/<number>.png`` and ``test/<class>/<number>.png``.

    Args:
        data: not yet set up.
        folder: new, or empty.

    Returns:
        Bytes of all images.

    Raises:
        InputError: if the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"holds something already: {folder}; name a new one", "folder")
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    total = 0
    for part, images in (("train", data.train_set), ("test", data.test_set)):
        for name in data.class_names:
            (folder / part / name).mkdir(parents=True)
        for number, (image, target) in enumerate(zip(images.images, images.targets.tolist(), strict=True)):
            path = folder / part / data.class_names[target] / f"{number:05}.png"
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, optimize=True)
            total += path.stat().st_size
    return total


def main(arguments: list[str] | None = None) -> None:
    """Run the command.

    Args:
        arguments: of the command line; None for the process's own.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the images, e.g. data/cifar10_lt_ir100")
    parser.add_argument("--root", default=os.environ.get("OPONM_DATA", "data"), help="holds cifar-10-batches-py")
    parser.add_argument("--imbalance-ratio", type=float, default=100)
    parser.add_argument("--no-verify", action="store_true", help="read the files as they are, without checksums")
    chosen = parser.parse_args(arguments)
    data = CifarLT(
        num_classes=10, root=chosen.root, imbalance_ratio=chosen.imbalance_ratio, verify=not chosen.no_verify
    )
    with one_line_errors():
        total = pack(data, chosen.folder)
    print(f"{chosen.folder}: {total / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
