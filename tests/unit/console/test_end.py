"""The end of a command: what it has to say is out, and its exit code is its own whatever threads still do."""

import subprocess
import sys

PROGRAM = """
import atexit, sys
from console import __main__ as console

class Torn:
    def __del__(self):
        print("the interpreter was torn down under the threads that follow a stop")

torn = Torn()
console.run = lambda arguments: (atexit.register(print, "the last spans"), print("0 of 1 stand"), 3)[-1]
console.main()
"""


def test_what_was_said_is_out_and_no_thread_can_change_the_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.splitlines() == ["0 of 1 stand", "the last spans"]
    assert done.returncode == 3
