"""Renders the configuration of supervisord, which starts our processes again when they die and rotates their logs."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.local.places import Places
from deploy.local.process import Group, Process
from deploy.local.stack import Stack

# Marks every process of a stack, so that `down` finds them even when their supervisor was killed. Not PITWALL_HOME: a
# user may have exported that, and then their shell would be found too.
MARK = "PITWALL_STACK"
_LOG_BYTES = "20MB"
_LOG_BACKUPS = 3
# From the caller's environment, beside settings of our own. Not its proxies: gRPC would obey them on loopback.
_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "JAVA_HOME")


def environment_for(home: Path, caller: Mapping[str, str]) -> dict[str, str]:
    """What supervisord, and so each process, has for its environment."""
    kept = {name: caller[name] for name in _INHERITED if name in caller}
    settings = {name: value for name, value in caller.items() if _is_setting(name)}
    # gRPC reads its verbosity at import; without it every refused handshake is a line of its own in the logs.
    ours = {MARK: str(home), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "GRPC_VERBOSITY": "ERROR"}
    return kept | settings | ours


def _is_setting(name: str) -> bool:
    """Of a process of ours, or of OpenTelemetry: where spans go."""
    return (name.startswith("PITWALL_") and "__" in name) or name.startswith("OTEL_")


def supervisord_text(stack: Stack) -> str:
    """All of supervisord.conf."""
    sections = [_daemon(stack.places), *(_program(stack.places, process) for process in stack.processes)]
    for group in Group:
        names = [process.name for process in stack.processes if process.group is group]
        if names:
            priority = list(Group)[::-1].index(group) + 1
            sections.append(_section(f"group:{group}", {"programs": ",".join(names), "priority": str(priority)}))
    return "\n".join(sections)


def supervisord_command(places: Places) -> list[str]:
    """In the foreground, so that whoever starts it sees it end."""
    arguments = ["--nodaemon", "--configuration", str(places.supervisor_config)]
    return [sys.executable, "-m", "supervisor.supervisord", *arguments]


def log_file(places: Places, process: str) -> Path:
    """Where a process's output goes."""
    return places.logs / f"{process}.log"


def _daemon(places: Places) -> str:
    socket = str(places.supervisor_socket)
    daemon = {
        "logfile": str(log_file(places, "supervisord")),
        "logfile_maxbytes": _LOG_BYTES,
        "logfile_backups": str(_LOG_BACKUPS),
        "pidfile": str(places.run / "supervisord.pid"),
        "childlogdir": str(places.logs),
    }
    if os.getuid() == 0:
        daemon["user"] = "root"
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    return "\n".join(
        (
            _section("supervisord", daemon),
            _section("unix_http_server", {"file": socket, "chmod": "0700"}),
            _section("supervisorctl", {"serverurl": f"unix://{socket}"}),
            _section("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": factory}),
        )
    )


def _program(places: Places, process: Process) -> str:
    keys = {
        "command": shlex.join((*_nice(process.group), *process.command)),
        "directory": str(process.directory),
        "environment": ",".join(f'{name}="{value}"' for name, value in process.environment.items()),
        "autostart": "false" if process.needs_topics else "true",
        "autorestart": "true",
        # It must live this long to count as started; then it may die as often as it likes, and is started again.
        "startsecs": "1",
        "startretries": "100",
        "stopsignal": process.stop_signal,
        "stopwaitsecs": str(process.stop_wait_s),
        # A script may not have become the server yet.
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(log_file(places, process.name)),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": str(_LOG_BACKUPS),
    }
    if process.user:
        keys["user"] = process.user
    return _section(f"program:{process.name}", {key: value for key, value in keys.items() if value})


def _nice(group: Group) -> tuple[str, ...]:
    return ("nice", "-n", str(group.niceness)) if group.niceness else ()


def _section(name: str, keys: Mapping[str, str]) -> str:
    """% starts an expansion in supervisord's files."""
    return f"[{name}]\n" + "".join(f"{key} = {value.replace('%', '%%')}\n" for key, value in keys.items())
