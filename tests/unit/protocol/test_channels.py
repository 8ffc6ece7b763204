import pytest

from sockudo_py.protocol.channels import CLASSES, PUBLIC, classify, user_of, valid_channel_name
from sockudo_py.protocol.channels.table import is_private


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("my-channel", "public"),
        ("cache-x", "cache"),
        ("private-x", "private"),
        ("private-cache-x", "private-cache"),
        ("private-encrypted-x", "private-encrypted"),
        ("private-encrypted-cache-x", "private-encrypted-cache"),
        ("presence-x", "presence"),
        ("presence-cache-x", "presence-cache"),
        ("#server-to-user-1", "server-to-user"),
        # only the beginning counts
        ("my-cache-x", "public"),
        ("my-private-x", "public"),
        ("x-presence-y", "public"),
        ("private-my-cache-x", "private"),
        ("presence-encrypted-x", "presence"),
        ("cache-private-x", "cache"),
        ("private-presence-x", "private"),
        ("privatex", "public"),
        ("private", "public"),
        ("Private-x", "public"),
        ("private-", "private"),
        ("private-encrypted", "private"),
        ("private-cache", "private"),
        ("", "public"),
        ("server-to-user-1", "public"),
    ],
)
def test_D68_D69_F104_the_beginning_of_the_name_tells_the_class(name: str, kind: str) -> None:
    assert classify(name).kind == kind


def test_what_the_classes_are() -> None:
    flags = {
        row.kind: "".join(
            letter if flag else "-"
            for letter, flag in zip(
                "specu", (row.private, row.presence, row.encrypted, row.cached, row.server_to_user), strict=True
            )
        )
        for row in (*CLASSES, PUBLIC)
    }
    assert flags == {  # signed, presence, encrypted, cached, of one user
        "public": "-----",
        "private": "s----",
        "private-encrypted": "s-e--",
        "presence": "sp---",
        "cache": "---c-",
        "private-cache": "s--c-",
        "private-encrypted-cache": "s-ec-",
        "presence-cache": "sp-c-",
        "server-to-user": "----u",
    }


def test_a_longer_prefix_is_asked_before_a_shorter_one_that_it_begins_with() -> None:
    prefixes = [row.prefix for row in CLASSES]
    assert len(set(prefixes)) == len(prefixes)
    for index, prefix in enumerate(prefixes):
        assert not any(prefix.startswith(earlier) for earlier in prefixes[:index])


@pytest.mark.parametrize("name", ["A-z_=@,.;9", "a", "a" * 200])
def test_C47_C48_a_valid_name(name: str) -> None:
    assert valid_channel_name(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "a:b", "#x", "a*", "é", "a\n", "\n", "a\0", "a" * 201, "\u0661", "a\ud800"]
)
def test_C47_C48_an_invalid_name(name: str) -> None:
    assert not valid_channel_name(name)


def test_the_length_of_names_can_be_set() -> None:
    assert valid_channel_name("a" * 164, 164)
    assert not valid_channel_name("a" * 165, 164)


def test_the_user_of_an_internal_channel() -> None:
    assert user_of("#server-to-user-a b") == "a b"
    assert user_of("#server-to-user-") == ""
    assert user_of("server-to-user-1") is None


@pytest.mark.parametrize("prefix", [row.prefix for row in CLASSES] + ["", "my-", "privat", "cach"])
@pytest.mark.parametrize("rest", ["", "x", "cache-x", "private-x", "encrypted-cache-x", "-x"])
def test_the_short_question_has_the_answer_of_the_table(prefix: str, rest: str) -> None:
    name = prefix + rest
    assert is_private(name) == classify(name).private
