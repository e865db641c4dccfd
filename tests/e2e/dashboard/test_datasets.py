"""Data sets: seen, dropped, refused with a reason, used, removed."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.e2e.dashboard.site import Site

OpenPage = Callable[..., Page]
ROWS = "a,b,quality\n" + "".join(f"{i},{i * 2 % 7},{i % 3}\n" for i in range(60))
DROP = """
([target, name, text]) => {
  const files = new DataTransfer();
  files.items.add(new File([text], name));
  const dropped = new DragEvent("drop", {dataTransfer: files, bubbles: true, cancelable: true});
  document.querySelector(target).dispatchEvent(dropped);
}
"""


def test_a_file_is_chosen_uploaded_used_and_removed(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    file = tmp_path / "My Wine (2).csv"
    file.write_text(ROWS)
    page = open_page("#/datasets")
    expect(page.get_by_role("cell", name="digits").first).to_be_visible()
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.get_by_label("Name")).to_have_value("my-wine-2")
    page.get_by_label("Column to predict").fill("quality")
    page.get_by_role("button", name="Upload").click()

    row = page.locator("tbody tr", has_text="my-wine-2")
    expect(row).to_contain_text("2 features")
    assert site.http.get("/v1/datasets/my-wine-2").json()["target"] == "quality"
    row.get_by_role("link", name="New job").click()
    expect(page.get_by_label("Trainer")).to_have_value("tabular_classifier")
    expect(page.get_by_role("combobox", name="dataset")).to_have_value("my-wine-2")
    expect(page.get_by_text("Ready.")).to_be_visible()

    page.get_by_role("link", name="Data sets").click()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for ever").click()
    expect(row).to_have_count(0)
    assert site.http.get("/v1/datasets/my-wine-2").status_code == 404


def test_a_dropped_file_that_is_no_data_set_is_refused_with_the_reason(
    open_page: OpenPage, complaints: list[str]
) -> None:
    page = open_page("#/datasets")
    page.evaluate(DROP, [".drop", "notes.csv", "just one line\n"])
    expect(page.get_by_label("Name")).to_have_value("notes")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("column")

    page.get_by_label("Name").fill("digits")
    page.evaluate(DROP, [".drop", "digits.csv", ROWS])
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("a built-in data set has this name")
    complaints.clear()  # the browser notes the 422 and the 409
