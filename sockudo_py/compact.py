"""Copies bytes that are kept for long, so that they take only the memory of their length."""


def compact(data: bytes) -> bytes:
    """Return a copy of ``data`` that is no larger than it looks.

    orjson makes an object as large as its text might get, never less than 4 KiB and up to eight times a long string,
    and returns it without giving the rest back; ``sys.getsizeof`` does not show it. So what orjson returned must be
    copied where it is kept beyond a turn of the loop. What was made of it by ``+``, ``%`` or ``join`` is exact already.
    """
    return b"%b" % data  # bytes(data), data[:] and join of one return the very same object
