"""The scenes of the demonstration, in the order in which they play.

A further one is a class like `worker.demo.scene.Scene` in a module of its own, named here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.demo.scene import Scene
from worker.demo.scenes.archiving import Archiving
from worker.demo.scenes.delivering import Delivering
from worker.demo.scenes.mirroring import Mirroring
from worker.demo.scenes.undoing import Undoing
from worker.demo.stage import Stage

SCENES: Sequence[Callable[[Stage], Scene]] = (Archiving, Undoing, Delivering, Mirroring)

__all__ = ["SCENES"]
