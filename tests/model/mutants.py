"""Weaker readings of the protocol, each of which the model has to find: what it can't find, it doesn't check.

Each is a sentence and the patches that make production code behave so.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

from haul.link.v1 import gateway_link_service_pb2 as pb

import command_service.ledger
import command_service.releases
import ingest_gateway.leave
import pitwall.domain.order
from command_service.gateways import GatewayLinkServicer
from command_service.lanes import Frame, Lanes, LeaseFrame
from command_service.link import Link
from command_service.peer import Peer
from edge_agent.gate import Effects, Gate
from ingest_gateway.link_state import LeaseGranted, LinkState
from pitwall import wire
from pitwall.domain.permit import LeaseBook, PermitDenial, PermitTerms
from pitwall.domain.stop_set import Latches, SetDelta, StopSet
from pitwall.domain.vehicle_state import MotionHold

Patches = list[tuple[Any, str, Any]]

#: Leases that come before the set, where it does not come first.
_EARLY_LEASES = 9


def _one_lease() -> Patches:
    return [(LeaseBook, "majority_until_s", lambda book: max(book._until_s.values()))]


def _lease_before_exchange() -> Patches:
    """The set follows the first leases, in which production has no interest to send it late; so here it waits."""
    then = Lanes.next
    early: dict[int, int] = {}

    def beat_first(lanes: Lanes) -> Frame | None:
        if lanes._exchange_id or early.setdefault(id(lanes), 0) >= _EARLY_LEASES:
            return then(lanes)
        if not lanes._beat:
            return None
        early[id(lanes)] += 1
        beat, lanes._beat = lanes._beat, 0
        return LeaseFrame(beat)

    def granted(_: LinkState, lease: pb.Lease) -> LeaseGranted:
        return LeaseGranted(lease.beat_number, wire.to_seconds(lease.ttl), lease.reason)

    return [(Lanes, "next", beat_first), (Lanes, "exchanged", True), (LinkState, "_lease", granted)]


def _set_replaces() -> Patches:
    merge = Gate.merge

    def replace(gate: Gate, delta: SetDelta, now_s: float) -> Effects:
        gate.stops, gate._latches = StopSet(), Latches(gate.vehicle_id)
        return merge(gate, delta, now_s)

    return [(Gate, "merge", replace)]


def _permit_from_arrival() -> Patches:
    permit = Gate.permit

    def arrived(gate: Gate, number: int, ttl_s: float, now_s: float, denial: PermitDenial) -> Effects:
        effects = permit(gate, number, ttl_s, now_s, denial)
        if ttl_s > 0:
            gate._permit._until_s = now_s + ttl_s
        return effects

    return [(Gate, "permit", arrived)]


def _lost_journal_grants() -> Patches:
    denial = GatewayLinkServicer._denial

    def ignore(servicer: GatewayLinkServicer, link: Link) -> str:
        return denial(servicer, link).replace("JOURNAL_LOST", "")

    return [(GatewayLinkServicer, "_denial", ignore)]


def _one_disk_releases() -> Patches:
    return [(command_service.releases, "majority", lambda members: 1)]


def _one_disk_issues() -> Patches:
    return [(command_service.ledger, "majority", lambda members: 1)]


def _permit_beyond_leases() -> Patches:
    def ttl_s(
        terms: PermitTerms, book: LeaseBook, now_s: float, *, holds: bool, newest: bool
    ) -> tuple[float, PermitDenial]:
        if holds or not newest or book.remaining_s(now_s) <= 0:
            return 0.0, PermitDenial.NO_MAJORITY
        return terms.permit_ttl_s, PermitDenial.NONE

    return [(ingest_gateway.leave, "permit_ttl_s", ttl_s)]


def _moves_on_after_link_lost() -> Patches:
    lose = Gate._lose

    def forgive(gate: Gate, cause: str, now_s: float) -> Effects:
        effects = lose(gate, cause, now_s)
        gate._beneath = MotionHold.NONE
        return effects

    return [(Gate, "_lose", forgive)]


def _stale_orders() -> Patches:
    return [(pitwall.domain.order, "_stale", lambda etag, own: None)]


def _orders_never_expire() -> Patches:
    return [(pitwall.domain.order, "_expired", lambda order, age_s: None)]


def _zones_at_issue() -> Patches:
    """The set with its zones is judged when it comes, and not again while the vehicle drives."""
    judged = Gate._judged

    def once(gate: Gate, new: SetDelta, now_s: float, cause: str = "") -> Effects:
        return judged(gate, new, now_s, cause) if new or cause else []

    return [(Gate, "_judged", once)]


def _peers_told_at_connect() -> Patches:
    return [(Peer, "push", lambda peer, delta: None)]


#: What each is called -> what it does to production code.
MUTANTS: dict[str, Callable[[], Patches]] = {
    "one lease is enough": _one_lease,
    "leases before the exchange": _lease_before_exchange,
    "a set frame replaces": _set_replaces,
    "a permit runs from its arrival": _permit_from_arrival,
    "a lost journal is ignored": _lost_journal_grants,
    "a release is in force with one disk": _one_disk_releases,
    "a stop is issued with one disk": _one_disk_issues,
    "a permit outlives its leases": _permit_beyond_leases,
    "a lost link is forgiven": _moves_on_after_link_lost,
    "orders from before a hold run": _stale_orders,
    "orders never expire": _orders_never_expire,
    "zones are judged at issue alone": _zones_at_issue,
    "peers are told on connect alone": _peers_told_at_connect,
}


def mutated(name: str) -> ExitStack:
    """To be entered: production code is weakened until it is left."""
    stack = ExitStack()
    for target, attribute, value in MUTANTS[name]():
        stack.enter_context(patch.object(target, attribute, value))
    return stack
