"""`make run`: the stack with the live fleet view in front of it; whatever ends the view ends the stack."""

import signal
import subprocess
import sys
from pathlib import Path

from deploy.local import lifecycle
from deploy.local.options import StackOptions
from deploy.local.places import Places


def run(options: StackOptions) -> None:
    """Returns when the view has ended and nothing runs any more."""
    lifecycle.up(options, say)
    try:
        subprocess.run(_watch_command(options), check=False)
    except KeyboardInterrupt:
        # Ctrl-C went to the view too; it is how this ends.
        pass
    finally:
        # A second Ctrl-C, from somebody impatient, must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("stopping all of it")
        lifecycle.down(options.home)
        say("all of it has stopped")


def say(step: str) -> None:
    """Progress, at once and not on the output of whoever reads that."""
    print(f"pitwall: {step}", file=sys.stderr, flush=True)


def _watch_command(options: StackOptions) -> list[str]:
    places = Places(options.home)
    server, fleet_server = (f"localhost:{options.ports[name]}" for name in ("command-1", "fleet-1"))
    pitwall = str(Path(sys.executable).with_name("pitwall"))
    credentials = ["--token-file", str(places.tokens / "viewer"), "--ca", str(places.certs / "ca.pem")]
    return [pitwall, "watch", "--server", server, "--fleet-server", fleet_server, *credentials]
