"""Processes that the supervisor starts, and those that it inherits."""

import subprocess
import sys

# A process of its own: the one that runs tests has other children.
PROGRAM = """
import asyncio, os, sys
from sockudo_py.supervisor.children import Children

async def main():
    children = Children()
    children.start()
    ended = asyncio.get_running_loop().create_future()
    orphan = os.fork()  # as process 1 of a container inherits some
    if not orphan:
        os._exit(7)
    pid = children.spawn(["check-config", "/there/is/none.json"], [], ended.set_result)
    print("code", await asyncio.wait_for(ended, 60))
    for _ in range(100):
        try:
            os.kill(orphan, 0)
        except ProcessLookupError:
            print("reaped")
            break
        await asyncio.sleep(0.05)
    children.signal(pid, 15)  # it is gone: nobody gets it
    children.kill_all()

asyncio.run(main())
"""


def test_ends_are_noticed_and_orphans_are_reaped() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines() == ["code 1", "reaped"], done.stderr
    assert "/there/is/none.json: there is no such file" in done.stderr
