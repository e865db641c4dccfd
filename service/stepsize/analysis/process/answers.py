"""From a question to its answer: evidence from the database, numbers from `stepsize.analysis`."""

from dataclasses import replace
from pathlib import Path
from typing import assert_never

from cachetools import LRUCache
from matplotlib.figure import Figure

from stepsize.analysis.exports import write_optuna, write_parquet
from stepsize.analysis.figures.rates import heatmap_figure, range_test_figure, schedule_figure, sensitivity_figure
from stepsize.analysis.figures.style import Draw, Palette, no_search_figure, render
from stepsize.analysis.figures.trials import (
    curves_figure,
    history_figure,
    importances_figure,
    pareto_figure,
    slice_figure,
)
from stepsize.analysis.findings import Findings, find
from stepsize.analysis.importances import importances
from stepsize.analysis.jobs_report import compare_jobs
from stepsize.analysis.markdown import jobs_markdown, report_markdown, to_html
from stepsize.analysis.report import make_report
from stepsize.analysis.sample import make_sample
from stepsize.application.catalogue import card_of
from stepsize.application.exports import iter_rows
from stepsize.asking.questions import (
    ExportQuestion,
    ImportancesQuestion,
    PlotQuestion,
    Question,
    Rendering,
    Reply,
    ReportQuestion,
    SchedulePlotQuestion,
)
from stepsize.datasets.cards import training_samples
from stepsize.domain.evidence import Curve, Evidence
from stepsize.domain.job import JobKind
from stepsize.domain.jobs_report import JobsReport
from stepsize.domain.report import Report
from stepsize.domain.trainer import TrainerCard
from stepsize.store.database import Database
from stepsize.store.evidence import load_curves, load_evidence
from stepsize.store.jobs import get_job

_BEST_CURVES, _LATEST_CURVES = 40, 40

_KEPT = 4
"""Jobs whose evidence and findings are kept: the eight plots of one page ask about one job at one change."""


class Answers:
    """Answers questions from the record, remembering the last few jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._evidence: LRUCache[tuple[str, int], Evidence] = LRUCache(_KEPT)
        self._findings: LRUCache[tuple[str, int], Findings] = LRUCache(_KEPT)

    def answer(self, question: Question) -> Reply:
        """Answer a question.

        Raises:
            JobNotFoundError: a job it is about is gone.
        """
        match question:
            case ReportQuestion():
                return self._report(question)
            case ImportancesQuestion():
                evidence = self._load(question.job_id)
                found = importances(make_sample(evidence), evidence)
                return Reply(found.model_dump_json().encode(), (evidence.change,))
            case PlotQuestion():
                return self._plot(question)
            case SchedulePlotQuestion():
                return Reply(_draw_schedule(question), ())
            case ExportQuestion():
                return self._export(question)
            case _:
                assert_never(question)

    def _report(self, question: ReportQuestion) -> Reply:
        found = [self._load(job_id) for job_id in question.job_ids]
        if question.as_finished:
            found = [replace(evidence, is_finished=True) for evidence in found]
        findings = [self._find(evidence) for evidence in found]
        report = compare_jobs(found, findings) if question.compare else make_report(found[0], findings[0])
        return Reply(_render(report, question.rendering), tuple(evidence.change for evidence in found))

    def _plot(self, question: PlotQuestion) -> Reply:
        evidence = self._load(question.job_id)
        draw = self._drawing(question, evidence)
        return Reply(render(draw, image_format=question.format, theme=question.theme), (evidence.change,))

    def _drawing(self, question: PlotQuestion, evidence: Evidence) -> Draw:
        sample = make_sample(evidence)
        if evidence.kind is JobKind.RANGE_TEST and question.kind != "range_test":
            return lambda palette: no_search_figure(evidence, palette)
        match question.kind:
            case "history":
                return lambda palette: history_figure(sample, evidence, palette)
            case "slice":
                return lambda palette: slice_figure(sample, evidence, palette)
            case "curves":
                curves = self._curves(evidence)
                return lambda palette: curves_figure(curves, len(evidence.trials.number), evidence, palette)
            case "heatmap":
                findings = self._find(evidence)
                return lambda palette: heatmap_figure(findings, evidence, palette)
            case "sensitivity":
                findings = self._find(evidence)
                return lambda palette: sensitivity_figure(findings, evidence, palette)
            case "importances":
                found = importances(sample, evidence)
                return lambda palette: importances_figure(found, evidence, palette)
            case "pareto":
                return lambda palette: pareto_figure(evidence, palette)
            case "range_test":
                return lambda palette: range_test_figure(evidence, palette)
            case _:
                assert_never(question.kind)

    def _curves(self, evidence: Evidence) -> list[Curve]:
        """Return the curves of the best and the latest trials."""
        trials = evidence.trials
        sample = make_sample(evidence)
        ranked = [int(number) for number in sample.number[sample.ranked[:_BEST_CURVES]]]
        latest = [number for number in reversed(trials.number) if number not in set(ranked)][:_LATEST_CURVES]
        with self._database.read() as connection:
            return load_curves(connection, evidence.job_id, evidence.objectives[0].metric, sorted({*ranked, *latest}))

    def _export(self, question: ExportQuestion) -> Reply:
        evidence = self._load(question.job_id)
        path = Path(question.path)
        match question.format:
            case "optuna":
                with self._database.read() as connection:
                    curves = load_curves(connection, evidence.job_id, evidence.objectives[0].metric)
                write_optuna(path, evidence, curves)
            case "parquet":
                write_parquet(path, iter_rows(self._database, evidence.job_id, question.rows))
            case _:
                assert_never(question.format)
        return Reply(b"", (evidence.change,))

    def _find(self, evidence: Evidence) -> Findings:
        key = (evidence.job_id, evidence.change)
        if key not in self._findings:
            self._findings[key] = find(make_sample(evidence), evidence)
        return self._findings[key]

    def _load(self, job_id: str) -> Evidence:
        with self._database.read() as connection:
            job = get_job(connection, job_id)
            key = (job_id, job.change)
            if key not in self._evidence:
                card = card_of(connection, job.spec)
                evidence = load_evidence(connection, job_id)
                self._evidence[key] = evidence if card is None else _with_card(evidence, card)
        return self._evidence[key]


def _draw_schedule(question: SchedulePlotQuestion) -> bytes:
    def draw(palette: Palette) -> Figure:
        return schedule_figure(question.title, question.steps, question.learning_rates, palette)

    return render(draw, image_format=question.format, theme=question.theme)


def _with_card(evidence: Evidence, card: TrainerCard) -> Evidence:
    units = {metric.name: metric.unit for metric in card.metrics if metric.unit}
    ranges = {metric.name: metric.range for metric in card.metrics if metric.range is not None}
    n_samples = training_samples(evidence.fixed)
    return replace(evidence, step_unit=card.step_unit, units=units, ranges=ranges, n_samples=n_samples)


def _render(report: Report | JobsReport, rendering: Rendering) -> bytes:
    match rendering:
        case Rendering.JSON:
            return report.model_dump_json().encode()
        case Rendering.MARKDOWN:
            return _markdown(report).encode()
        case Rendering.HTML:
            return to_html(_markdown(report)).encode()
        case _:
            assert_never(rendering)


def _markdown(report: Report | JobsReport) -> str:
    return report_markdown(report) if isinstance(report, Report) else jobs_markdown(report)
