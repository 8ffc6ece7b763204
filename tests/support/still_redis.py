"""The Redis queue's scripts with a clock that tests move: Redis' own one goes on between two calls, whatever they do.

``queue._scripts = StillScripts()``, and ``queue.clock_shift`` is the time since ``NOW``.
"""

import hashlib

from sockudo_py.links.redis.link import Script

NOW = 1_800_000_000.0  # Unix seconds
_TIME = "redis.call('TIME')"
_STILL = """(function()
  local calls = %s
  return { %d + math.floor(calls / 1000000), calls %% 1000000 }
end)()"""  # a call that writes takes a microsecond
_CALLS = "'test-calls'"
_COUNT, _LOOK = f"redis.call('INCR', KEYS[1] .. {_CALLS})", f"tonumber(redis.call('GET', KEYS[1] .. {_CALLS}) or 0)"


class StillScripts(dict[str, Script]):
    """The queue's scripts with a clock that no busy machine moves on between two calls."""

    def __missing__(self, name: str) -> Script:
        script = Script(f"queue_{name}")
        assert script.text.count(_TIME) == 1
        calls = _LOOK if "no-writes" in script.text else _COUNT
        script.text = script.text.replace(_TIME, _STILL % (calls, NOW))
        script.digest = hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
        self[name] = script
        return script

    def get(self, name: str, default: object = None) -> Script:
        return self[name]
