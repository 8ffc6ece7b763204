"""A port whose next connection is one too many."""

from collections.abc import Callable

from sockudo_py.metrics import Metrics
from sockudo_py.process.descriptors import Descriptors
from tests.support.client import eventually
from tests.support.edge_bench import subscribe
from tests.support.edge_stage import Peer, Stage, on_stage


class Doorkeeper(Descriptors):
    """Every connection that comes while it is ``full`` is one too many."""

    full = False

    def admits(self, make_room: Callable[[], bool]) -> bool:
        return not self.full or make_room()


def guarded(stage: Stage) -> Doorkeeper:
    door = stage.context.descriptors = Doorkeeper(1024, deliveries=1, metrics=Metrics())
    return door


async def counted(stage: Stage, number: int) -> None:
    await eventually(lambda: stage.connections.open.count == number, f"{number} connections")


async def gone(peer: Peer) -> bool:
    try:
        return await peer.reader.read() == b""
    except ConnectionResetError:
        return True


@on_stage()
async def test_a_connection_that_is_one_too_many_is_closed_at_once_and_not_counted(stage: Stage) -> None:
    door = guarded(stage)
    client = await stage.websocket()
    door.full = True
    late = await stage.dial()
    assert await gone(late)
    await counted(stage, 1)
    await client.send(subscribe("c"))
    assert (await client.message())["event"] == "pusher_internal:subscription_succeeded"


@on_stage()
async def test_who_waits_for_a_request_makes_room_and_clients_stay(stage: Stage) -> None:
    door = guarded(stage)
    client = await stage.websocket()
    silent = await stage.dial()
    await counted(stage, 2)
    door.full = True
    late = await stage.dial()
    assert await gone(silent)
    await late.send(b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await late.response())[0] == 200
    await client.send(subscribe("c"))
    assert (await client.message())["event"] == "pusher_internal:subscription_succeeded"


@on_stage()
async def test_kept_alive_connections_go_before_those_that_have_not_asked_yet(stage: Stage) -> None:
    door = guarded(stage)
    new = await stage.dial()
    idle = await stage.dial()
    await idle.send(b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
    await idle.response()
    await counted(stage, 2)
    door.full = True
    await stage.dial()
    assert await gone(idle)
    await new.send(b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await new.response())[0] == 200
