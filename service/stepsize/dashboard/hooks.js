/** How views get data: once, again and again, or live. */

import { get, Problem, withQuery } from "./api.js";
import { follow, followJobs } from "./events.js";
import { useCallback, useEffect, useRef, useState } from "./vendor/preact-htm.js";

/**
 * @template T
 * @typedef {{data: T | null, error: Problem | null, isLoading: boolean, reload: () => void}} Resource
 */

const AWAY_RETRY_MS = 2000;

/**
 * Load something, keep what was there while loading again, and load again every `everyMs`. What is asked for during a
 * request is asked once more after it, so a slow answer is late but never starved. A service that is away is awaited.
 *
 * @param {string | null} path below /v1; null: nothing
 * @param {{everyMs?: number, version?: unknown}} [options] a changed `version` loads again
 * @returns {Resource<any>}
 */
export function useResource(path, { everyMs, version } = {}) {
  const [state, setState] = useState({ data: null, error: null, path: null });
  const load = useRef(() => {});
  const reload = useCallback(() => load.current(), []);

  useEffect(() => {
    const stopper = new AbortController();
    const show = (data) => setState({ data, error: null, path });
    const fail = (error) => {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      setState((before) => ({ data: before.path === path ? before.data : null, error, path }));
    };
    load.current = path === null ? () => {} : oneAtATime(() => get(path, { signal: stopper.signal }).then(show, fail));
    return () => stopper.abort();
  }, [path]);
  useEffect(reload, [path, version]);

  const isCurrent = state.path === path;
  const isAway = isCurrent && state.error?.status === 0;
  const pauseMs = isAway ? Math.min(everyMs ?? AWAY_RETRY_MS, AWAY_RETRY_MS) : everyMs;
  useInterval(reload, path === null ? undefined : pauseMs);
  return {
    data: isCurrent ? state.data : null,
    error: isCurrent ? state.error : null,
    isLoading: path !== null && !isCurrent,
    reload,
  };
}

/** Calls during a call are made up for by one after it. @param {() => Promise<void>} act */
function oneAtATime(act) {
  let isBusy = false;
  let isWanted = false;
  return async () => {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    while (isWanted) {
      isWanted = false;
      await act();
    }
    isBusy = false;
  };
}

/**
 * A list, a page at a time. Tokens belong to one list, so another path begins at its first page; until that is there the
 * page before stays, so that nothing jumps.
 *
 * @param {string} path below /v1
 * @param {{everyMs?: number, version?: unknown}} [options] as for `useResource`
 * @returns {{items: object[] | null, error: Problem | null, isLoading: boolean, reload: () => void, number: number,
 *   previous: (() => void) | null, next: (() => void) | null}} `number` counts from 1; null: there is no such page
 */
export function usePages(path, options) {
  const [trail, setTrail] = useState({ path, tokens: [null] });
  const tokens = trail.path === path ? trail.tokens : [null];
  const found = useResource(withQuery(path, { page_token: tokens.at(-1) }), options);
  const [kept, setKept] = useState(null);
  useEffect(() => void (found.data && setKept(found.data)), [found.data]);
  const next = found.data?.next_page_token;
  return {
    items: (found.data ?? kept)?.items ?? null,
    error: found.error,
    isLoading: found.isLoading,
    reload: found.reload,
    number: tokens.length,
    previous: tokens.length > 1 ? () => setTrail({ path, tokens: tokens.slice(0, -1) }) : null,
    next: next ? () => setTrail({ path, tokens: [...tokens, next] }) : null,
  };
}

/** Name the page in its browser tab, for those who have many, and for screen readers. @param {string} title */
export function useTitle(title) {
  useEffect(() => void (document.title = `${title} · Stepsize`), [title]);
}

/** Call something regularly while the page is seen. */
export function useInterval(act, everyMs) {
  useEffect(() => {
    if (!everyMs) return undefined;
    const timer = setInterval(() => document.hidden || act(), everyMs);
    return () => clearInterval(timer);
  }, [act, everyMs]);
}

/**
 * A job, live. Events are gathered for a moment and shown together: a job of short trials sends hundreds a second.
 *
 * @param {string} jobId
 * @returns {{job: object | null, error: Problem | null, status: string, version: number, trials: Map<number, object>,
 *   replace: (job: object) => void}} `version` rises, at most every 150 ms, when anything has changed; `trials` are the
 *   rows heard of lately
 */
export function useLiveJob(jobId) {
  const [state, setState] = useState({ ...UNKNOWN, jobId });
  const [round, setRound] = useState(0);
  const first = useResource(`/jobs/${jobId}`, { version: round });
  const known = first.data;

  useEffect(() => {
    if (!known) return undefined;
    const inbox = gather((gathered) => setState((before) => merge(before, gathered)));
    setState((before) => begin(before, jobId, known));
    const stop = follow(known, {
      onEvent: inbox.add,
      onRead: (job) => setState((before) => begin(before, jobId, job)),
      onStatus: (status) => setState((before) => (before.status === status ? before : { ...before, status })),
    });
    return () => {
      stop();
      inbox.close();
    };
  }, [jobId, known]);

  const replace = useCallback((job) => {
    setState((before) => ({ ...before, job, version: before.version + 1 }));
    // A stream that ended with its job begins anew once the job goes on.
    setRound((n) => n + 1);
  }, []);
  return { ...(state.jobId === jobId ? state : UNKNOWN), error: first.error, replace };
}

/**
 * What changes of all jobs while they run.
 *
 * @param {(row: object) => void} onJob told of each row
 * @returns {{isLive: boolean, rows: Map<string, object>}} `rows`: job id → its last row
 */
export function useJobRows(onJob) {
  const [state, setState] = useState({ isLive: false, rows: new Map() });
  const latest = useRef(onJob);
  latest.current = onJob;
  useEffect(
    () =>
      followJobs({
        onRows: (rows) => {
          setState((before) => ({ ...before, rows: new Map([...before.rows, ...rows.map((row) => [row.id, row])]) }));
          rows.forEach((row) => latest.current(row));
        },
        onLive: (isLive) => setState((before) => (before.isLive === isLive ? before : { ...before, isLive })),
      }),
    [],
  );
  return state;
}

const UNKNOWN = { job: null, status: "connecting", version: 0, trials: new Map() };

/** What is shown of a job read afresh; what was heard of its trials before may be out of date. */
function begin(before, jobId, job) {
  const isSame = before.jobId === jobId;
  if (isSame && before.job?.change >= job.change) return before; // an answer that was overtaken
  return { jobId, job, status: isSame ? before.status : "connecting", version: isSame ? before.version + 1 : 0, trials: new Map() };
}

const SHOW_EVERY_MS = 150;
const MOST_RECENT_TRIALS = 500;

function gather(show) {
  let job = null;
  let trials = new Map();
  let hasReports = false;
  let timer = 0;
  const flush = () => {
    timer = 0;
    show({ job, trials, hasReports });
    job = null;
    trials = new Map();
    hasReports = false;
  };
  return {
    add(kind, row) {
      if (kind === "job") job = row;
      else if (kind === "trial") trials.set(row.number, row);
      else hasReports = true;
      timer ||= setTimeout(flush, SHOW_EVERY_MS);
    },
    close: () => clearTimeout(timer),
  };
}

function merge(before, { job, trials }) {
  const merged = new Map([...before.trials, ...trials]);
  const recent = merged.size > MOST_RECENT_TRIALS ? new Map([...merged].slice(-MOST_RECENT_TRIALS)) : merged;
  const isNews = job && !(before.job?.change > job.change); // what a control answered may have overtaken it
  return { ...before, job: isNews ? job : before.job, trials: recent, version: before.version + 1 };
}

/**
 * A value that follows another at most every `everyMs`, its last change never lost.
 *
 * @template T
 * @param {T} value
 * @param {number} everyMs
 * @returns {T}
 */
export function useThrottled(value, everyMs) {
  const [shown, setShown] = useState(value);
  const latest = useRef(value);
  const timer = useRef(0);
  const lastAt = useRef(0);
  latest.current = value;
  useEffect(() => {
    if (timer.current || value === shown) return;
    const wait = Math.max(0, lastAt.current + everyMs - performance.now());
    timer.current = setTimeout(() => {
      timer.current = 0;
      lastAt.current = performance.now();
      setShown(latest.current);
    }, wait);
  }, [value, everyMs, shown]);
  useEffect(() => () => clearTimeout(timer.current), []);
  return shown;
}
