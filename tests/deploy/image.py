"""Builds and runs the image without Docker: the Dockerfile's steps in folders of this machine.

Each stage gets a folder that holds its files, and sees this machine's ``/usr`` and this Python, read-only, in place of
the base image's. Steps run as root below ``chroot``, the server as the user
of the image. All of it is in mount namespaces of its own, which end with the processes.
"""

import fnmatch
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.deploy.dockerfile import Instruction, Stage, stages
from tests.support.debian import give_up

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.base_prefix)
DEADLINE = 600.0  # seconds for one step: pip gets packages
_SHARED = ("usr", "bin", "sbin", "lib", "lib64")  # of the base image: this machine's
_FROM_MACHINE = ("etc/resolv.conf", "etc/hosts", "etc/nsswitch.conf", "etc/pip.conf", "etc/ssl", "etc/login.defs")
_KEPT = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT")  # how this machine reaches the package registry
_HARMLESS = {"EXPOSE", "VOLUME", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}  # they say how to run it


@dataclass(slots=True)
class Built:
    """A stage whose steps have run."""

    root: Path
    stage: Stage
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0"

    def command(
        self, arguments: list[str], *, user: str | None = None, mounts: Mapping[Path, str] | None = None
    ) -> list[str]:
        """Return what runs ``arguments`` inside. ``mounts``: folders and files of this machine, and where they are."""
        script = ["set -e", 'root="$1"; where="$2"; user="$3"; shift 3', "mount --make-rprivate /"]
        for name in _SHARED:
            if Path("/", name).is_dir() and not Path("/", name).is_symlink():
                script.append(f'mount --bind /{name} "$root/{name}"; mount -o remount,bind,ro "$root/{name}"')
        if not PYTHON.is_relative_to("/usr"):
            script.append(f'mkdir -p "$root{PYTHON}"; mount --bind "{PYTHON}" "$root{PYTHON}"')
            script.append(f'mount -o remount,bind,ro "$root{PYTHON}"')
        script.append('mount --rbind /dev "$root/dev"; mount -t proc proc "$root/proc"')
        for outside, inside in (mounts or {}).items():
            make = "mkdir -p" if outside.is_dir() else "touch"
            script.append(f'{make} "$root{inside}"; mount --bind "{outside}" "$root{inside}"')
        script.append(
            'exec chroot --userspec="$user" "$root" /bin/sh -c \'cd "$1"; shift; exec "$@"\' sh "$where" "$@"'
        )
        account = user or self.user
        account = account if ":" in account else f"{account}:0"
        given = [str(self.root), self.folder, account, *arguments]
        return ["unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *given]

    def run(
        self, arguments: list[str], env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end."""
        return subprocess.run(
            self.command(arguments, **options),
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )


def require_namespaces() -> None:
    """Skip the test, or fail it in CI, where steps can't run as in an image."""
    if os.geteuid() != 0:
        give_up("only root can run the steps of an image")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        give_up("this machine allows no mount namespaces")
    if not (PYTHON / "bin" / "python").exists():
        give_up(f"{PYTHON}/bin has no `python`, as the base image has")


def build(folder: Path) -> Built:
    """Run the steps of the Dockerfile and return its last stage."""
    done: dict[str, Built] = {}
    built: Built | None = None
    for index, stage in enumerate(stages(ROOT / "Dockerfile")):
        built = Built(_base(folder / f"stage-{index}"), stage, _environment())
        for step in stage.instructions:
            _step(built, step, done)
        done[stage.name] = built
    assert built is not None, "the Dockerfile has no stage"
    return built


def bare_machine(folder: Path) -> Built:
    """Return a machine with Python and nothing of ours."""
    return Built(_base(folder), Stage("", ""), _environment())


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(_KEPT)}
    path = f"{PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {**kept, "PATH": path, "HOME": "/root", "LANG": "C.UTF-8"}


def _base(root: Path) -> Path:
    """Make what a base image has: folders, accounts, no service."""
    for name in ("etc", "dev", "proc", "tmp", "root", "var/lib", "opt", "usr", "run"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name in _SHARED:
        machine = Path("/", name)
        if machine.is_symlink():
            (root / name).symlink_to(machine.readlink())
        elif machine.is_dir():
            (root / name).mkdir(exist_ok=True)
    for name in _FROM_MACHINE:
        source, target = Path("/", name), root / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("private"))
        elif source.exists():
            shutil.copy(source, target)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/shadow").write_text("root:*:::::::\n")
    (root / "etc/gshadow").write_text("root:*::\n")
    return root


def _step(built: Built, step: Instruction, done: Mapping[str, Built]) -> None:
    match step.name:
        case "ENV":
            for word in step.words:
                name, _, value = word.partition("=")
                built.env[name] = value.replace(f"${name}", built.env.get(name, ""))
        case "WORKDIR":
            built.folder = step.text
            (built.root / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            built.user = step.text
        case "COPY":
            _copy(built, step.words, done)
        case "RUN":
            ran = built.run(["/bin/sh", "-c", step.text], user="0:0")
            assert ran.returncode == 0, f"RUN {step.text}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}"
        case name:
            assert name in _HARMLESS, f"the replay doesn't know {name}"


def _copy(built: Built, words: list[str], done: Mapping[str, Built]) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")]
    where = built.root / str(Path(built.folder, target)).lstrip("/")
    from_stage = next((word.partition("=")[2] for word in options if word.startswith("--from=")), None)
    for source in sources:
        if from_stage is not None:
            shutil.copytree(done[from_stage].root / source.lstrip("/"), where, symlinks=True, dirs_exist_ok=True)
            continue
        assert not ignored(source), f".dockerignore keeps {source} out of the build"
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, where, ignore=_ignored_in, dirs_exist_ok=True)
        else:
            where.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, where)


def _ignored_in(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if ignored(str((Path(folder) / name).relative_to(ROOT)))}


def ignored(path: str) -> bool:
    """Return whether .dockerignore keeps a path of the repository out. The last line that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        back = pattern.startswith("!")
        if _fits(path, pattern.removeprefix("!")):
            out = not back
    return out


def _fits(path: str, pattern: str) -> bool:
    """Return whether a pattern fits a path or a folder that it is in."""
    parts = Path(path).parts
    above = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    if pattern.startswith("**/"):
        return any(fnmatch.fnmatch(part, pattern.removeprefix("**/")) for part in parts)
    return any(fnmatch.fnmatch(part, pattern) and part.count("/") == pattern.count("/") for part in above)
