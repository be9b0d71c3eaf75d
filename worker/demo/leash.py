"""A leash for servers and workers: however their owner ends, they end too."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

# The command takes the shell's place. A grandchild reads from a pipe that we hold: when we end
# in whatever way, it sees the end of file, stops the command and removes what was temporary. It
# is a grandchild because PostgreSQL would stumble over a child that it did not make.
LEASH = """
scratch=$1; shift
exec 3<&0 </dev/null
( (
    read -r released <&3 && exit
    kill -INT $$
    tries=200
    while kill -0 $$ && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    [ $tries -gt 0 ] || kill -QUIT $$
    [ -z "$scratch" ] || rm -rf -- "$scratch"
) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"""


def leashed(command: Sequence[str], *, scratch: Path | None = None) -> list[str]:
    """The command on a leash; start it with a pipe for its stdin, and keep that open.

    When the pipe ends, the command gets SIGINT, after 20 seconds SIGQUIT, and then `scratch` is
    removed. A command that has ended before is taken off it with `release`.
    """
    return ["/bin/sh", "-c", LEASH, "sh", str(scratch or ""), *command]


def release(process: subprocess.Popen[bytes]) -> None:
    """Take the leash off a command that has ended; may be called twice."""
    if process.stdin and not process.stdin.closed:
        try:
            process.stdin.write(b"\n")
            process.stdin.close()
        except BrokenPipeError:
            pass  # it was killed from outside, together with the command
