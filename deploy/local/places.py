"""Where a stack keeps its things."""

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

# The kernel takes 107 bytes for a socket's path; supervisord binds "<name>.<pid>" first, and names need room too.
_LONGEST_SOCKET_DIRECTORY = 70
_OUTSIDE = Path("/var/lib/pitwall")
# Fixed rather than from TMPDIR, which may be another one when the stack is stopped.
_SHORT = Path("/tmp")  # noqa: S108 - the directory below it is made private, and refused when somebody else's
# The account that Debian's package makes for the PostgreSQL server.
POSTGRES_USER = "postgres"
# All that a home holds.
OUR_ENTRIES = frozenset({"bench", "certs", "config", "data", "lock", "logs", "plant", "run", "tokens"})


@dataclass(frozen=True, slots=True)
class Places:
    """Directories and files below one home, and the two that can't be there."""

    home: Path

    @property
    def config(self) -> Path:
        return self.home / "config"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def certs(self) -> Path:
        return self.home / "certs"

    @property
    def tokens(self) -> Path:
        return self.home / "tokens"

    @property
    def plant(self) -> Path:
        return self.home / "plant"

    @property
    def sockets(self) -> Path:
        """``run``, or where that path is too long for a socket, a short one that only we may enter."""
        if len(os.fsencode(self.run)) <= _LONGEST_SOCKET_DIRECTORY:
            return self.run
        return _SHORT / f"pitwall-{os.getuid()}-{self.tag}"

    @property
    def supervisor_socket(self) -> Path:
        return self.sockets / "supervisor.sock"

    @property
    def supervisor_config(self) -> Path:
        return self.config / "supervisord.conf"

    @property
    def tag(self) -> str:
        """Short, and different for each home."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]

    @property
    def postgres(self) -> Path:
        """PostgreSQL refuses to run as root, and the account that it runs as then can't enter a private home."""
        return _OUTSIDE / self.tag if self.postgres_user else self.data / "postgres"

    @property
    def postgres_user(self) -> str | None:
        return POSTGRES_USER if os.getuid() == 0 else None


def user_ids(user: str) -> tuple[int, int]:
    """(user id, group id) of an account."""
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid
