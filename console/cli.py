"""The commands with their options. What they do is in a module of its own each, imported when it runs: a stop starts
without what a table needs.
"""

from pathlib import Path
from typing import Annotated

import typer

from console.site import Site
from console.site_options import Asks, with_site

app = typer.Typer(
    name="pitwall",
    help="The operator's side of Pitwall: watch vehicles, stop them, release them, send them orders.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage, 3 partly done (vehicles pending or unreachable, a part away).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
sim = typer.Typer(help="Makes things happen to simulated vehicles.", no_args_is_help=True)
app.add_typer(sim, name="sim")
alerts = typer.Typer(help="Lists alerts, newest first; says who has seen one.", invoke_without_command=True)
app.add_typer(alerts, name="alerts")

Vehicles = Annotated[list[str] | None, typer.Argument(metavar="VEHICLE…", help="As in KOMATSU-930E-001.")]
Everyone = Annotated[bool, typer.Option("--all", help="The whole fleet.")]
ZoneFile = Annotated[
    Path | None, typer.Option("--zone", help="Whoever is in the polygon of this file (GeoJSON, or a list of corners).")
]

Limit = Annotated[int | None, typer.Option(min=1, help="At most so many.")]

DEFAULT_WAIT_S = 30.0


@app.command("stop")
@with_site
def stop(
    site: Site,
    vehicles: Vehicles = None,
    everyone: Everyone = False,
    zone: ZoneFile = None,
    reason: Annotated[str, typer.Option(help="Why, in your words.")] = "",
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until all stand.")] = DEFAULT_WAIT_S,
    stop_id: Annotated[str | None, typer.Option(help="Repeats the stop of this id.")] = None,
) -> int:
    """Stops vehicles. Never asks. Shows how far each one is, until all stand."""
    from console.scope import read_scope
    from console.stop import StopOrder, run
    from pitwall.ids import uuid7

    scope = read_scope(vehicles or (), everyone, zone)
    return run(site, StopOrder(_checked_id(stop_id) if stop_id else uuid7(), scope, reason, wait))


@app.command("stops")
@with_site
def stops(
    site: Site, released: Annotated[bool, typer.Option("--released", help="Also those that are released.")] = False
) -> int:
    """Lists stops, newest first."""
    from console.stops import run_list

    return run_list(site, released)


@app.command("stop-status")
@with_site
def stop_status(site: Site, stop_id: Annotated[str, typer.Argument(metavar="STOP_ID")]) -> int:
    """Shows how far a stop is at each vehicle."""
    from console.stops import run_status

    return run_status(site, _checked_id(stop_id))


@app.command("release")
@with_site
def release(
    site: Site,
    reason: Annotated[str, typer.Option(help="Why it is safe.")],
    stop_ids: Annotated[list[str] | None, typer.Argument(metavar="STOP_ID…")] = None,
    vehicle: Annotated[list[str] | None, typer.Option(help="Only these vehicles. [default: all in scope]")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All active stops; asks first.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Doesn't ask.")] = False,
) -> int:
    """Asks for a release. Another person approves it; it never moves a vehicle."""
    from console.failures import UsageProblem
    from console.releases import run_release, run_release_all

    if bool(stop_ids) == everything:
        raise UsageProblem("say which stops: their ids, or --all", fix="`pitwall stops` lists them")
    if everything:
        return run_release_all(site, vehicle or (), reason, yes)
    return run_release(site, [_checked_id(stop_id) for stop_id in stop_ids or ()], vehicle or (), reason)


def _approve(site: Site, release_id: Annotated[str, typer.Argument(metavar="RELEASE_ID")]) -> int:
    """Puts a release in force that another person has asked for (supervisor)."""
    from console.releases import run_approve

    return run_approve(site, _checked_id(release_id))


app.command("approve")(with_site(_approve, role="supervisor"))


@app.command("releases")
@with_site
def releases(site: Site) -> int:
    """Lists releases, newest first."""
    from console.releases import run_list

    return run_list(site)


@app.command("order")
@with_site
def order(
    site: Site,
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="RESUME, START_ROUTE, SET_STATUS or SET_AUTONOMOUS_MODE.")
    ],
    vehicles: Vehicles = None,
    everyone: Everyone = False,
    zone: ZoneFile = None,
    route: Annotated[str | None, typer.Option(help="For START_ROUTE.")] = None,
    status: Annotated[str | None, typer.Option(help="For SET_STATUS, as in IDLE.")] = None,
    enabled: Annotated[bool | None, typer.Option("--enabled/--disabled", help="For SET_AUTONOMOUS_MODE.")] = None,
    expire_after: Annotated[float, typer.Option(min=1, max=60, help="Seconds after which it does nothing.")] = 10.0,
) -> int:
    """Sends an order to vehicles in the state that they are in now. In another state, or too late, it does nothing."""
    from console.orders import Details, make_kind, parse_kind, run
    from console.scope import read_scope

    made = make_kind(parse_kind(kind), Details(route, status, enabled))
    return run(site, made, read_scope(vehicles or (), everyone, zone), expire_after)


@app.command("drill")
@with_site
def drill(
    site: Site,
    kind: Annotated[str, typer.Option(help="stop or link-loss.")],
    vehicles: Vehicles = None,
    zone: ZoneFile = None,
    reason: Annotated[str, typer.Option(help="Why, in your words.")] = "",
) -> int:
    """Has vehicles that drive brake for real, and keeps what they measured. They stand until they are set going."""
    from console.drill import parse_kind, read_drilled, run

    return run(site, parse_kind(kind), read_drilled(vehicles or (), zone), reason)


@app.command("drills")
@with_site
def drills(
    site: Site, days: Annotated[float, typer.Option(min=0.001, max=3_650, help="Of the last so many days.")] = 90.0
) -> int:
    """Lists what vehicles have measured in drills, newest first, from the journals of all command services."""
    from console.drills import run

    return run(site, days)


@app.command("motion")
@with_site
def motion(site: Site) -> int:
    """Lists each vehicle's motion state, which is what stops and orders go by. Needs no fleet service."""
    from console.motion import run

    return run(site)


def _vehicles(
    site: Site,
    status: Annotated[list[str] | None, typer.Option(help="As in HAULING; several mean any of them.")] = None,
    connectivity: Annotated[list[str] | None, typer.Option(help="CONNECTED or LOST.")] = None,
    hold: Annotated[list[str] | None, typer.Option(help="NONE, BOOT, LINK_LOST or STOPPED.")] = None,
    limit: Limit = None,
    page_token: Annotated[str, typer.Option(help="Goes on where an earlier list was cut off by --limit.")] = "",
) -> int:
    """Lists vehicles with their newest reading."""
    from console.vehicles import Wanted, run

    return run(site, Wanted(status or (), connectivity or (), hold or ()), limit, page_token)


app.command("vehicles")(with_site(_vehicles, asks=Asks.FLEET))


def _stats(site: Site) -> int:
    """Counts vehicles: all, active, idle, by status."""
    from console.stats import run

    return run(site)


app.command("stats")(with_site(_stats, asks=Asks.FLEET))


def _alerts(
    site: Site,
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are not open.")] = False,
    vehicle: Annotated[list[str] | None, typer.Option(help="Only of this vehicle; may be given again.")] = None,
    limit: Limit = None,
    live: Annotated[bool, typer.Option("--watch", help="The open ones, then each step as it comes.")] = False,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="With --watch: seconds until it ends.")] = None,
) -> int:
    from console.alerts import Wanted, run_list, run_watch

    wanted = Wanted(vehicle or (), everything, limit)
    return run_watch(site, wanted, seconds) if live else run_list(site, wanted)


alerts.callback()(with_site(_alerts, asks=Asks.FLEET))


def _acknowledge(
    site: Site,
    alert_id: Annotated[str, typer.Argument(metavar="ALERT_ID")],
    note: Annotated[str, typer.Option(help="What you did about it.")] = "",
) -> int:
    """Notes that you have seen an alert (operator, supervisor). It stays open until its cause has passed."""
    from console.alerts import run_acknowledge

    return run_acknowledge(site, alert_id, note)


alerts.command("ack")(with_site(_acknowledge, asks=Asks.FLEET))


def _gaps(
    site: Site,
    vehicle: Annotated[list[str] | None, typer.Option(help="Only of this vehicle; may be given again.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="OPEN, LOST, REJECTED or FILLED; may be given again.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are filled by now.")] = False,
    limit: Limit = None,
) -> int:
    """Lists readings that vehicles have made and the site doesn't have."""
    from console.gaps import Wanted, run

    return run(site, Wanted(vehicle or (), state or (), everything, limit))


app.command("gaps")(with_site(_gaps, asks=Asks.FLEET))


def _watch(
    site: Site,
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 0.5,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Seconds after which it ends.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One picture, and ends.")] = False,
    svg: Annotated[Path | None, typer.Option(help="With --once: writes the picture into this file.")] = None,
) -> int:
    """Shows the fleet, its alerts and its stops, live; who needs a look comes first. Ctrl-C ends it."""
    from console.failures import UsageProblem
    from console.watch import run, run_once

    if svg is not None and not once:
        raise UsageProblem("--svg is for one picture", fix="add --once")
    return run_once(site, every, svg) if once else run(site, every, seconds)


app.command("watch")(with_site(_watch, asks=Asks.BOTH))


def _doctor(site: Site) -> int:
    """Checks every part, and says what to do about each fault."""
    from console.doctor import run

    return run(site)


app.command("doctor")(with_site(_doctor, asks=Asks.BOTH))


ControlSocket = Annotated[
    Path | None, typer.Option("--socket", help="The simulator's control socket. [default: the local stack's]")
]
OneVehicle = Annotated[str, typer.Argument(metavar="VEHICLE")]


@sim.command("fault")
@with_site
def sim_fault(
    site: Site,
    vehicle: OneVehicle,
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="overspeed, overheating, low-fuel, overload, drive-fault, …")
    ],
    seconds: Annotated[float, typer.Option(help="How long it lasts.")] = 60.0,
    end: Annotated[bool, typer.Option("--end", help="Ends it instead.")] = False,
    control_socket: ControlSocket = None,
) -> int:
    """Gives a simulated vehicle a fault."""
    from console.sim import run_fault

    return run_fault(site, control_socket, vehicle, kind, seconds, end)


@sim.command("button")
@with_site
def sim_button(
    site: Site,
    vehicle: OneVehicle,
    pressed: Annotated[bool, typer.Option("--press/--let-go", help="What happens to it.")] = True,
    control_socket: ControlSocket = None,
) -> int:
    """Presses the stop button on board of a simulated vehicle."""
    from console.sim import run_button

    return run_button(site, control_socket, vehicle, pressed)


@sim.command("vehicles")
@with_site
def sim_vehicles(site: Site, control_socket: ControlSocket = None) -> int:
    """Lists simulated vehicles as they are, whatever anybody reports of them."""
    from console.sim import run_vehicles

    return run_vehicles(site, control_socket)


def _checked_id(text: str) -> str:
    from console.failures import UsageProblem
    from pitwall.ids import InvalidId, parse_uuid7

    try:
        return parse_uuid7(text)
    except InvalidId as error:
        raise UsageProblem(str(error)) from error
