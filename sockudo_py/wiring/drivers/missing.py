"""What a configuration asks for and this installation or version does not have."""

import sys
from importlib.util import find_spec

from sockudo_py.config import Config
from sockudo_py.errors import ConfigError
from sockudo_py.wiring.drivers.redis_address import address_problems


def install(extra: str) -> str:
    """Return the command that installs an extra of the package."""
    return f"{sys.executable} -m pip install 'sockudo-py[{extra}]' (in a clone: '.[{extra}]')"


INSTALL_AWS = install("aws")


def has_aws() -> bool:
    """Return whether the packages of the extra ``aws`` are there. It imports none of them."""
    return find_spec("boto3") is not None


def missing_driver(config: Config) -> str | None:
    """Return a line about the package that ``app_manager.driver`` needs and that is not installed; else None."""
    driver = config.app_manager.driver
    package, extra = _PACKAGES.get(driver, ("", ""))
    if not package or find_spec(package) is not None:
        return None
    text = f"{driver}: {package} is not installed"
    return config.problem("app_manager.driver", text, f"install it: {install(extra)}")


# By driver of app_manager: what it imports, and the extra that has it.
_PACKAGES = {"postgres": ("asyncpg", "postgres"), "mysql": ("asyncmy", "mysql"), "dynamodb": ("boto3", "aws")}


def refuse_unbuilt(config: Config) -> None:
    """Raise ConfigError naming every option whose feature this version doesn't have: nothing is ignored silently."""
    problems = address_problems(config)
    if config.queue.driver == "sqs" and not has_aws():
        problems.append(config.problem("queue.driver", "sqs: boto3 is not installed", f"install it: {INSTALL_AWS}"))
    if line := missing_driver(config):
        problems.append(line)
    if config.queue.driver == "sqs" and config.queue.sqs.fifo:
        problems.append(config.problem("queue.sqs.fifo", "true: this version can't do that yet", "write false"))
    if problems:
        raise ConfigError(problems)
