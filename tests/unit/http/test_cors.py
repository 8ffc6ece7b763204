import pytest

from sockudo_py.http.cors import Cors

SITE = "https://site.example"


def test_any_origin_is_allowed_by_a_star_but_never_with_credentials() -> None:
    assert Cors(credentials=True).headers(SITE) == (("Access-Control-Allow-Origin", "*"),)


def test_a_listed_origin_is_named_and_caches_are_told_that_it_matters() -> None:
    cors = Cors(origins=(SITE,), credentials=True)
    assert cors.headers(SITE) == (
        ("Access-Control-Allow-Origin", SITE),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )


def test_another_origin_gets_no_permission() -> None:
    cors = Cors(origins=(SITE,))
    assert cors.headers("https://evil.example") == (("Vary", "Origin"),)
    assert cors.preflight("https://evil.example") == (("Vary", "Origin"),)
    assert cors.headers("https://site.example.evil.example") == (("Vary", "Origin"),)


def test_a_request_without_origin_gets_no_permission() -> None:
    assert Cors(origins=(SITE,)).headers(None) == (("Vary", "Origin"),)
    assert Cors().headers(None) == ()


def test_a_preflight_tells_methods_and_headers() -> None:
    headers = dict(Cors(methods=("POST",), allowed_headers=("Content-Type", "X-A")).preflight(SITE))
    assert headers["Access-Control-Allow-Methods"] == "POST"
    assert headers["Access-Control-Allow-Headers"] == "Content-Type, X-A"
    assert int(headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("entry", ["example.com", "*.com", "https://*.com"])
def test_hosts_and_wildcards_are_allowed_like_origins_of_an_app(entry: str) -> None:
    rules = Cors((entry,), credentials=True)
    assert rules.headers("https://example.com") == (
        ("Access-Control-Allow-Origin", "https://example.com"),
        ("Access-Control-Allow-Credentials", "true"),
        ("Vary", "Origin"),
    )
    assert rules.headers("https://example.org") == (("Vary", "Origin"),)
