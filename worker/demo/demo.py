"""`media-worker demo`: the whole job on embedded parts, shown while it happens, then proved."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from worker.demo.embedded import PartDidNotStart
from worker.demo.proof import Check, failed, proof_table
from worker.demo.scene import Scene
from worker.demo.scenes import SCENES
from worker.demo.screen import Screen
from worker.demo.signals import ending_on_signals, ignore_signals
from worker.demo.stage import Stage
from worker.demo.surroundings import forget_the_cloud, outside_settings

INTERRUPTED = 130  # as the shell says it of Ctrl-C
LAST_LINES = 15

Scenes = Sequence[Callable[[Stage], Scene]]


def run_demo(*, scenes: Scenes = SCENES) -> bool:
    """Play the scenes, prove what has become of them, and tidy up; whether all of it is so.

    Touches nothing but what it has started itself. Raises `Misconfigured` where the embedded
    parts are not installed, `SystemExit` after Ctrl-C, SIGTERM or SIGHUP.
    """
    stage = Stage()
    screen = Screen(broken=stage.worker_has_ended)
    with ending_on_signals():
        try:
            return _play(stage, screen, scenes)
        except PartDidNotStart as error:
            screen.say(str(error), style="red")
            return False
        except KeyboardInterrupt:
            screen.say("stopped; everything is tidied up")
            raise SystemExit(INTERRUPTED) from None


def _play(stage: Stage, screen: Screen, scenes: Scenes) -> bool:
    began = time.monotonic()
    with stage:
        _set_up(stage, screen)
        proofs: dict[str, Sequence[Check]] = {}
        played = [make(stage) for make in scenes]
        for scene in played:
            screen.play(scene)
        proofs |= {scene.title: scene.checks() for scene in played}
        proofs["The worker"] = _worker_checks(stage)
        ignore_signals()
        return _judge(stage, screen, proofs, began)


def _set_up(stage: Stage, screen: Screen) -> None:
    screen.say("Media Worker at work", style="bold")
    ignored = outside_settings()
    if ignored:
        screen.say(f"{', '.join(ignored)}: set here, and not used. The demo brings its own.")
    forget_the_cloud()
    screen.progress(stage.start())
    screen.say(f"  look into it while it runs: {stage.postgres.psql_command}")


def _worker_checks(stage: Stage) -> list[Check]:
    alive = "select count(*) from worker_status where alive"
    return [
        Check("workers alive in worker_status", "1", str(stage.value(alive))),
        Check("its exit status after SIGTERM", "0", str(stage.stop_worker())),
    ]


def _judge(
    stage: Stage, screen: Screen, proofs: Mapping[str, Sequence[Check]], began: float
) -> bool:
    screen.say()
    screen.say("What is true now, in the database and in the buckets:", style="bold")
    screen.console.print(proof_table(proofs))
    wrong = failed(proofs)
    number = sum(map(len, proofs.values()))
    seconds = time.monotonic() - began
    if not wrong:
        screen.say(f"All {number} checks are ok, after {seconds:.0f} s.", style="bold green")
        return True
    screen.say(f"{len(wrong)} of {number} checks are NOT ok.", style="bold red")
    screen.say(f"The last lines of the worker's log, {stage.log_path}:")
    for line in stage.log_path.read_text(errors="replace").splitlines()[-LAST_LINES:]:
        screen.say(f"  {line}")
    return False
