"""Fair allocation of the model between clients, host names, and the memory and space of bodies."""

from __future__ import annotations

import anyio
import pytest

from ecgssl.serving.allowed_hosts import AllowedHosts, allowed_hosts
from ecgssl.serving.fair_turns import FairTurns
from ecgssl.serving.request_limits import RequestError


async def take(turns: FairTurns, client: str, steps: int, order: list[str], seconds: float = 10.0) -> None:
    for _ in range(steps):
        async with turns.turn(client, seconds):
            order.append(client)
            await anyio.sleep(0.001)


def test_a_short_request_waits_for_one_step_of_a_long_one():
    order: list[str] = []

    async def main() -> None:
        turns = FairTurns(1)
        async with anyio.create_task_group() as group:
            group.start_soon(take, turns, "long", 20, order)
            await anyio.sleep(0.005)
            for client in ("b", "c"):
                group.start_soon(take, turns, client, 1, order)

    anyio.run(main)
    assert order.count("long") == 20
    first = order.index("b")
    assert {"b", "c"} <= set(order[first : first + 3])
    assert first <= 8


def test_many_requests_of_one_client_do_not_delay_another():
    order: list[str] = []

    async def main() -> None:
        turns = FairTurns(1)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(take, turns, "many", 3, order)
            await anyio.sleep(0)
            group.start_soon(take, turns, "one", 3, order)

    anyio.run(main)
    places = [i for i, client in enumerate(order) if client == "one"]
    assert places[2] <= 7, "the other client gets every second step"


def test_time_limit_and_cancellation_keep_the_slots():
    order: list[str] = []

    async def main() -> None:
        turns = FairTurns(1)
        async with turns.turn("a", 1):
            with pytest.raises(RequestError, match="busy for too long") as caught:
                await take(turns, "b", 1, order, seconds=0.01)
            assert caught.value.status == 503
            with anyio.move_on_after(0.01):
                await take(turns, "c", 1, order)
        with anyio.fail_after(1):
            await take(turns, "d", 2, order)

    anyio.run(main)
    assert order == ["d", "d"]


LOCAL, OPEN = allowed_hosts("127.0.0.1", ["ecg.hospital.example."]), allowed_hosts("0.0.0.0")


@pytest.mark.parametrize(
    ("hosts", "host", "accepted"),
    [
        (LOCAL, "127.0.0.1:8000", True),
        (LOCAL, "LOCALHOST:8000", True),
        (LOCAL, "[::1]:8000", True),
        (LOCAL, "ecg.hospital.example", True),
        (LOCAL, "attacker.example:8000", False),
        (LOCAL, "127.0.0.1.attacker.example", False),
        (LOCAL, "localhost@attacker.example", False),
        (LOCAL, "10.0.0.5", False),
        (LOCAL, "", False),
        (LOCAL, "localhost/..", False),
        (OPEN, "10.0.0.5:8000", True),
        (OPEN, "attacker.example", False),
    ],
)
def test_host_names(hosts, host, accepted):
    assert hosts.accepts(host) is accepted


@pytest.mark.parametrize(
    ("origin", "host", "accepted"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://localhost", "localhost:443", True),
        ("https://ecg.hospital.example", "127.0.0.1:8000", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://attacker.example", "127.0.0.1:8000", False),
        ("null", "127.0.0.1:8000", False),
        ("file://", "127.0.0.1:8000", False),
    ],
)
def test_origins(origin, host, accepted):
    assert LOCAL.accepts_origin(origin, host) is accepted


def test_default_accepts_this_machine_only():
    assert AllowedHosts().accepts("localhost")
    assert not AllowedHosts().accepts("ecg.hospital.example")
