"""What a transaction writes to the ledger once it is known which events it takes. Pure; ``queue_append.lua`` says the
same."""

from collections.abc import Iterable, Sequence

from sockudo_py.queues.base import Append, LedgerEntry, Occupancy


def written(entries: Sequence[LedgerEntry], refused: Iterable[Append]) -> tuple[list[Occupancy], list[str]]:
    """Return the rows to add to the ledger or to change, and the ids of those to delete."""
    endpoints = {event.id: event.endpoint for event in refused}
    there: list[Occupancy] = []
    gone: list[str] = []
    for occupancy, over, events, new in entries:
        if not over:
            there.append(occupancy)
            continue
        owed = occupancy.owed + tuple(endpoints[ident] for ident in events if ident in endpoints)
        if owed:
            there.append(occupancy._replace(owed=owed))
        elif not new:
            gone.append(occupancy.id)
    return there, gone
