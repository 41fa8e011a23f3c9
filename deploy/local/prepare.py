"""Makes what must exist before the first process starts: directories, files, certificates. Repeating it is harmless."""

import os
import secrets
import subprocess

from deploy.local.errors import PortTakenError, StackError
from deploy.local.places import user_ids
from deploy.local.process import ConfigFile, Directory
from deploy.local.renewal import has_certificates, renewal_command
from deploy.local.stack import Stack
from deploy.local.supervisord import supervisord_text
from pitwall.rpc.ports import is_taken, owner_of


def check_ports(stack: Stack) -> None:
    """Raises one PortTakenError that names every taken port and who has it."""
    taken = [
        f"port {port} for {name} is taken by {owner_of(port)}"
        for process in stack.processes
        for name, port in process.ports.items()
        if is_taken("127.0.0.1", port)
    ]
    if taken:
        mend = "stop that, or move ours: --port NAME=NUMBER, PITWALL_PORT_<NAME>=NUMBER, or PITWALL_PORT_OFFSET=N"
        raise PortTakenError("\n".join((*taken, mend)))


def prepare(stack: Stack) -> None:
    """Directories, passwords, files, then certificates and tokens."""
    for directory in stack.part.directories:
        make_directory(directory)
    for path in stack.part.passwords:
        if not path.exists():
            write_private(ConfigFile(path, secrets.token_hex(16)))
    write_files(stack)
    if has_certificates(stack.options):
        make_certificates(stack)


def write_files(stack: Stack) -> None:
    """Every configuration file, supervisord's too."""
    supervisord = ConfigFile(stack.places.supervisor_config, supervisord_text(stack))
    for file in (*stack.part.files, supervisord):
        write_private(file)


def make_directory(directory: Directory) -> None:
    """Private to its owner. One that somebody else made in a shared place is refused."""
    directory.path.mkdir(parents=True, exist_ok=True)
    owner = user_ids(directory.user)[0] if directory.user else os.getuid()
    if directory.user:
        os.chown(directory.path, *user_ids(directory.user))
    if directory.path.stat().st_uid != owner:
        raise StackError(f"{directory.path} belongs to another user: remove it, or choose another PITWALL_HOME")
    directory.path.chmod(0o700)


def write_private(file: ConfigFile) -> None:
    """Written whole or not at all, readable for the owner of its directory only."""
    new = file.path.with_name(file.path.name + ".new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(file.text)
    parent = file.path.parent.stat()
    if parent.st_uid != os.getuid():
        os.chown(new, parent.st_uid, parent.st_gid)
    new.replace(file.path)


def make_certificates(stack: Stack) -> None:
    """Development certificates and tokens, made or renewed where they end soon."""
    result = subprocess.run(renewal_command(stack.options), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise StackError(f"certificates could not be made:\n{result.stderr or result.stdout}")
