"""Where training's users find :mod:`oponm.signals`."""

from oponm.signals import SIGNALS, AtOnce, Stop, Stopped

__all__ = ["SIGNALS", "AtOnce", "Stop", "Stopped"]
