"""soketi as a peer: installed from npm into a folder of its own that git ignores.

Its dependency uWebSockets.js isn't on npm, so an override takes the newest build there that works with Node 20 and
older glibc. That package falls back to plain JavaScript where its binary doesn't load, which would be an unfair
peer: ``insist_on_native`` looks at what the process has mapped.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "1.6.1"
UWS = "@trufflesuite/uws-js-unofficial@20.30.0-unofficial.0"
UWS_ABIS = ("93", "108", "115")  # process.versions.modules of Node 16, 18 and 20
FOLDER = Path(__file__).parent / ".peers" / "soketi"
_SERVER = FOLDER / "node_modules" / "@soketi" / "soketi" / "bin" / "server.js"
_DONE = FOLDER / ".installed"


def prepare() -> str | None:
    """Install soketi where it isn't yet; return None, or why it can't be had."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "it needs node and npm"
    abi = subprocess.run([node, "-p", "process.versions.modules"], capture_output=True, text=True, check=False)
    if abi.stdout.strip() not in UWS_ABIS:
        return "the build of uWebSockets.js on npm works with Node 16, 18 and 20 only"
    if _DONE.exists() and _DONE.read_text() == f"{VERSION} {UWS}":
        return None
    print("  installing soketi from npm, once ...", file=sys.stderr)
    FOLDER.mkdir(parents=True, exist_ok=True)
    package = {
        "name": "bench-peer-soketi",
        "private": True,
        "dependencies": {"@soketi/soketi": VERSION},
        "overrides": {"uWebSockets.js": f"npm:{UWS}"},
    }
    (FOLDER / "package.json").write_text(json.dumps(package, indent=2))
    command = [npm, "install", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not _SERVER.exists():
        return f"npm install failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
    _DONE.write_text(f"{VERSION} {UWS}")
    return None


def command(config: Path) -> list[str]:
    """Return the command that starts it."""
    return [shutil.which("node") or "node", str(_SERVER), "start", f"--config={config}"]


def insist_on_native(pid: int) -> None:
    """Raise RuntimeError when the process runs without the compiled uWebSockets."""
    if "/binaries/uws_linux" not in Path(f"/proc/{pid}/maps").read_text():
        raise RuntimeError("soketi runs on the JavaScript fallback of uWebSockets.js, which is no fair peer")
