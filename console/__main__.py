"""`pitwall`: runs one command. Every error that a user can cause ends in words and an exit code, never a traceback."""

import atexit
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from console.failures import EXIT_FAILED, EXIT_USAGE, ConsoleError

#: What a shell reports for a program that Ctrl-C ended.
EXIT_INTERRUPTED = 130


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no dash must not end a stop.
            stream.reconfigure(errors="replace")
    # gRPC's own lines would run across a live view; what goes wrong is said in our words. Read when it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    ends_with = [EXIT_FAILED]
    # The first to be registered is the last to be called, after whoever has something to send yet.
    atexit.register(_leave, ends_with)
    ends_with[0] = run(sys.argv[1:])


def _leave(ends_with: Sequence[int]) -> None:
    """Ends the process here. A thread that still follows a stop inside gRPC would be ended by the interpreter with an
    exception that gRPC's code lets nobody throw: an abort, and an exit code that says nothing of the stop."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(ends_with[0])


def run(arguments: Sequence[str]) -> int:
    """The exit code of one command."""
    from console.cli import app

    try:
        app(list(arguments), prog_name="pitwall")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else EXIT_FAILED
    except ConsoleError as error:
        _complain(error.json_line() if wants_json(arguments) else error.text())
        return error.exit_code
    except UnicodeEncodeError as error:
        _complain(f"pitwall: an argument is no text: {error.object!r}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone, as in `pitwall vehicles | head -1`: nothing is left to say.
        from console.output import hush

        hush(sys.stdout)
        return EXIT_FAILED
    except OSError as error:
        from console.output import hush

        hush(sys.stdout)
        _complain(f"pitwall: {error}; is there room where the output goes?")
        return EXIT_FAILED
    return 0


def _complain(text: str) -> None:
    from console.output import say_if_heard

    say_if_heard(text, sys.stderr)


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether errors are for a program. Read here, for a usage error comes before any option is known."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=False)
    return any(
        argument in ("--output=json", "-ojson") or (argument in ("--output", "-o") and following == "json")
        for argument, following in pairs
    )


if __name__ == "__main__":
    main()
