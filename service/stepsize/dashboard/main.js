/** The page: header, the view that the address names, passing notes. */

import { Toasts } from "./components/feedback.js";
import { href, useLocation } from "./router.js";
import { html, render, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { CompareView } from "./views/compare.js";
import { DatasetsView } from "./views/datasets.js";
import { JobView } from "./views/job.js";
import { JobsView } from "./views/jobs.js";
import { NewJobView } from "./views/new_job.js";
import { RangeTestView } from "./views/range_test.js";
import { RangeTestsView } from "./views/range_tests.js";
import { TrialView } from "./views/trial.js";
import { WorkersView } from "./views/workers.js";

const SECTIONS = [
  { name: "Jobs", path: "jobs" },
  { name: "Compare", path: "compare" },
  { name: "Range tests", path: "range-tests" },
  { name: "Data sets", path: "datasets" },
  { name: "Workers", path: "workers" },
];

/** @param {string[]} path @param {URLSearchParams} query */
function viewOf(path, query) {
  const [section = "jobs", id, part, number] = path;
  if (section === "jobs" && part === "trials" && number) return html`<${TrialView} key=${path.join()} jobId=${id} number=${Number(number)} />`;
  if (section === "jobs" && id) return html`<${JobView} key=${id} jobId=${id} tab=${part ?? "overview"} query=${query} />`;
  if (section === "jobs") return html`<${JobsView} query=${query} />`;
  if (section === "new") return html`<${NewJobView} key=${query.toString()} clone=${query.get("clone")} dataset=${query.get("dataset")} />`;
  if (section === "compare") return html`<${CompareView} query=${query} />`;
  if (section === "range-tests" && id) return html`<${RangeTestView} key=${id} id=${id} />`;
  if (section === "range-tests") return html`<${RangeTestsView} />`;
  if (section === "datasets") return html`<${DatasetsView} />`;
  if (section === "workers") return html`<${WorkersView} />`;
  return html`<div class="page"><h1>There is no such page</h1><p><a href="#/jobs">All jobs</a></p></div>`;
}

function App() {
  const { path, query } = useLocation();
  const main = useRef(null);
  const place = path.join("/");
  const isFirst = useRef(true);

  // A new page begins at its top, for the eye and for the keyboard; the first one is left to the browser.
  useEffect(() => {
    if (!isFirst.current) {
      main.current.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
    isFirst.current = false;
  }, [place]);

  return html`
    <a class="skip" href=${location.hash} onClick=${(event) => (event.preventDefault(), main.current.focus())}>Skip to the content</a>
    <header class="top">
      <a class="brand" href="#/jobs"><${Logo} />Stepsize</a>
      <nav aria-label="Sections">
        ${SECTIONS.map(
          (section) => html`<a href=${href([section.path])} aria-current=${(path[0] ?? "jobs") === section.path ? "page" : null}>${section.name}</a>`,
        )}
      </nav>
      <div class="tools">
        <a class="button quiet" href="/docs">API</a>
        <${ThemeButton} />
        <a class="button primary" href="#/new">New job</a>
      </div>
    </header>
    <main ref=${main} tabindex="-1">${viewOf(path, query)}</main>
    <${Toasts} />
  `;
}

function Logo() {
  return html`<svg viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#3f51d1" />
    <path d="M6 9c3 10 6 14 10 14s7-4 10-14" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" />
    <circle cx="16" cy="23" r="3.4" fill="#ffc24b" />
  </svg>`;
}

function ThemeButton() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme);
  useEffect(() => {
    const update = () => setTheme(document.documentElement.dataset.theme);
    addEventListener("themechange", update);
    return () => removeEventListener("themechange", update);
  }, []);
  const other = theme === "dark" ? "light" : "dark";
  return html`<button type="button" class="button quiet" aria-label="Switch to ${other} colours" title="Switch to ${other} colours" onClick=${() => window.chooseTheme(other)}>
    <svg width="18" height="18" viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" aria-hidden="true">
      ${
        theme === "dark"
          ? html`<circle cx="10" cy="10" r="3.6" /><path d="M10 2v1.6M10 16.4V18M2 10h1.6M16.4 10H18M4.3 4.3l1.2 1.2M14.5 14.5l1.2 1.2M4.3 15.7l1.2-1.2M14.5 5.5l1.2-1.2" />`
          : html`<path d="M16.5 12.2A7 7 0 0 1 7.8 3.5a7 7 0 1 0 8.7 8.7z" />`
      }
    </svg>
  </button>`;
}

render(html`<${App} />`, document.getElementById("app"));
