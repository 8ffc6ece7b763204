from sockudo_py.memo import TwoGenerationCache


def test_a_value_is_found_until_two_generations_have_come_after_it() -> None:
    cache: TwoGenerationCache[str, int] = TwoGenerationCache(2)
    cache.keep("a", 1)
    for number, key in enumerate("bcd"):
        cache.keep(key, number)
    assert cache.find("a") == 1
    for number, key in enumerate("efgh"):
        cache.keep(key, number)
    assert cache.find("a") is None


def test_what_is_asked_for_again_outlives_any_number_of_others_that_come_once() -> None:
    cache: TwoGenerationCache[int, str] = TwoGenerationCache(3)
    cache.keep(-1, "again")
    for number in range(100):
        cache.keep(number, "once")
        assert cache.find(-1) == "again"
    assert cache.find(0) is None


def test_it_never_holds_more_than_two_generations() -> None:
    cache: TwoGenerationCache[int, int] = TwoGenerationCache(5)
    for number in range(1000):
        assert cache.keep(number, number) == number
        assert cache.total() <= 10
