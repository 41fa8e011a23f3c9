"""What a process says with its exit code. The numbers above 63 are those of sysexits.h."""

from typing import Final

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
#: Some vehicles are unreachable or pending.
EXIT_PARTLY: Final = 3
#: EX_DATAERR: what was kept is not for this version.
EXIT_STATE: Final = 65
#: EX_UNAVAILABLE: a file, program or server that it needs is missing.
EXIT_MISSING: Final = 69
#: EX_OSERR: another process has the port.
EXIT_PORT_TAKEN: Final = 71
#: EX_CONFIG: a setting is unknown or wrong.
EXIT_CONFIG: Final = 78
