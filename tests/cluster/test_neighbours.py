"""Programs that are no nodes and write to the Redis of a cluster: what comes of their mistakes."""

from sockudo_py.adapters.base import Publication
from tests.cluster.in_process import Site, at_rest
from tests.cluster.test_directed import ANN, BOB, ROOM
from tests.conformance.adapters.driven import APP
from tests.conformance.adapters.over_redis import until
from tests.support.redis_server import RedisServer

# None of them is an envelope on any topic.
NONSENSE = (
    b"",
    b"x",
    b"p",
    b"z0badcafe",
    b"p0badcafe",
    b"p0badcafe5:12",
    b"p0badcafe-1:x",
    b"p0badcafe\xd9\xa1:x",
    b"p0badcafe99999999999999999999:x",
    b"+0badcafe9:ann",
    b"c0badcafe-1",
    b"c0badcafe1e9",
    b'{"event":"x"}',
    b"\x00" * 100_000,
    b"\xff" * 9,
)


async def test_what_a_neighbour_publishes_on_every_topic_does_no_harm(private_redis: RedisServer) -> None:
    site = Site(private_redis, 2)
    async with site.running() as (one, two):
        await one.join(ROOM, ANN)
        await two.join(ROOM, BOB, socket="2.1")
        await one.sign_in("ann", ["bob"])
        await two.sign_in("bob", ["ann"])
        await site.settle()
        partitions = [site.partition(node) for node in (one, two)]
        topics = {topic for partition in partitions for topic in partition.state.topics()}
        topics |= {b"to:" + partition.node_id.encode() for partition in partitions}
        assert {topic.partition(b":")[0] for topic in topics} == {b"ch", b"u", b"w", b"to"}
        before = [list(node.delivered) for node in (one, two)]
        told = [list(node.changes) for node in (one, two)]
        for topic in topics:
            for payload in NONSENSE:
                assert partitions[0]._link.publish(topic, payload)
        one.adapter.publish(Publication(APP, ROOM, b"{}"))
        await until(lambda: Publication(APP, ROOM, b"{}") in two.delivered)
        await site.settle()
        bad = [partition.figures.bad_messages for partition in partitions]
        assert all(number >= 3 * len(NONSENSE) for number in bad), bad
        assert one.delivered == before[0]
        assert two.delivered == [*before[1], Publication(APP, ROOM, b"{}")]
        assert [list(node.changes) for node in (one, two)] == told
        assert sorted(await one.adapter.members(APP, ROOM)) == ["ann", "bob"]
        await at_rest(site)
