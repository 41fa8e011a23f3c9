"""`pitwall doctor`: asks every part how it is, and says what to do about each that isn't well."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from console.check_files import check_certificates, check_clock, check_disk, check_tokens
from console.check_fleet import check_fleet_services
from console.check_gaps import check_gaps
from console.check_processes import check_processes
from console.check_services import check_command_services, check_vehicles
from console.check_stores import check_stores
from console.checks import Finding, State
from console.failures import EXIT_DONE, EXIT_FAILED
from console.output import emit_fields, say
from console.site import Site


def run(site: Site) -> int:
    """Shows each finding as it comes. Exit code 1 where something is wrong."""
    show = _show_json if site.json else _show_text
    found = []
    for finding in examine(site):
        show(finding)
        found.append(finding)
    wrong, notes = (sum(finding.state is state for finding in found) for state in (State.WRONG, State.NOTE))
    if not site.json:
        say(f"{len(found)} checks: {wrong} found something wrong, {notes} have a note")
    return EXIT_FAILED if wrong else EXIT_DONE


def examine(site: Site) -> Iterator[Finding]:
    """What is needed to stop a vehicle comes first."""
    now = datetime.now(UTC)
    checks: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: check_clock(now),
        lambda: check_certificates(site, now),
        lambda: check_tokens(site),
        lambda: check_command_services(site),
        lambda: check_vehicles(site),
        lambda: check_processes(site),
        lambda: check_fleet_services(site),
        lambda: check_gaps(site),
        lambda: check_stores(site),
        lambda: check_disk(site.home),
    )
    for check in checks:
        yield from check()


def _show_text(finding: Finding) -> None:
    say(f"{finding.state:5}  {finding.part}: {finding.text}")
    if finding.fix:
        say(f"       what to do: {finding.fix}")


def _show_json(finding: Finding) -> None:
    fields: dict[str, object] = {"part": finding.part, "state": finding.state.upper(), "text": finding.text}
    emit_fields(fields | ({"fix": finding.fix} if finding.fix else {}))
