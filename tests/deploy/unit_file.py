"""Reads a systemd unit."""

from pathlib import Path


class Unit:
    """The settings of a unit by section, each with all its values."""

    def __init__(self, path: Path) -> None:
        self.text = path.read_text()
        self._sections: dict[str, dict[str, list[str]]] = {}
        section = ""
        for line in self.text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                name, _, value = line.partition("=")
                self._sections.setdefault(section, {}).setdefault(name, []).append(value)

    def only(self, section: str, name: str) -> str:
        """Return the value of a setting that is given once."""
        (value,) = self._sections[section][name]
        return value
