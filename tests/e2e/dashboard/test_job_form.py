"""The form builds what the service takes, and shows what it doesn't."""

import json
import shlex
import subprocess
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.e2e.dashboard.site import SPACE, Site

OpenPage = Callable[..., Page]


def row(page: Page, param: str) -> Locator:
    return page.get_by_role("group", name=param, exact=True)


def choose(page: Page, param: str, mode: str) -> None:
    row(page, param).get_by_role("radio", name=mode).check(force=True)


def shown_body(page: Page) -> Any:
    """The body in the command the form shows."""
    command = page.get_by_label("A command that submits this job").inner_text()
    return json.loads(shlex.split(command)[-1])


def test_a_job_submitted_through_the_form_runs(site: Site, open_page: OpenPage) -> None:
    page = open_page("#/jobs")
    page.get_by_role("link", name="New job").first.click()
    page.get_by_label("Trainer").select_option("synthetic")
    page.get_by_label("Name", exact=True).fill("it's from the form")
    page.get_by_label("Labels").fill("team:vision")
    choose(page, "lr_opt", "fixed")
    row(page, "lr_opt").get_by_role("textbox").fill("0.03")
    choose(page, "batch_size", "default")
    page.get_by_label("max trials").fill("3")
    page.get_by_label("Training seeds").select_option("blocks")
    page.get_by_label("How many seeds").fill("2")
    expect(page.get_by_text("Ready.")).to_be_visible()
    body = shown_body(page)
    page.get_by_role("button", name="Submit job").click()

    expect(page.get_by_role("heading", name="it's from the form")).to_be_visible()
    expect(page.locator(".page-head .badge")).to_contain_text("completed")
    spec = site.job(page.url.rpartition("/")[2])["spec"]
    assert spec["trainer"]["params"]["lr_opt"] == 0.03
    assert list(spec["search_space"]) == ["learning_rate"]
    assert spec["labels"] == {"team": "vision"}
    assert spec["budget"]["max_trials"] == 3
    assert spec["seeds"] == {"blocks": 2}
    resolved = site.http.post("/v1/jobs?dry_run=true", json=body).json()["spec"]
    assert resolved | {"sampler": None} == spec | {"sampler": None}, "the command shown does the same, but for the seed"


def test_how_many_train_together_is_chosen_in_the_form_and_kept_in_a_copy(
    site: Site, open_page: OpenPage, complaints: list[str]
) -> None:
    page = open_page("#/new")
    page.get_by_label("Trainer").select_option("tabular_classifier")
    page.get_by_label("Train together").select_option("as measured")
    expect(page.get_by_text("Ready.")).to_be_visible()
    assert shown_body(page)["resources"] == {"fuse": "auto"}

    page.get_by_label("Train together").select_option("at most")
    page.get_by_label("How many at most").fill("300")
    expect(page.get_by_text("a whole number from 1 to 256").first).to_be_visible()
    page.get_by_label("How many at most").fill("4")
    expect(page.get_by_text("Ready.")).to_be_visible()
    assert shown_body(page)["resources"] == {"fuse": 4}

    page.get_by_label("Trainer").select_option("synthetic")
    expect(page.get_by_label("Train together")).to_have_count(0)

    body = {
        "trainer": {"name": "synthetic"},
        "search_space": SPACE,
        "resources": {"fuse": "auto"},
        "budget": {"max_trials": 1},
    }
    job_id = site.http.post("/v1/jobs", json=body).json()["id"]
    copy = open_page(f"#/new?clone={job_id}")
    expect(copy.get_by_text("Ready.")).to_be_visible()
    assert shown_body(copy)["resources"] == {"fuse": "auto"}
    complaints.clear()  # the browser notes each 422


def test_the_command_shown_submits_the_job_when_pasted(site: Site, open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("#/new")
    page.get_by_label("Trainer").select_option("synthetic")
    page.get_by_label("Name", exact=True).fill('it\'s $HOME `pasted` \\\\ "twice"')
    row(page, "learning_rate").get_by_label("only these values").check()
    row(page, "learning_rate").get_by_role("textbox").fill("1e-3, 0.01")
    page.get_by_label("Sampler").select_option("grid")
    row(page, "batch_size").get_by_label("only these values").check()
    row(page, "batch_size").get_by_role("textbox").fill("16, 32")
    expect(page.get_by_text("4 cells of a grid")).to_be_visible()
    command = page.get_by_label("A command that submits this job").inner_text()

    pasted = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    made = json.loads(pasted.stdout)
    assert made["name"] == 'it\'s $HOME `pasted` \\\\ "twice"'
    assert made["spec"]["search_space"]["learning_rate"]["choices"] == [1e-3, 0.01]
    assert site.finish(made["id"])["progress"]["total"] == 4
    complaints.clear()  # a form filled in halfway is tried too, where filling it in takes long


def test_what_is_wrong_stands_beside_its_field(open_page: OpenPage, complaints: list[str]) -> None:
    page = open_page("#/new")
    page.get_by_label("Trainer").select_option("synthetic")
    row(page, "learning_rate").get_by_label("from").fill("5")
    page.get_by_label("max trials").fill("0")

    expect(row(page, "learning_rate").get_by_role("alert")).to_contain_text("low (5.0) is above high (1.0)")
    expect(page.locator(".field", has=page.get_by_label("max trials")).get_by_role("alert")).to_be_visible()
    expect(page.get_by_role("button", name="Submit job")).to_be_disabled()
    row(page, "learning_rate").get_by_label("from").fill("1e-4")
    page.get_by_label("max trials").fill("10")
    expect(page.get_by_text("Ready.")).to_be_visible()
    complaints.clear()  # the browser notes each 422


def test_parameters_show_where_they_apply(open_page: OpenPage) -> None:
    page = open_page("#/new")
    page.get_by_label("Trainer").select_option("image_classifier")
    expect(row(page, "momentum")).to_be_visible()
    choose(page, "optimizer", "fixed")
    row(page, "optimizer").get_by_role("combobox").select_option("adam")
    expect(row(page, "momentum")).to_have_count(0)
    expect(row(page, "beta2")).to_be_visible()
    choose(page, "optimizer", "searched")
    expect(row(page, "momentum")).to_be_visible()
    expect(row(page, "beta2")).to_be_visible()
    expect(row(page, "split_seed").get_by_role("radio", name="searched")).to_be_disabled()


def test_a_clone_asks_for_the_same(site: Site, open_page: OpenPage) -> None:
    job_id = site.submit(
        name="original",
        labels={"team": "vision", "run": "3"},
        search_space=SPACE,
        trainer={"name": "synthetic", "params": {"noise": 0.1}},
        objectives=[{"metric": "loss", "direction": "minimize", "target": 0.001}],
        sampler={"name": "tpe", "n_startup_trials": 5},
        pruner={"name": "median", "n_warmup_steps": 1},
        budget={"max_trials": 2, "max_failed_trials": 3},
        enqueue=[{"learning_rate": 0.5}],
        seeds={"blocks": 3},
        priority=2,
    )
    spec = site.finish(job_id)["spec"]
    page = open_page(f"#/jobs/{job_id}")
    page.get_by_role("link", name="Clone").click()
    expect(page.get_by_text("Ready.")).to_be_visible()

    resolved = site.http.post("/v1/jobs?dry_run=true", json=shown_body(page)).json()["spec"]
    # A copy has a name and draws a seed of its own.
    assert resolved["name"] == "original (copy)"
    resolved["name"], resolved["sampler"]["seed"] = spec["name"], spec["sampler"]["seed"]
    assert resolved == spec


def test_a_clone_keeps_every_objective(site: Site, open_page: OpenPage) -> None:
    objectives = [
        {"metric": "val_accuracy", "direction": "maximize"},
        {"metric": "train_time_s", "direction": "minimize"},
    ]
    job_id = site.submit(trainer={"name": "image_classifier"}, objectives=objectives, search_space=SPACE)
    site.cancel(job_id)
    page = open_page(f"#/new?clone={job_id}")
    expect(page.get_by_text("Ready.")).to_be_visible()
    assert shown_body(page)["objectives"] == objectives

    page.get_by_role("button", name="Remove objective train_time_s").click()
    assert shown_body(page)["objectives"] == objectives[:1]
    page.get_by_role("button", name="Add an objective").click()
    page.get_by_role("group", name="Objective 2").get_by_label("Metric").select_option("train_time_s")
    expect(page.get_by_text("Ready.")).to_be_visible()
    assert shown_body(page)["objectives"] == objectives


def test_what_the_form_has_no_fields_for_is_cloned_as_json(site: Site, front_job: str, open_page: OpenPage) -> None:
    page = open_page(f"#/new?clone={front_job}")
    expect(page.get_by_text("The form has no fields for all of this job")).to_be_visible()
    expect(page.get_by_text("Ready.")).to_be_visible()
    text = page.get_by_label("Specification as JSON")
    body = json.loads(text.input_value())
    assert body["engine"] == "external"

    text.fill("{")
    expect(page.get_by_text("This is not a JSON object.")).to_be_visible()
    expect(page.get_by_role("button", name="Submit job")).to_be_disabled()
    text.fill(json.dumps(body | {"name": "from JSON"}))
    expect(page.get_by_text("Ready.")).to_be_visible()
    page.get_by_role("button", name="Submit job").click()
    expect(page.get_by_role("heading", name="from JSON")).to_be_visible()
    expect(page.get_by_label("A command that asks for a trial")).to_contain_text("/suggestions")
    site.cancel(page.url.rpartition("/")[2])
