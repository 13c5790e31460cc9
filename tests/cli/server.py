"""A process that has imported what commands use, and runs each in a child forked off it.

A command spends seconds on imports and a fraction of one on what it is told; this spends them once for many commands.
Requests come as lines of JSON, the answer to each is its exit code.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import pkgutil
import runpy
import sys
import traceback
from typing import Any

import oponm


def serve() -> None:
    for module in pkgutil.walk_packages(oponm.__path__, "oponm."):
        if not module.name.endswith(("__main__", ".worker")):
            importlib.import_module(module.name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os._exit(answer(json.loads(line)))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def answer(request: dict[str, Any]) -> int:
    for number, name in enumerate((os.devnull, request["stdout"], request["stderr"])):
        file = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = ["oponm", *request["arguments"]]
    sys.path[:0] = [request["cwd"], *filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))]
    code: Any = 0
    try:
        runpy.run_module("oponm", run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve()
