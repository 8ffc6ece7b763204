"""The Helm chart and the manifests that are rendered from it."""

import json
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from sockudo_py import __version__
from sockudo_py.apps.definition import define_apps
from sockudo_py.config import Config, load
from sockudo_py.webhooks.endpoints.validation import endpoint_problems
from tests.deploy.chart import CHART, FILES, RENDERED, NoHelm, digest, helm, render
from tests.deploy.dockerfile import stages
from tests.deploy.image import ROOT
from tests.support.debian import give_up
from tests.support.server import Server, app_config, running, server_config
from tests.support.server import TestApp as App

VERSIONS = ("1.29", "1.33", "1.37")
SECRET = {"SOCKUDO_APP_SECRET": "a-secret-of-nobody-else"}
Manifest = dict[str, Any]


def manifests(name: str) -> list[Manifest]:
    return [one for one in yaml.safe_load_all((RENDERED / name).read_text()) if one]


def only(name: str, kind: str) -> Manifest:
    (found,) = [one for one in manifests(name) if one["kind"] == kind]
    return found


def pod(name: str) -> Manifest:
    found: Manifest = only(name, "StatefulSet")["spec"]["template"]["spec"]
    return found


def container(name: str) -> Manifest:
    (found,) = pod(name)["containers"]
    return dict(found)


def config_of(name: str, folder: Path) -> Config:
    path = folder / "config.json"
    path.write_text(only(name, "ConfigMap")["data"]["config.json"])
    return load(path, SECRET)


@pytest.mark.parametrize("name", FILES)
def test_the_manifests_are_rendered_from_the_chart_as_it_is(name: str) -> None:
    assert digest() in (RENDERED / name).read_text().splitlines()[0], "make chart"


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_helm_renders_what_is_checked_in(name: str) -> None:
    try:
        program = helm()
    except NoHelm as problem:
        give_up(str(problem))
    assert render(program, FILES[name]) == (RENDERED / name).read_text(), "make chart"
    linted = subprocess.run([program, "lint", "--strict", CHART], capture_output=True, text=True, check=False)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_valid(name: str, version: str) -> None:
    for manifest in manifests(name):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_mistake_in_a_manifest_would_be_found() -> None:
    broken = only("one-node.yaml", "StatefulSet")
    broken["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = "soon"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", FILES)
def test_the_configuration_is_usable(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    define_apps(config, endpoint_problems)
    assert not config.warnings
    path = container(name)["args"][-1]
    mounts = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    assert mounts[str(Path(path).parent)]["name"] == "config"
    assert Path(path).name in only(name, "ConfigMap")["data"]


@pytest.mark.parametrize("name", FILES)
def test_a_stop_has_more_time_than_it_takes(name: str, tmp_path: Path) -> None:
    config = config_of(name, tmp_path)
    takes = config.drain_delay + config.shutdown_grace_period + 1 + config.queue.reliability.shutdown_timeout_ms / 1000
    assert pod(name)["terminationGracePeriodSeconds"] > takes + 1
    probe = container(name)["readinessProbe"]
    assert config.drain_delay > probe["periodSeconds"] * (probe["failureThreshold"] + 1), "clients come while it drains"


def test_the_chart_is_for_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


@pytest.mark.parametrize("name", FILES)
def test_service_links_don_t_become_settings(name: str) -> None:
    assert pod(name)["enableServiceLinks"] is False


@pytest.mark.parametrize("name", FILES)
def test_the_pod_is_what_the_image_is_made_for(name: str) -> None:
    image = stages(ROOT / "Dockerfile")[-1]
    security = pod(name)["securityContext"]
    assert str(security["runAsUser"]) == image.last("USER").text
    assert security["runAsNonRoot"]
    assert {str(port["containerPort"]) for port in container(name)["ports"]} == set(image.last("EXPOSE").words)
    mounts = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert set(image.last("VOLUME").words) <= mounts  # the file system is read-only elsewhere


@pytest.mark.parametrize("name", FILES)
def test_services_reach_ports_of_the_pod(name: str) -> None:
    ports = {port["name"] for port in container(name)["ports"]}
    labels = only(name, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    services = [one for one in manifests(name) if one["kind"] == "Service"]
    assert only(name, "StatefulSet")["spec"]["serviceName"] in {one["metadata"]["name"] for one in services}
    for service in services:
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
        assert service["spec"]["selector"].items() <= labels.items()


def test_the_ingress_passes_clients_and_the_api_on_and_nothing_else() -> None:
    rules = only("cluster.yaml", "Ingress")["spec"]["rules"]
    assert {path["path"] for path in rules[0]["http"]["paths"]} == {"/app/", "/pusher/app/", "/apps/"}
    assert "Ingress" not in {one["kind"] for one in manifests("one-node.yaml")}


def test_probes_ask_what_the_server_answers(tmp_path: Path) -> None:
    probes = [container(name)[f"{kind}Probe"] for name in FILES for kind in ("startup", "readiness", "liveness")]
    with running(server_config(app_config(App())), tmp_path) as server:
        assert [status(server, probe) for probe in probes] == [200] * len(probes)


def status(server: Server, probe: Manifest) -> int:
    assert probe["httpGet"]["port"] == "http"
    return server.get(probe["httpGet"]["path"])[0]


def test_the_secret_has_what_the_configuration_wants() -> None:
    for name in FILES:
        config = json.loads(only(name, "ConfigMap")["data"]["config.json"])
        secrets = {app["secret"] for app in config["app_manager"]["array"]["apps"]}
        assert secrets == {f"${{{variable}}}" for variable in SECRET}
    mentioned = chain.from_iterable(container(name)["envFrom"] for name in FILES)
    assert {source["secretRef"]["name"] for source in mentioned} == {"sockudo"}
