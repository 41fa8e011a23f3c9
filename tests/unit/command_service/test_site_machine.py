"""A site of three or five under any order of faults: links that break, disks that lag or are lost, processes that die.

What has to hold is what leases are given on: of any majority that gives them, one knows each stop that was ever
confirmed. And when everything works again, everybody knows the same.
"""

from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from command_service.core import CommandCore
from command_service.effects import Ack, Awaited, approval
from pitwall.domain.permit import majority
from tests.support.machines import as_test
from tests.unit.command_service.samples import FLEET, WHEN, named, release, stop
from tests.unit.command_service.site import ALL, Member, Site

numbers = st.integers(0, 59)
#: One bit for each member: often all are in reach of each other, and no disk hangs.
reach, hangs = st.just(31) | st.integers(0, 31), st.just(0) | st.integers(0, 31)
amounts = st.sampled_from([1, 1, ALL])


class SiteMachine(RuleBasedStateMachine):
    size = 3

    @initialize()
    def begin(self) -> None:
        self.site = Site(self.size)
        self.ids = 0
        self.stop_ids: list[str] = []
        self.approved: set[str] = set()
        self.release_ids: list[str] = []
        #: Of each member, what was confirmed before it lost its disk.
        self.owed: dict[str, set[str]] = {name: set() for name in self.site.names}
        self.site.meet(self.site.members)

    def member(self, number: int) -> Member:
        return self.site.members[number % self.size]

    def group(self, bits: int) -> list[Member]:
        return [member for number, member in enumerate(self.site.members) if bits >> number & 1]

    def new_id(self) -> str:
        self.ids += 1
        return f"01900000-0000-7000-8000-{self.ids:012x}"

    # People; and then some are in reach of each other for a while, and the disks of some of them hang

    @rule(number=numbers, there=reach, hung=hangs)
    def stop(self, number: int, there: int, hung: int) -> None:
        self.stop_ids.append(self.new_id())
        scope = FLEET if number % 2 else named("TRUCK-A", "TRUCK-B")
        self.site.issue(self.member(number), stop(self.stop_ids[-1], scope))
        self.site.meet(self.group(there), self.group(hung))

    @rule(number=numbers)
    def stop_again(self, number: int) -> None:
        """A console that had no answer asks another one, whose clock is another one."""
        member = self.member(number)
        if self.stop_ids and self.stop_ids[-1] not in member.core.stops:
            self.site.issue(member, stop(self.stop_ids[-1], issued_time=WHEN.replace(second=number)))

    @rule(number=numbers, which=numbers, there=reach, hung=hangs)
    def release(self, number: int, which: int, there: int, hung: int) -> None:
        """Somebody asks for it; or agrees, where somebody has asked."""
        member = self.member(number)
        stops = member.core.stops.snapshot().stops
        asked = [one for one in member.core.releases.waiting_releases() if not one.approved_by]
        if asked:
            one = asked[which % len(asked)]
            self.approved.add(one.release_id)
            self.site.approve(member, replace(one, approved_by=f"boss {number}", approved_time=WHEN))
        elif stops:
            vehicle_ids = ["TRUCK-A"] if which % 3 == 0 else []
            self.release_ids.append(self.new_id())
            self.site.request(member, release(self.release_ids[-1], stops[which % len(stops)].stop_id, *vehicle_ids))
        self.site.meet(self.group(there), self.group(hung))

    @rule(number=numbers, which=numbers, agreed=st.booleans())
    def release_of_an_id_that_is_another_ones(self, number: int, which: int, agreed: bool) -> None:
        """Of a client that makes ids badly: the one asked has not heard of the other one. Somebody agrees at once."""
        member = self.member(number)
        stops = member.core.stops.snapshot().stops
        release_id = self.release_ids[-1] if self.release_ids else ""
        if not release_id or not stops or member.core.releases.get(release_id):
            return
        one = release(release_id, stops[which % len(stops)].stop_id, *(["TRUCK-B"] if which % 3 == 0 else []))
        self.site.request(member, one)
        if agreed:
            self.approved.add(release_id)
            self.site.approve(member, replace(one, approved_by=f"boss {number}", approved_time=WHEN))

    # One thing at a time; and faults

    @rule(one=numbers, other=numbers, step=st.sampled_from(["write", "send", "hear", "acknowledge"]), most=amounts)
    def move(self, one: int, other: int, step: str, most: int) -> None:
        if step == "write":
            self.site.write(self.member(one), most, notes=other % 2 == 0)
        else:
            getattr(self.site, step)(self.member(one), self.member(other), most)

    @rule(teller=numbers, hearer=numbers)
    def cut(self, teller: int, hearer: int) -> None:
        self.site.cut(self.member(teller), self.member(hearer))

    @rule(number=numbers, disk_lost=st.sampled_from([False, False, True]), there=reach, hung=hangs)
    def crash(self, number: int, disk_lost: bool, there: int, hung: int) -> None:
        member = self.member(number)
        if disk_lost:
            self.owed[member.name] |= self.site.confirmed
        self.site.crash(member, disk_lost=disk_lost)
        self.site.meet(self.group(there), self.group(hung))

    # What has to hold

    @invariant()
    def of_those_that_give_leases_every_majority_knows_each_confirmed_stop(self) -> None:
        """And those hold it, but for a release."""
        members = self.site.members
        granting = [member.core.stops for member in members if member.core.recall.complete]
        released = {s for member in members for one in member.core.stops.snapshot().releases for s in one.stop_ids}
        for stop_id in self.site.confirmed:
            knowing = [stops for stops in granting if stop_id in stops]
            assert len(granting) - len(knowing) < majority(self.size)
            assert stop_id in released or all(stops.is_active(stop_id) for stops in knowing)

    @invariant()
    def a_disk_counts_only_where_it_has_been_written(self) -> None:
        for member in self.site.members:
            for entry in member.core.ledger.entries():
                ack = Ack(Awaited.STOP, entry.stop_id)
                assert all(ack in self.site[name].written for name in entry.journaled_by)

    @invariant()
    def nothing_is_released_but_by_an_approval_that_a_majoritys_disks_have_had(self) -> None:
        members = self.site.members
        for one in {one for member in members for one in member.core.stops.snapshot().releases}:
            assert one.approved_by
            assert one.release_id in self.approved
            assert sum(approval(one) in member.written for member in members) >= majority(self.size)

    @invariant()
    def one_id_is_one_release_wherever_it_is_in_force(self) -> None:
        ones = {approval(one) for member in self.site.members for one in member.core.stops.snapshot().releases}
        assert len({one.id for one in ones}) == len(ones)

    @invariant()
    def whoever_lost_its_disk_gives_leases_once_it_knows_all_that_was_confirmed_before(self) -> None:
        for member in self.site.members:
            if member.core.recall.complete:
                assert all(stop_id in member.core.stops for stop_id in self.owed[member.name])

    def teardown(self) -> None:
        """When everything works again everybody knows the same, and whoever can be complete again is."""
        members, complete = self.site.members, -1
        while complete < (now := sum(member.core.recall.complete for member in members)):
            complete = now
            self.site.lines.clear()
            self.site.meet(members)
        assert complete == self.size or complete < majority(self.size - 1)
        for core in (member.core for member in members):
            assert set(core.stops.snapshot().stops) == set(members[0].core.stops.snapshot().stops)
            assert released_pairs(core) == released_pairs(members[0].core)
            agreed = [one.release_id for one in core.releases.waiting_releases() if one.approved_by]
            assert complete < self.size or not [id_ for id_ in agreed if not self.without_majority(id_)]
            assert all(entry.journaled_by == set(self.site.names) for entry in core.ledger.entries())

    def without_majority(self, release_id: str) -> bool:
        """Two of that id were agreed to, and neither is on the disks of a majority: none of them lets anybody go."""
        entries = filter(None, (member.core.releases.get(release_id) for member in self.site.members))
        contents = [approval(entry.approval) for entry in entries if entry.approval]
        return max(map(contents.count, contents)) < majority(self.size)


def released_pairs(core: CommandCore) -> set[tuple[str, frozenset[str], frozenset[str]]]:
    """Without who agreed: two may do so at two members at once, and each of those names its own."""
    return {(one.release_id, one.stop_ids, one.vehicle_ids) for one in core.stops.snapshot().releases}


class SiteOfFive(SiteMachine):
    size = 5


TestSiteOfThree = as_test(SiteMachine, runs=200, steps=20)
TestSiteOfFive = as_test(SiteOfFive, runs=50, steps=20)


# One that no dice are needed for


def test_a_stop_that_counts_a_lost_disk_is_heard_of_before_that_one_gives_leases_again() -> None:
    """A has it on disk, says so to B and to nobody else, and loses the disk. B counts A when its own disk works."""
    site = Site(5)
    a, b, c, d, e = site.members
    site.meet(site.members)
    site.connect([a, b])
    site.issue(b, stop(stop_id := "01900000-0000-7000-8000-000000000001"))
    site.lines = {ends: line for ends, line in site.lines.items() if set(ends) == {"A", "B"}}
    for step in (site.send, site.hear):
        step(b, a)
    site.write(a)
    site.hear(b, a)
    site.acknowledge(b, a)
    assert b.core.ledger[stop_id].journaled_by == {"A"}
    site.crash(a, disk_lost=True)
    site.meet([a, c, d, e])
    assert stop_id not in a.core.stops
    assert not a.core.recall.complete
    site.meet([b, c])
    assert b.core.ledger.summary(stop_id).confirmed
    site.meet([a, b])
    assert stop_id in a.core.stops
    assert a.core.recall.complete


def test_a_lost_disk_counts_for_no_release_before_it_is_known_what_was_on_it() -> None:
    """A and C have agreed to one release, B alone to another one of the same id. C loses its disk and meets B first."""
    site = Site(3)
    a, b, c = site.members
    site.meet(site.members)
    first, second = (f"01900000-0000-7000-8000-{number:012x}" for number in (1, 2))
    for stop_id in (first, second):
        site.issue(a, stop(stop_id))
    site.meet(site.members)
    site.lines.clear()
    site.approve(a, release("r", first, approved_by="boss"))
    site.approve(b, release("r", second, approved_by="boss"))
    site.meet([a, c])
    site.meet([b])
    site.lines.clear()
    site.crash(c, disk_lost=True)
    site.meet([b, c])
    assert b.core.stops.is_active(second)
    assert c.core.stops.is_active(second)
    site.meet(site.members)
    for member in site.members:
        assert (member.core.stops.is_active(first), member.core.stops.is_active(second)) == (False, True)
