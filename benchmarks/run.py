"""Run the benchmarks, each in a process of its own, and write what they print to RESULTS.md."""

from __future__ import annotations

import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import torch

# Each prints Markdown to standard output, or plain text, which is then set as such.
MODULES = {
    "dar_bn": "markdown",
    "step": "markdown",
    "scaling": "markdown",
    "epoch": "markdown",
    "precision": "markdown",
    "overhead": "markdown",
    "startup": "markdown",
    "streaming": "markdown",
    "augmentation": "text",
    "sampler": "text",
}
RESULTS = Path(__file__).with_name("RESULTS.md")


def machine() -> str:
    """The processor, its cores and the memory."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = Path("/proc/meminfo")
    total = f", {int(memory.read_text().split()[1]) / 2**20:.0f} GiB" if memory.exists() else ""
    return f"{name}, {torch.get_num_threads()} cores{total}; {platform.system()} {platform.release()}"


def output_of(module: str) -> str:
    """What a benchmark prints."""
    command = [sys.executable, "-m", f"benchmarks.{module}"]
    finished = subprocess.run(command, cwd=RESULTS.parents[1], stdout=subprocess.PIPE, text=True, check=True)
    return finished.stdout.strip()


def main() -> None:
    """Write the results when all benchmarks have run."""
    modules = dict(MODULES)
    if torch.cuda.is_available():
        modules["gpu"] = "markdown"
    parts = [
        "# Results\n",
        f"By `make bench`, {date.today().isoformat()}.\n",
        f"* Machine: {machine()}",
        f"* Versions: Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "kornia", "pytorch-lightning")),
        "* Comparisons are interleaved in one process; ratios are those of medians.",
        "" if torch.cuda.is_available() else "* No GPU was at hand; `python -m benchmarks.gpu` measures one.\n",
    ]
    for module, kind in modules.items():
        print(f"benchmarks/{module}.py", flush=True)
        output = output_of(module)
        parts.append(output if kind == "markdown" else f"## {module}\n\n```\n{output}\n```")
        parts.append("")
    RESULTS.write_text("\n".join(parts))
    print(f"written to {RESULTS.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
