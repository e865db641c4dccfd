"""What is said while the database is away."""

from stepsize.store.outages import Outage


def test_an_hour_of_attempts_is_told_in_few_lines_and_its_end_once() -> None:
    now, away, back = [0.0], list[float](), list[float]()
    outage = Outage(say_away=lambda _, away_s: away.append(away_s), say_back=back.append, clock=lambda: now[0])

    for _ in range(7200):
        outage.note("refused")
        now[0] += 0.5
    outage.end()
    outage.end()

    assert away[:4] == [0.0, 1.0, 3.0, 7.0]
    assert len(away) < 70  # one a minute
    assert back == [3600.0]


def test_the_next_spell_is_told_at_once() -> None:
    away = list[str]()
    outage = Outage(say_away=lambda reason, _: away.append(reason), say_back=lambda _: None, clock=lambda: 0.0)

    outage.note("first\n  line two")
    outage.end()
    outage.note("second")

    assert away == ["first line two", "second"]
