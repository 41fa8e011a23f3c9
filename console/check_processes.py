"""Checks of every process that a local stack has configured, by its own word."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from console.checks import Finding, look, note, ok, wrong
from console.health import Health, NoHealth, read_health
from console.site import Site, dialled, read_toml
from pitwall.kafka_topics import TOPICS

#: A part that isn't well -> the process to look at. Of others the log of whoever says so.
_BEHIND: dict[str, str] = {
    "postgresql": "postgres",
    "redis": "redis",
    "kafka": "kafka",
    "job": "flink-jobmanager",
    **{topic.name: "kafka" for topic in TOPICS},
}


def check_processes(site: Site) -> Iterator[Finding]:
    clock_told = False
    found = sorted((site.home / "config").glob("*.toml"))
    if not found:
        yield note("processes", f"no configuration in {site.home / 'config'}: only what can be reached is checked")
    for path in found:
        part, address = f"process {path.stem}", read_toml(path).get("metrics_address")
        if not isinstance(address, str):
            yield wrong(part, f"{path} can't be read or has no metrics_address", "`make up` writes it")
            continue
        try:
            health = read_health(dialled(address))
        except NoHealth as error:
            yield wrong(part, str(error), look(site, path.stem))
            continue
        yield _judge(site, path.stem, health)
        if health.date and not clock_told:
            clock_told = True
            yield from _compare_clocks(path.stem, health.date)


def _judge(site: Site, name: str, health: Health) -> Finding:
    unwell = "; ".join(f"{part}: {one.detail or 'not ok'}" for part, one in health.unwell.items())
    fix = look(site, *dict.fromkeys([*(_BEHIND[part] for part in health.unwell if part in _BEHIND), name]))
    if not health.well:
        return wrong(f"process {name}", f"says that it is not well: {unwell or health.text}", fix)
    if unwell:
        return note(f"process {name}", f"runs, though not all of it: {unwell}", fix)
    return ok(f"process {name}", "well")


def _compare_clocks(name: str, date: str) -> Iterator[Finding]:
    """Certificates and tokens fail where two computers' clocks differ by more than their leeway."""
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return
    apart_s = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart_s > 60:
        yield wrong("clock", f"{apart_s:.0f} s apart from that of {name}", "set both by NTP: tokens allow for 60 s")
