"""Reads the Dockerfile: stages and their instructions, in the forms that ours uses."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, with its continuation lines joined."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """The list of the JSON form, or the words of the other."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return shlex.split(self.text)


@dataclass(slots=True)
class Stage:
    """What is between one FROM and the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, name: str) -> list[Instruction]:
        """Return the instructions of this name."""
        return [one for one in self.instructions if one.name == name]

    def last(self, name: str) -> Instruction:
        """Return the one that counts where only the last does."""
        return self.all(name)[-1]

    @property
    def health_command(self) -> list[str]:
        """The command of HEALTHCHECK."""
        _, _, command = self.last("HEALTHCHECK").text.partition("CMD ")
        found: list[str] = json.loads(command)
        return found


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.partition(" ")
        yield Instruction(name, rest.strip())


def stages(path: Path) -> list[Stage]:
    """Return the stages of a Dockerfile."""
    found: list[Stage] = []
    for one in instructions(path.read_text()):
        if one.name == "FROM":
            base, _, name = one.text.partition(" AS ")
            found.append(Stage(base, name))
        elif found:
            found[-1].instructions.append(one)
    return found
