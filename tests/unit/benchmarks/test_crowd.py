"""Where the clients of several nodes are."""

from collections import defaultdict

from benchmarks.crowd import Spread

CLIENTS = 10_000


def test_all_channels_but_the_lone_ones_live_on_without_one_of_the_nodes() -> None:
    spread = Spread(2)
    nodes: dict[str, set[int]] = defaultdict(set)
    sizes: dict[str, int] = defaultdict(int)
    for number in range(CLIENTS):
        nodes[spread.channel(number)].add(number % 2)
        sizes[spread.channel(number)] += 1
    lone = {channel for channel in nodes if channel.startswith("lone-")}
    assert {len(nodes[channel]) for channel in lone} == {1}
    assert all(nodes[channel] == {0, 1} for channel in nodes.keys() - lone)
    assert len(lone) == sum(sizes[channel] for channel in lone) == CLIENTS / 10
    rooms = [size for channel, size in sizes.items() if channel.startswith("presence-")]
    assert sum(rooms) == CLIENTS / 10
    assert max(rooms) <= 100  # the limit of members


def test_a_member_of_a_room_is_signed_for() -> None:
    assert b'"channel_data":' in Spread(2).subscribe(0, "1.2")
    assert b'"auth":' not in Spread(2).subscribe(2, "1.2")
