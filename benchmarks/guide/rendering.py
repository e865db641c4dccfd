"""The pages: templates filled with what the results say. No number on a page is typed by hand."""

import re
from pathlib import Path

from benchmarks.guide import text
from benchmarks.guide.answers import (
    batch_sizes,
    misconceptions,
    model_and_data,
    range_tests,
    rates,
    regularisation,
    schedules,
    searches,
)
from benchmarks.guide.experiments import EPOCHS, RANGE_TEST
from benchmarks.guide.results import Results

TEMPLATES = Path(__file__).with_name("templates")
_TOPICS = (rates, range_tests, searches, schedules, batch_sizes, misconceptions, model_and_data, regularisation)
_PLACEHOLDER = re.compile(r"\{\{([a-z0-9_:]+)\}\}")


def all_facts(results: Results) -> dict[str, str]:
    """Return what every placeholder becomes."""
    facts = {
        "n_trials": f"{sum(map(len, results.runs.values())):,}",
        "epochs": str(EPOCHS),
        "job:range_test": text.request_block("/v1/range-tests", RANGE_TEST),
    }
    for topic in _TOPICS:
        facts |= topic.facts(results)
    return facts | {f"job:{name}": text.job_block(spec) for name, spec in results.specs.items() if name != "range_test"}


def render_pages(results: Results) -> dict[str, str]:
    """Return each page by its file's name.

    Raises:
        KeyError: a template asks for what no topic tells.
    """
    facts = all_facts(results)
    return {
        path.name: _PLACEHOLDER.sub(lambda found: facts[found[1]], path.read_text())
        for path in sorted(TEMPLATES.glob("*.md"))
    }
