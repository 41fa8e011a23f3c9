"""Certificates and tokens, and the process that renews them before they end."""

import shlex
import sys

from deploy.local.options import StackOptions
from deploy.local.places import Places
from deploy.local.probes import FileProbe
from deploy.local.process import ConfigFile, Group, Part, Process

# Tokens are made anew when less than six hours are left.
_EVERY_S = 3600
_SCRIPT = "while sleep {every}; do {renew}; done\n"


def has_certificates(options: StackOptions) -> bool:
    """Whether anything runs that needs them."""
    return bool(options.vehicle_ids or options.gateways or options.command_services or options.fleet_services)


def renewal_command(options: StackOptions) -> list[str]:
    """Makes what is missing, renews what ends soon, leaves the rest."""
    command = [sys.executable, "-m", "pitwall.devca", "--home", str(options.home)]
    command += ["--vehicles", *options.vehicle_ids]
    command += ["--gateways", *(f"gateway-{i}" for i in range(1, options.gateways + 1))]
    command += ["--commands", *(f"command-{i}" for i in range(1, options.command_services + 1))]
    command += ["--fleets", *options.fleet_services]
    return command


def renewal(options: StackOptions) -> Part:
    """The supervised loop; nothing where nobody has a certificate."""
    if not has_certificates(options):
        return Part()
    places = Places(options.home)
    script = places.config / "renewal.sh"
    text = _SCRIPT.format(every=_EVERY_S, renew=shlex.join(renewal_command(options)))
    process = Process(
        name="renewal",
        command=("/bin/sh", str(script)),
        group=Group.LINE,
        health=FileProbe(places.certs / "ca.pem"),
        ports={},
        directory=options.home,
    )
    return Part((process,), (ConfigFile(script, text),))
