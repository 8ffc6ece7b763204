"""The configurations of proxies that no test can run: they are sound, and let pass what the others let pass."""

import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.image import ROOT

FOLDER = ROOT / "deploy" / "proxies"
PASS = [
    "/app/KEY",
    "/pusher/app/KEY/123/abcdefgh/xhr",
    "/apps/1/events",
    "/apps/1/users/a%2Fb/terminate_connections",
    "/up",
]
STOP = ["/usage", "/metrics", "/", "/app", "/apps", "/up/1/x", "/live", "/api/webhooks", "/upx"]
HOST = "ws.example.com"


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def traefik(path: str) -> bool:
    """Evaluate the rule, which only knows hosts, paths and prefixes."""
    (router,) = read("traefik.yaml")["http"]["routers"].values()
    rule = re.sub(r"Host\(`(.*?)`\)", lambda found: str(found[1] == HOST), router["rule"])
    rule = re.sub(r"PathPrefix\(`(.*?)`\)", lambda found: str(path.startswith(found[1])), rule)
    rule = re.sub(r"Path\(`(.*?)`\)", lambda found: str(path == found[1]), rule)
    assert re.fullmatch(r"(?:True|False|&&|\|\||[() ])+", rule), rule
    while "(" in rule:
        rule = re.sub(r"\(([^()]*)\)", lambda found: str(either(found[1])), rule)
    return either(rule)


def either(rule: str) -> bool:
    return any(all(word.strip() == "True" for word in part.split("&&")) for part in rule.split("||"))


def cloudflared(path: str) -> bool:
    """Return where the first rule that fits leads."""
    for rule in read("cloudflared.yaml")["ingress"]:
        if rule.get("hostname", HOST) == HOST and re.search(rule.get("path", ""), path):
            return str(rule["service"]).startswith("http://")
    raise AssertionError("cloudflared wants a last rule that fits everything")


def alb(path: str) -> bool:
    # The tags of CloudFormation (!Ref) don't matter here.
    text = (FOLDER / "aws-alb.yaml").read_text()
    resources = yaml.safe_load(re.sub(r"!(?:Ref|GetAtt)", "", text))["Resources"]
    (condition,) = resources["Rule"]["Properties"]["Conditions"]
    return any(fnmatchcase(path, pattern) for pattern in condition["PathPatternConfig"]["Values"])


@pytest.mark.parametrize("passes", [traefik, cloudflared, alb])
def test_clients_and_the_api_pass_and_nothing_else(passes: Any) -> None:
    assert [path for path in PASS if not passes(path)] == []
    assert [path for path in STOP if passes(path)] == []


def test_traefik_s_router_leads_to_its_service() -> None:
    http = read("traefik.yaml")["http"]
    (router,) = http["routers"].values()
    service = http["services"][router["service"]]["loadBalancer"]
    assert [one["url"] for one in service["servers"]] == ["http://127.0.0.1:6001"]
    assert service["healthCheck"]["path"] == "/up"


def test_the_template_for_aws_is_sound() -> None:
    lint = [str(Path(sys.executable).with_name("cfn-lint")), str(FOLDER / "aws-alb.yaml")]
    done = subprocess.run(lint, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
    wrong = (FOLDER / "aws-alb.yaml").read_text().replace("Type: application", "Type: aplication")
    done = subprocess.run([*lint[:-1], "-"], input=wrong, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
