"""What can keep the local stack from starting. Each message says what to do about it."""

from pitwall.exits import EXIT_FAILED, EXIT_MISSING, EXIT_PORT_TAKEN, EXIT_USAGE


class StackError(Exception):
    """The stack didn't start or stop; the text is for people."""

    exit_code = EXIT_FAILED


class UsageError(StackError):
    """A flag or environment variable has a value that makes no sense."""

    exit_code = EXIT_USAGE


class ToolMissingError(StackError):
    """A program that the stack runs isn't installed."""

    exit_code = EXIT_MISSING


class PortTakenError(StackError):
    """Somebody else listens where one of our processes would."""

    exit_code = EXIT_PORT_TAKEN
