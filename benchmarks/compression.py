"""What compression saves and costs: bytes on the wire, and CPU of a publish with it and without it.

``python -m benchmarks.compression`` takes half a minute. The CPU is that of all that happens in this process for one publish
to 1 or 100 subscribers, without sockets: writing to them is the kernel's. Rounds with compression and without take
turns, so that what else the machine does hits both alike; the ratio is the median over them.
"""

import json
import time
from statistics import median

from sockudo_py.protocol.app import App, AppKey
from sockudo_py.ws.deflate import LEAST_BITS, USUAL_BITS, deflated_frame
from sockudo_py.ws.framing import text_frame
from tests.support.edge_bench import KEY, SECRET, Bench, Peer, subscribe, upgrade

APP = App(id="3", keys=(AppKey(KEY, SECRET.encode()),))
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
ROUNDS = 21
ROUND_SECONDS = 0.05  # of CPU
ITEMS = (1, 2, 10, 100)  # in the data of an event, which may have 10 KB by default
SUBSCRIBERS = (1, 100)


def data(items: int) -> str:
    """Return the data of an event that lists this number of things."""
    return json.dumps(
        [{"id": 4711 + n, "name": f"Product {n}", "price": n * 317 % 100, "state": "shipped"} for n in range(items)]
    )


def payload(items: int) -> bytes:
    """Return the message of such an event."""
    return json.dumps({"event": "order.updated", "channel": "orders", "data": data(items)}).encode()


def _joined(bench: Bench, *lines: str) -> Peer:
    peer = bench.dial()
    peer.send(upgrade(f"/app/{KEY}?protocol=7", *lines))
    peer.send(subscribe("orders"))
    peer.transport.take()
    return peer


class Publishing:
    """A server with subscribers that compress, or not, to which one event is published again and again."""

    def __init__(self, items: int, subscribers: int, *, compress: bool) -> None:
        self._bench = Bench(APP, compress=compress)
        self._peers = [_joined(self._bench, OFFER) for _ in range(subscribers)]
        self._data = data(items)

    def cpu(self, publishes: int) -> float:
        """Publish this number of times and return the CPU seconds of one publish."""
        bench, text = self._bench, self._data
        begun = time.process_time()
        for _ in range(publishes):
            bench.node.publish(APP, ["orders"], "order.updated", text)
            bench.loop.advance()
            for peer in self._peers:
                peer.transport.written = b""
        return (time.process_time() - begun) / publishes


def compared(items: int, subscribers: int) -> tuple[float, float, float]:
    """Return the seconds of CPU of a publish without compression and with it, and their ratio."""
    plain = Publishing(items, subscribers, compress=False)
    deflated = Publishing(items, subscribers, compress=True)
    publishes = max(5, int(ROUND_SECONDS / deflated.cpu(20)))
    plain.cpu(20)
    rounds = [(plain.cpu(publishes), deflated.cpu(publishes)) for _ in range(ROUNDS)]
    without, with_it = (median(times) for times in zip(*rounds, strict=True))
    return without, with_it, median(after / before for before, after in rounds)


def main() -> None:
    """Print a line for each size."""
    print("| message | frame | compressed, window of 4 KB | of 512 bytes | CPU of a publish to 1 | to 100 |")
    print("|---|---:|---:|---:|---:|---:|")
    for items in ITEMS:
        message = payload(items)
        frames = [text_frame(message), deflated_frame(message, USUAL_BITS), deflated_frame(message, LEAST_BITS)]
        cells = [f"{len(message):,}", *(f"{len(each):,}" for each in frames)]
        for subscribers in SUBSCRIBERS:
            without, with_it, ratio = compared(items, subscribers)
            cells.append(f"{without * 1e6:.1f} / {with_it * 1e6:.1f} us ({ratio:.2f})")
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
