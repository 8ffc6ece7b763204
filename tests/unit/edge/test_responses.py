"""Responses: the usual one is made once a second, and is what would be rendered."""

import pytest

from sockudo_py.edge.http1.responses import Responses
from sockudo_py.http.cors import Cors
from sockudo_py.http.messages import OK, error


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("cors", [None, Cors(), Cors(("https://a.example",))], ids=["none", "any", "one"])
@pytest.mark.parametrize("later", [0.0, 0.74, 0.75, 1.0, 3600.0, -0.5, -86400.0])
def test_the_usual_response_is_always_what_would_be_rendered(cors: Cors | None, later: float) -> None:
    clock = Clock()
    responses = Responses(cors, clock)
    responses.usual()
    clock.now += later
    usual = responses.usual()
    assert usual == Responses(cors, clock).render(OK, None, keep_alive=True)


def test_another_response_in_a_new_second_makes_the_usual_one_anew() -> None:
    clock = Clock()
    responses = Responses(None, clock)
    responses.usual()
    clock.now += 1
    responses.render(error(400, "no"), None, keep_alive=True)
    assert b"Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n" in responses.usual()
