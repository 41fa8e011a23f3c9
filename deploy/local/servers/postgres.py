"""PostgreSQL, reached over TCP with a password of this stack's own; the account and the database are called pitwall."""

from pathlib import Path

from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import PostgresProbe
from deploy.local.process import ConfigFile, Directory, Group, Part, Process
from deploy.local.tools import Tools

# No Unix socket: its path has a limit of 107 bytes, and nobody needs it. A cluster is made beside its place and moved
# there when it is whole, so that one cut short is never taken for one that exists.
_START = """\
set -e
if ! [ -f '{data}/PG_VERSION' ]; then
  rm -rf '{data}.new'
  '{bin}/initdb' -D '{data}.new' -U pitwall --auth=scram-sha-256 --pwfile='{password}' \\
    --encoding=UTF8 --locale=C --no-instructions
  echo 'CREATE DATABASE pitwall' | '{bin}/postgres' --single -D '{data}.new' postgres
  mv '{data}.new' '{data}'
fi
exec '{bin}/postgres' -D '{data}' -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= \\
  -c shared_buffers=64MB -c max_connections=50 -c log_timezone=UTC -c timezone=UTC
"""


def postgres(options: StackOptions, tools: Tools) -> Part:
    """The server; its data is named by the major version, because no other one reads it."""
    places, program = Places(options.home), tools.postgres()
    directory, user = places.postgres, places.postgres_user
    password, script = password_file(places), directory / "postgres.sh"
    data, port = directory / f"data-{program.major}", options.ports["postgres"]
    start = _START.format(bin=program.bin, data=data, password=password, port=port)
    process = Process(
        name="postgres",
        command=("/bin/sh", str(script)),
        group=Group.SERVERS,
        health=PostgresProbe(port, program.bin / "pg_isready"),
        ports={"postgres": port},
        directory=directory,
        user=user,
        # Fast shutdown: TERM would wait for the clients to leave.
        stop_signal="INT",
    )
    return Part((process,), (ConfigFile(script, start),), (Directory(directory, user),), (password,))


def password_file(places: Places) -> Path:
    """Where the password is."""
    return places.postgres / "password"
