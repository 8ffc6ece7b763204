"""Which rows of a table are in force. Pure.

A row that can't be used keeps its last good version in force. Among rows that claim one key, or one uid of an endpoint,
the app that is in force has the first claim, then the lower id.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from sockudo_py.apps.base import AppChanged, AppDefinition
from sockudo_py.apps.differences import changes, same
from sockudo_py.apps.view import AppView
from sockudo_py.errors import ConfigError

Outcome = AppDefinition | tuple[str, ...]  # an app, or what is wrong with the row


@dataclass(slots=True)
class _Kept:
    """The state of one row."""

    version: Hashable = None
    current: AppDefinition | None = None  # in force: the last good version
    candidate: AppDefinition | None = None  # good in itself, but not in force yet
    mistakes: tuple[str, ...] = ()  # of the present version
    refusal: tuple[str, ...] = ()  # why the candidate is not in force

    @property
    def broken(self) -> bool:
        return bool(self.mistakes or self.refusal)


@dataclass(frozen=True, slots=True)
class Taken:
    """What a look has changed: the apps, and which mistakes are new, each with whether an older version serves."""

    changes: list[AppChanged]
    mistakes: list[tuple[str, bool]]


class Keeper:
    """The rows of a table, the last good version of each, and the apps in force."""

    def __init__(self, former: Iterable[AppDefinition] = ()) -> None:
        """``former``: apps that serve where the first version of their row that is seen can't be used."""
        self._former = {definition.app.id: definition for definition in former}
        self._rows: dict[str, _Kept] = {}
        self.view = AppView()

    @property
    def versions(self) -> dict[str, Hashable]:
        """The version that is known of each row."""
        return {row_id: kept.version for row_id, kept in self._rows.items()}

    @property
    def broken(self) -> int:
        """How many rows can't be used as they are now."""
        return sum(kept.broken for kept in self._rows.values())

    def take(self, versions: Mapping[str, Hashable], outcomes: Mapping[str, Outcome]) -> Taken:
        """Take up what a look found.

        Args:
            versions: Of every row that is there.
            outcomes: Of the rows whose version is new.
        """
        gone = [row_id for row_id in self._rows if row_id not in versions]
        for row_id in gone:
            del self._rows[row_id]
        told: list[tuple[str, bool]] = []
        for row_id, outcome in outcomes.items():
            if row_id not in versions:
                continue
            kept = self._rows.get(row_id)
            if kept is None:
                kept = self._rows[row_id] = _Kept(current=self._former.pop(row_id, None))
            kept.version = versions[row_id]
            if isinstance(outcome, tuple):
                kept.candidate, kept.refusal, kept.mistakes = None, (), outcome
                told += [(mistake, kept.current is not None) for mistake in outcome]
            else:
                kept.candidate, kept.mistakes = outcome, ()
                if same(outcome, kept.current):
                    kept.candidate, kept.refusal = None, ()
        if not gone and not outcomes:
            return Taken([], [])
        return self._arrange(told)

    def _arrange(self, told: list[tuple[str, bool]]) -> Taken:
        """Bring candidates into force together, except those that claim what another row has."""
        refused: dict[str, tuple[str, ...]] = {}
        view, more = self._try(refused)
        while more:
            refused |= more
            view, more = self._try(refused)
        in_force = {definition.app.id: definition for definition in view.all()}
        for row_id, kept in self._rows.items():
            kept.current = in_force.get(row_id)
            refusal = refused.get(row_id, ())
            if refusal != kept.refusal:
                kept.refusal = refusal
                told += [(mistake, kept.current is not None) for mistake in refusal]
            if kept.candidate is not None and kept.candidate is kept.current:
                kept.candidate = None
        before, self.view = self.view, view
        return Taken(changes(before.all(), view.all()), told)

    def _try(self, refused: Mapping[str, tuple[str, ...]]) -> tuple[AppView, dict[str, tuple[str, ...]]]:
        """Return the apps as they would be, and which further candidates can't be."""
        view, uids = AppView(), dict[str, str]()
        chosen = []
        for row_id, kept in self._rows.items():
            if kept.candidate is not None and row_id not in refused:
                chosen.append((kept.current is None, row_id, kept.candidate))
            elif kept.current is not None:
                _add(view, uids, kept.current)
        more = {}
        for _, row_id, candidate in sorted(chosen, key=lambda choice: choice[:2]):
            if problems := _add(view, uids, candidate):
                more[row_id] = problems
        return view, more


def _add(view: AppView, uids: dict[str, str], definition: AppDefinition) -> tuple[str, ...]:
    """Add an app, or return why it can't be."""
    app_id = definition.app.id
    own = [endpoint.uid for endpoint in definition.endpoints]
    taken = [uid for index, uid in enumerate(own) if uid in uids or uid in own[:index]]
    if taken:
        return tuple(f"app {app_id}: webhook uid {uid} is used twice; give each its own" for uid in taken)
    try:
        view.add(definition, f"app {app_id}")
    except ConfigError as error:
        return tuple(error.problems)
    uids.update(dict.fromkeys(own, app_id))
    return ()
