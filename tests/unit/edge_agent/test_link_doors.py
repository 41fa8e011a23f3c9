"""How many vehicles of a process open their streams at a time."""

import asyncio

from edge_agent.link import Doors

ONE, OTHER = "127.0.0.1:50051", "127.0.0.1:50061"


async def test_who_is_open_makes_room_for_the_next_before_its_stream_ends() -> None:
    doors, entered = Doors(at_once=2), list[str]()
    may_open, may_end, all_entered = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def vehicle(name: str) -> None:
        async with doors.through(ONE) as opened:
            entered.append(name)
            if len(entered) == 4:
                all_entered.set()
            await may_open.wait()
            opened()
            opened()  # every frame says it
            await may_end.wait()

    vehicles = [asyncio.create_task(vehicle(name)) for name in "abcd"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert entered == ["a", "b"]
    may_open.set()
    async with asyncio.timeout(5):
        await all_entered.wait()
    may_end.set()
    await asyncio.gather(*vehicles)
    async with doors.through(ONE), doors.through(ONE):
        assert not await came_through(doors, ONE), "twice open has made room twice"


async def test_who_fails_to_open_makes_room_too() -> None:
    doors = Doors(at_once=1)
    for _ in range(2):
        async with doors.through(ONE):
            pass
    assert await came_through(doors, ONE)


async def test_one_gateway_that_hangs_delays_no_other() -> None:
    doors = Doors(at_once=1)
    async with doors.through(ONE):
        assert not await came_through(doors, ONE)
        assert await came_through(doors, OTHER)


async def came_through(doors: Doors, address: str) -> bool:
    """Whether there is room now."""
    try:
        async with asyncio.timeout(0.01), doors.through(address):
            return True
    except TimeoutError:
        return False
