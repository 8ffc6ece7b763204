"""What compression saves and costs: bytes on the wire, and instructions of a publish with it and without it.

``python -m benchmarks.compression`` takes half an hour and needs valgrind. The instructions are of all that happens in
this process for one publish to 1 or 100 subscribers, without sockets; that of writing to them is the kernel's. It counts
instructions, so the machine may be busy.
"""

import json
import re
import subprocess
import sys

from sockudo_py.protocol.app import App, AppKey
from sockudo_py.ws.deflate import LEAST_BITS, USUAL_BITS, deflated_frame
from sockudo_py.ws.framing import text_frame
from tests.support.edge_bench import KEY, SECRET, Bench, Peer, subscribe, upgrade

APP = App(id="3", keys=(AppKey(KEY, SECRET.encode()),))
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
WARM, MANY = 50, 250
ITEMS = (1, 2, 10, 100)  # in the data of an event, which may have 10 KB by default
SUBSCRIBERS = (1, 100)


def data(items: int) -> str:
    """Return the data of an event about so many things."""
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


def publishes(number: int, items: int, subscribers: int, *, compress: bool) -> None:
    """Publish so many events to so many subscribers."""
    bench = Bench(APP, compress=compress)
    peers = [_joined(bench, OFFER) for _ in range(subscribers)]
    text = data(items)
    for _ in range(number):
        bench.node.publish(APP, ["orders"], "order.updated", text)
        bench.loop.advance()
        for peer in peers:
            peer.transport.written = b""


def _count(items: int, subscribers: int, way: str) -> float:
    """Return the instructions of one publish."""
    counts = []
    for number in (WARM, MANY):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m"]
        command += ["benchmarks.compression", str(number), str(items), str(subscribers), way]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        found = re.search(r"Collected : (\d+)", told)
        assert found, told
        counts.append(int(found[1]))
    return (counts[1] - counts[0]) / (MANY - WARM)


def main() -> None:
    """Print a line for each size; with arguments, run one of them."""
    if sys.argv[1:]:
        number, items, subscribers = map(int, sys.argv[1:4])
        publishes(number, items, subscribers, compress=sys.argv[4] == "with")
        return
    print("| message | frame | compressed, window of 4 KB | of 512 bytes | publish to 1, without and with | to 100 |")
    print("|---|---|---|---|---|---|")
    for items in ITEMS:
        message = payload(items)
        frames = [text_frame(message), deflated_frame(message, USUAL_BITS), deflated_frame(message, LEAST_BITS)]
        cells = [f"{len(message):,}", *(f"{len(each):,}" for each in frames)]
        for subscribers in SUBSCRIBERS:
            cells.append(" / ".join(f"{_count(items, subscribers, way):,.0f}" for way in ("without", "with")))
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
