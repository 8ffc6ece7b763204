"""Fuzz one target with atheris until its time is over: ``python -m tests.fuzz.led TARGET [options of libFuzzer]``."""

import sys

import atheris


def main() -> None:
    """Hand the process over to atheris, which ends it."""
    with atheris.instrument_imports(include=["sockudo_py"]):
        from tests.fuzz.targets import TARGETS

    target = TARGETS[sys.argv[1]]

    def run(data: bytes) -> None:
        target(data)

    atheris.Setup([sys.argv[0], *sys.argv[2:]], run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
