"""The root of the errors that operators read. Errors for clients live in ``protocol/errors.py``."""


class SockudoError(Exception):
    """Something an operator has to know. The message names the thing and the remedy, and holds no secret."""


class ConfigError(SockudoError):
    """The configuration can't be used. One line per mistake: ``file: key: what is wrong and what to do``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Unavailable(SockudoError):
    """A driver's service (Redis, SQS, the disk) can't be reached or refuses work right now; trying later may help."""
