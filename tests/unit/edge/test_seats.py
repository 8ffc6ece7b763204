"""Which worker has a session of an HTTP transport."""

from collections import Counter
from hashlib import sha256

from sockudo_py.edge.xhr.handover import seat_of


def test_all_workers_agree_and_share_the_sessions_evenly() -> None:
    ids = [f"{number % 1000}/{sha256(str(number).encode()).hexdigest()[:8]}" for number in range(4000)]
    counts = Counter(seat_of(ident, 4) for ident in ids)
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) < 1.2 * min(counts.values())
    assert seat_of("1/abcdefgh", 1) == 0
