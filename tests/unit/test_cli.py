import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from sockudo_py import __version__
from sockudo_py.cli.main import main
from sockudo_py.config import Config
from sockudo_py.errors import ConfigError, SockudoError
from tests.unit.test_logs import restored_logging

ROOT = Path(__file__).parents[2]
APP = {"id": "1", "key": "key-1", "secret": "tops3cret-of-the-app"}
ENDPOINT = {"name": "hook", "url": "https://example.com/token/tops3cret", "event_types": ["*"]}


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    with restored_logging():
        yield


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Write ``config.json`` into the current folder and return its name."""
    monkeypatch.chdir(tmp_path)

    def write(document: Any, **settings: Any) -> str:
        text = document if isinstance(document, str) else json.dumps({**document, **settings})
        Path("config.json").write_text(text)
        return "config.json"

    return write


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """Stand in for the server: remember the configurations it was to run with, and end with code 7."""
    seen: list[Config] = []

    def run(config: Config, *, banner: bool) -> int:
        assert banner in (True, False)
        seen.append(config)
        return 7

    wiring = types.ModuleType("sockudo_py.wiring")
    wiring.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sockudo_py.wiring", wiring)
    return seen


def with_app(**settings: Any) -> dict[str, Any]:
    return {"app_manager": {"array": {"apps": [{**APP, **settings}]}}}


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"], {})
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"sockudo-py {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["frobnicate"], ["start", "--confg", "x"]])
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments, {})
    assert ended.value.code == 2
    assert "usage: sockudo-py" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], {})
    out = capsys.readouterr().out
    assert all(command in out for command in ("start", "check-config", "print-config", "webhooks"))


def test_start_runs_the_server_with_the_file_and_returns_its_code(
    write: Callable[..., str], runs: list[Config]
) -> None:
    assert main(["start", "--config", write(with_app())], {"PORT": "7001"}) == 7
    assert [config.port for config in runs] == [7001]
    assert runs[0].app_manager.array.apps[0].id == "1"


def test_start_without_a_file_is_the_demo_with_a_warning(
    runs: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start"], {}) == 7
    assert (runs[0].host, runs[0].app_manager.array.apps[0].id) == ("127.0.0.1", "app-id")
    (line,) = capsys.readouterr().err.splitlines()
    logged = json.loads(line)
    assert logged["level"] == "warning"
    assert "demo app" in logged["message"]


def test_start_hides_the_secrets_of_the_configuration_in_the_log(
    write: Callable[..., str], runs: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    import logging

    main(["start", "--config", write(with_app())], {})
    logging.getLogger("sockudo_py.x").error("with %s", APP["secret"])
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["message"] == "with ***"


@pytest.mark.parametrize(
    ("document", "env", "debugs"),
    [({}, {}, False), ({"debug": True}, {}, True), ({"debug": True}, {"LOG_LEVEL": "info"}, False)],
)
def test_debug_sets_the_level_unless_it_is_chosen(
    write: Callable[..., str],
    runs: list[Config],
    document: dict[str, Any],
    env: Mapping[str, str],
    debugs: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import logging

    main(["start", "--config", write(with_app(), **document)], env)
    assert logging.getLogger("sockudo_py.x").isEnabledFor(logging.DEBUG) is debugs
    assert len(runs) == 1
    capsys.readouterr()


def test_start_with_mistakes_prints_them_and_ends_with_2(
    write: Callable[..., str], runs: list[Config], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", "--config", write({"port": "x", "hots": 1})], {}) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "config.json: port: must be a whole number, not 'x'",
        "config.json: hots: is not a known key; did you mean host?",
    ]
    assert runs == []


@pytest.mark.parametrize(
    ("error", "code"), [(ConfigError(["config.json: a: b"]), 2), (SockudoError("port 1 is in use"), 1)]
)
def test_an_error_of_the_server_is_a_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: SockudoError, code: int
) -> None:
    def run(config: Config, *, banner: bool) -> int:
        raise error

    wiring = types.ModuleType("sockudo_py.wiring")
    wiring.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sockudo_py.wiring", wiring)
    assert main(["start"], {"LOG_OUTPUT_FORMAT": "human"}) == code
    assert capsys.readouterr().err.splitlines()[1:] == [str(error)]
    assert main(["start"], {"LOG_OUTPUT_FORMAT": "json"}) == code
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (line["level"], line["message"]) == ("error", f"can't start: {error}")


def test_check_config_sums_up_what_a_good_file_amounts_to(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--config", write(with_app(webhooks=[ENDPOINT]), history={}, port=6002)], {}) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines() == [
        "warning: config.json: these keys of Sockudo have no effect here: history",
        "config.json: OK",
        "  listens   0.0.0.0:6002 (http and ws), 1 worker",
        "  metrics   0.0.0.0:9601",
        "  drivers   adapter local, cache memory, queue sqlite, rate limiter memory, apps memory",
        "  apps      1",
        "    1: 1 key",
        "      webhook hook: example.com, *, pusher, 5 retries",
    ]


def test_check_config_prints_every_mistake_and_ends_with_1(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "--config", write({"port": "x", "hots": 1})], {}) == 1
    assert capsys.readouterr().err.splitlines() == [
        "config.json: port: must be a whole number, not 'x'",
        "config.json: hots: is not a known key; did you mean host?",
        "2 mistakes",
    ]


def test_check_config_finds_endpoints_that_could_not_be_used(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = {**ENDPOINT, "headers": {"Host": "tops3cret"}}
    assert main(["check-config", "--config", write(with_app(webhooks=[endpoint]))], {}) == 1
    error = capsys.readouterr().err
    assert error.startswith("config.json: app 1: webhook hook: headers.Host")
    assert "tops3cret" not in error


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166.", "[64:ff9b::a9fe:a9fe]", "metadata.google.internal"])
def test_check_config_finds_endpoints_at_a_metadata_service(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str], host: str
) -> None:
    endpoint = {**ENDPOINT, "url": f"http://{host}/latest"}
    assert main(["check-config", "--config", write(with_app(webhooks=[endpoint]))], {}) == 1
    assert "app 1: webhook hook: url: link-local addresses and metadata services" in capsys.readouterr().err


def test_check_config_tells_what_is_wrong_with_a_ca_bundle_and_all_else_too(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = {**ENDPOINT, "headers": {"Host": "x"}}
    ssl = {"enabled": True, "cert_path": "cert.pem", "key_path": "key.pem"}
    name = write(with_app(webhooks=[endpoint]), webhooks={"security": {"ca_bundle": "nowhere.pem"}}, ssl=ssl)
    assert main(["check-config", "--config", name], {}) == 1
    error = capsys.readouterr().err
    assert "config.json: webhooks.security.ca_bundle: can't read 'nowhere.pem': No such file" in error
    assert "ssl.cert_path" in error
    assert "headers.Host" in error
    Path("nowhere.pem").write_text("no certificates")
    assert main(["check-config", "--config", name], {}) == 1
    assert "'nowhere.pem' holds no certificates" in capsys.readouterr().err


def test_check_config_takes_an_egress_proxy_and_does_not_show_its_password(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = write({}, webhooks={"security": {"egress_proxy": "http://u:tops3cret@proxy:3128"}})
    assert main(["check-config", "--config", name], {}) == 0
    name = write({}, webhooks={"security": {"egress_proxy": "socks5://u:tops3cret@proxy"}})
    assert main(["check-config", "--config", name], {}) == 1
    shown = "".join(capsys.readouterr())
    assert "webhooks.security.egress_proxy: must be http://[user:password@]host:port" in shown
    assert "tops3cret" not in shown


def test_check_config_reads_a_folder_of_apps(write: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    name = write({"app_manager": {"driver": "file", "file": {"path": "apps"}}})
    Path("apps").mkdir()
    Path("apps/good.json").write_text(json.dumps({**APP, "history": {}}))
    assert main(["check-config", "--config", name], {}) == 0
    out = capsys.readouterr().out
    assert "warning: apps/good.json: these keys of Sockudo have no effect here: history" in out
    assert "    1: 1 key" in out
    Path("apps/bad.json").write_text("{}")
    assert main(["check-config", "--config", name], {}) == 1
    assert "apps/bad.json: secret: is missing; add it" in capsys.readouterr().err


def test_check_config_opens_the_certificate(write: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    ssl = {"enabled": True, "cert_path": "cert.pem", "key_path": "key.pem"}
    name = write(with_app(), ssl=ssl)
    assert main(["check-config", "--config", name], {}) == 1
    assert "config.json: ssl.cert_path: can't read 'cert.pem': No such file" in capsys.readouterr().err
    Path("cert.pem").write_text("x")
    Path("key.pem").write_text("x")
    assert main(["check-config", "--config", name], {}) == 1
    assert "config.json: ssl: 'cert.pem' and 'key.pem' can't be used together" in capsys.readouterr().err
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path("cert.pem")
    certificate.private_key_pem.write_to_path("key.pem")
    assert main(["check-config", "--config", name], {}) == 0
    assert "(https and wss)" in capsys.readouterr().out


def test_print_config_prints_what_is_in_effect_without_secrets(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = write(with_app(), database={"redis": {"password": "tops3cret"}})
    assert main(["print-config", "--config", name], {"PORT": "1", "REDIS_URL": "redis://u:tops3cret@h"}) == 0
    out = capsys.readouterr().out
    assert "tops3cret" not in out
    printed = json.loads(out)
    assert printed["port"] == 1
    assert printed["app_manager"]["array"]["apps"][0]["secret"] == "***"
    assert printed["database"]["redis"]["url"] == "redis://***@h"
    assert printed["webhooks"]["batching"]["duration"] == 50


def test_print_config_can_print_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-config", "--defaults"], {}) == 0
    assert capsys.readouterr().out == (ROOT / "config.example.json").read_text()


def test_the_reference_of_all_keys_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-config", "--reference"], {}) == 0
    assert capsys.readouterr().out == (ROOT / "docs/configuration.md").read_text(), (
        "make it again: sockudo-py print-config --reference > docs/configuration.md"
    )


def test_the_page_of_other_servers_settings_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-config", "--migrating"], {}) == 0
    assert capsys.readouterr().out == (ROOT / "docs/moving/settings.md").read_text(), (
        "make it again: sockudo-py print-config --migrating > docs/moving/settings.md"
    )


def test_the_package_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sockudo_py", "check-config", "--config", "no-such.json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0] == "no-such.json: there is no such file; name one with --config"


def test_check_config_tries_hosts_and_paths_without_opening_anything(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("x")
    name = write(
        with_app(webhooks=[ENDPOINT]),
        host="no-such-host.invalid",
        metrics={"host": "no such host"},
        queue={"sqlite": {"path": "file/queue.sqlite3"}},
        webhooks={"spool": {"path": "."}},
        unix_socket={"enabled": True, "path": "nowhere/server.sock"},
    )
    assert main(["check-config", "--config", name], {}) == 1
    *lines, count = capsys.readouterr().err.splitlines()
    assert count == "5 mistakes"
    folder = Path.cwd()
    assert lines[0].startswith("config.json: host: no-such-host.invalid can't be resolved: ")
    assert lines[1].startswith("config.json: metrics.host: no such host can't be resolved: ")
    assert lines[2] == (
        f"config.json: unix_socket.path: nowhere/server.sock: there is no folder {folder}/nowhere; "
        "make its folder, or name another"
    )
    remedy = "name a file in a folder that the server may write to"
    assert lines[3] == f"config.json: queue.sqlite.path: file/queue.sqlite3: {folder}/file is no folder; {remedy}"
    assert lines[4] == f"config.json: webhooks.spool.path: .: is a folder; {remedy}"
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "file"]


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://100.100.100.200/"])
def test_check_config_refuses_a_webhook_to_a_metadata_service(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str], url: str
) -> None:
    name = write(with_app(webhooks=[{**ENDPOINT, "url": url}]))
    assert main(["check-config", "--config", name], {}) == 1
    assert "app 1: webhook hook: url: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("app", "endpoint", "said"),
    [
        ({"key": "ключ"}, {}, "the app's key has characters that no header can carry"),
        ({}, {"filter": {"channel_prefix": "chat:"}}, "filter.channel_prefix: can never match"),
        ({}, {"filter": {"channel_pattern": "^a:b$"}}, "filter.channel_pattern: can never match"),
        ({}, {"event_types": ["member_added"], "filter": {"channel_prefix": "private-"}}, "filter: can never match"),
        ({}, {"event_types": ["client_event"], "filter": {"channel_type": "public"}}, "filter: can never match"),
        ({}, {"event_types": ["cache_miss"], "filter": {"channel_prefix": "news"}}, "filter: can never match"),
    ],
)
def test_check_config_refuses_endpoints_that_would_get_nothing(
    write: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    app: dict[str, Any],
    endpoint: dict[str, Any],
    said: str,
) -> None:
    name = write(with_app(webhooks=[{**ENDPOINT, **endpoint}], **app))
    assert main(["check-config", "--config", name], {}) == 1
    assert said in capsys.readouterr().err


def test_check_config_takes_a_latin_key_and_one_without_endpoints(write: Callable[..., str]) -> None:
    assert main(["check-config", "--config", write(with_app(key="clé", webhooks=[ENDPOINT]))], {}) == 0
    assert main(["check-config", "--config", write(with_app(key="ключ"))], {}) == 0


@pytest.mark.parametrize(
    "document",
    [
        {"workers": 4},
        {"adapter": {"driver": "nats"}},
        {
            "cache": {"driver": "redis", "redis": {"cluster_mode": True}},
            "database": {"redis": {"url": "unix:///r.sock"}},
        },
        {
            "rate_limiter": {"driver": "redis", "redis": {"cluster_mode": True}},
            "database": {"redis": {"sentinels": ["h"]}},
        },
        {"queue": {"driver": "sqs", "sqs": {"fifo": True}}},
    ],
)
def test_no_remedy_leads_to_another_refusal(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str], document: dict[str, Any]
) -> None:
    assert main(["check-config", "--config", write(with_app(), **document)], {}) == 1
    line, count = capsys.readouterr().err.splitlines()
    assert count == "1 mistake"
    place, _, rest = line.removeprefix("config.json: ").partition(": ")
    written = rest.partition(", not ")[0].rpartition(" ")[2].strip("'")
    target: Any = document
    *parents, last = place.split(".")
    for part in parents:
        target = target[part]
    target[last] = {"false": False}.get(written, written)
    assert main(["check-config", "--config", write(with_app(), **document)], {}) == 0


def test_the_default_queue_that_nobody_needs_does_not_matter(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = write(with_app())
    Path("data").write_text("no folder")
    assert main(["check-config", "--config", name], {}) == 0
    out = capsys.readouterr().out
    assert "no webhook endpoint is configured, so the queue is kept in memory" in out
    assert main(["check-config", "--config", write(with_app(webhooks=[ENDPOINT]))], {}) == 1
    assert "queue.sqlite.path: " in capsys.readouterr().err
    assert main(["check-config", "--config", write(with_app(), queue={"driver": "sqlite"})], {}) == 1


def test_a_mistake_in_the_webhooks_of_a_variable_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    env = {"SOKETI_DEFAULT_APP_ID": "1", "SOKETI_DEFAULT_APP_KEY": "k", "SOKETI_DEFAULT_APP_SECRET": "s"}
    webhooks = json.dumps([{**ENDPOINT, "headers": {"Host": "x"}}])
    assert main(["check-config"], {**env, "SOKETI_DEFAULT_APP_WEBHOOKS": webhooks}) == 1
    assert "environment variable SOKETI_DEFAULT_APP_WEBHOOKS: app 1: webhook hook: " in capsys.readouterr().err


def test_a_folder_of_a_variable_that_is_not_there_names_the_variable(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    env = {"APP_MANAGER_DRIVER": "file", "APP_MANAGER_FILE_PATH": "nowhere"}
    assert main(["check-config", "--config", write({})], env) == 1
    assert "nowhere (of the environment variable APP_MANAGER_FILE_PATH" in capsys.readouterr().err


def test_check_config_tells_a_file_that_is_no_database(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("queue.sqlite3").write_text("no database at all")
    name = write(with_app(), queue={"sqlite": {"path": "queue.sqlite3"}})
    assert main(["check-config", "--config", name], {}) == 1
    assert "config.json: queue.sqlite.path: queue.sqlite3: is no file of SQLite; " in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check-config", "start"])
def test_without_the_packages_of_aws_the_message_says_what_to_install(
    write: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    from sockudo_py.wiring.drivers import missing

    monkeypatch.setattr(missing, "find_spec", lambda name: None)
    function = {"name": "f", "lambda": {"function_name": "f"}, "event_types": ["*"]}
    document = with_app(webhooks=[function])
    name = write(document, queue={"driver": "sqs"}, port=0, metrics={"enabled": False})
    assert main([command, "--config", name], {"LOG_OUTPUT_FORMAT": "human"}) == (1 if command == "check-config" else 2)
    error = capsys.readouterr().err
    install = f"install it: {sys.executable} -m pip install 'sockudo-py[aws]'"
    assert f"config.json: queue.driver: sqs: boto3 is not installed; {install}" in error
    assert f"app 1: webhook f: lambda: boto3 is not installed; {install}" in error
    assert main(["check-config", "--config", write(with_app())], {}) == 0
