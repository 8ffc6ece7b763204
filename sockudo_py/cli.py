"""The command line."""


def main() -> int:
    """Run the command line and return the exit code."""
    raise NotImplementedError
