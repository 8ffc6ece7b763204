"""The table of sessions: those that nobody holds are bounded, for all apps and for one."""

from dataclasses import dataclass, field

from sockudo_py.xhr.sessions import Key, Sessions


@dataclass
class Session:
    key: Key
    evicted: list[Key] = field(default_factory=list)

    def evict(self) -> None:
        self.evicted.append(self.key)


def some(app: str, number: int, evicted: list[Key]) -> list[Session]:
    return [Session((app, str(n)), evicted) for n in range(number)]


def test_too_many_that_wait_evict_the_one_that_has_waited_longest() -> None:
    table: Sessions[Session] = Sessions(capacity=3, app_capacity=3)
    evicted: list[Key] = []
    one, two, three, four = some("1", 4, evicted)
    for session in (one, two, three):
        table.wait(session)
    table.wait(one)  # again: it is the last now
    assert evicted == []
    table.wait(four)
    assert evicted == [two.key]
    assert table.waiting == 3


def test_an_app_can_not_use_up_what_there_is_for_all() -> None:
    table: Sessions[Session] = Sessions(capacity=5, app_capacity=2)
    evicted: list[Key] = []
    for session in some("quiet", 2, evicted):
        table.wait(session)
    for session in some("loud", 20, evicted):
        table.wait(session)
    assert len(evicted) == 18
    assert {app for app, _ in evicted} == {"loud"}


def test_who_leaves_or_is_removed_waits_no_more() -> None:
    table: Sessions[Session] = Sessions()
    one, two = some("1", 2, [])
    for session in (one, two):
        table.add(session)
        table.wait(session)
    table.leave(one)
    table.leave(one)
    assert (table.waiting, len(table)) == (1, 2)
    assert table.get(one.key) is one
    table.remove(two)
    assert (table.waiting, len(table), table.get(two.key)) == (0, 1, None)
    assert not table.evict_oldest()
    table.remove(Session(one.key))  # another one of that name
    assert table.get(one.key) is one
