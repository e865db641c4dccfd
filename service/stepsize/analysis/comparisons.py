"""The choices of a categorical parameter as a report shows them."""

from stepsize.analysis.choices import MIN_PER_CHOICE, Contest
from stepsize.analysis.findings import Findings
from stepsize.analysis.intervals import known, of_draws, power_of_ten, scaled, unknown
from stepsize.analysis.landscape import Landscape, Spot
from stepsize.analysis.sample import Sample
from stepsize.analysis.tables import best_value, mean_value, rate_of, value_of
from stepsize.domain.estimate import Estimate
from stepsize.domain.report import ChoiceRow, Comparison
from stepsize.spec.roles import choices_of
from stepsize.spec.space import CategoricalParameter, Scalar, SearchSpace

_MOST_CHOICES = 30


def comparisons(findings: Findings, space: SearchSpace) -> list[Comparison]:
    """Return one comparison for each parameter that is a choice."""
    contests = {contest.parameter: contest for contest in findings.contests}
    return [_compare(findings, name, parameter, contests.get(name)) for name, parameter in choices_of(space).items()]


def _compare(findings: Findings, name: str, parameter: CategoricalParameter, contest: Contest | None) -> Comparison:
    choices = parameter.choices[:_MOST_CHOICES]
    rows = [_row(findings, name, choice, choices[0], contest) for choice in choices]
    caveats = []
    if len(parameter.choices) > len(choices):
        caveats.append(f"only the first {len(choices)} of {len(parameter.choices)} choices are compared")
    if contest is not None and len(contest.choices) > 2:
        caveats.append(f"the intervals of the improvements hold for all {len(contest.choices)} choices together")
    return Comparison(
        parameter=name,
        baseline=choices[0],
        choices=rows,
        sentence=_sentence(name, rows, contest),
        caveat="; ".join(caveats) or None,
    )


def _row(findings: Findings, name: str, choice: Scalar, baseline: Scalar, contest: Contest | None) -> ChoiceRow:
    sample = findings.sample
    mine = sample.has(name, choice)
    at = None if contest is None else contest.position(choice)
    if contest is not None and at is not None:
        rate, best = _told(findings, contest, at)
    else:
        rate, best = _single(sample, name, choice)
    return ChoiceRow(
        choice=choice,
        n_trials=int(mine.sum()),
        n_completed=int((mine & sample.completed).sum()),
        best=best,
        best_trial=best_value(sample, mine),
        mean=mean_value(sample, mine),
        learning_rate=rate,
        improvement=_improvement(choice, baseline, contest),
    )


def _told(findings: Findings, contest: Contest, at: int) -> tuple[Estimate, Estimate]:
    """Return a choice's best rate and value; those of the choice that the answer is about are the answer's."""
    landscape, spot, sign = findings.landscape, findings.best, findings.sample.sign
    if isinstance(landscape, Landscape) and isinstance(spot, Spot):
        chosen = landscape.choices.get(contest.parameter)
        if chosen is not None and contest.position(chosen) == at:
            return rate_of(spot), value_of(spot, sign)
    return power_of_ten(of_draws(contest.rates[at])), scaled(of_draws(contest.costs[at]), sign)


def _single(sample: Sample, name: str, choice: Scalar) -> tuple[Estimate, Estimate]:
    """Return what is known of a choice with too few trials for a fit: its best trial."""
    caveat = f"fewer than {MIN_PER_CHOICE} trials with a value: no fit, only the best trial"
    best = best_value(sample, sample.has(name, choice))
    value = unknown(caveat) if best is None else Estimate(value=best, low=None, high=None, caveat=caveat, is_guess=True)
    return unknown(caveat), value


def _improvement(choice: Scalar, baseline: Scalar, contest: Contest | None) -> Estimate:
    if type(choice) is type(baseline) and choice == baseline:
        return known(0.0)
    places = (None, None) if contest is None else (contest.position(choice), contest.position(baseline))
    if contest is None or places[0] is None or places[1] is None:
        return unknown("too few trials of the two for a fit")
    low, value, high = contest.gain(places[0], places[1])
    return Estimate(value=value, low=low, high=high)


def _sentence(name: str, rows: list[ChoiceRow], contest: Contest | None) -> str:
    if contest is None:
        return f"Not enough trials to compare the choices of {name}."
    names = [str(contest.choices[at]) for at in contest.candidates]
    worse = [str(choice) for at, choice in enumerate(contest.choices) if at not in contest.candidates]
    unknown_ones = [str(row.choice) for row in rows if contest.position(row.choice) is None]
    left_out = f" Too few trials to say anything about {_list(unknown_ones)}." if unknown_ones else ""
    if len(names) == 1:
        every = "every other choice" if len(worse) > 1 else _list(worse)
        return f"{names[0]} does better than {every}, each at its own best learning rate.{left_out}"
    apart = ", though their best learning rates differ" if contest.rates_differ else ""
    but = f"; the best of them does better than {_list(worse)}" if worse else ""
    return f"The choices {_list(names)} of {name} can't be told apart{apart}{but}.{left_out}"


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
