/** How views get data: once, again and again, or live. */

import { get, Problem } from "./api.js";
import { follow } from "./events.js";
import { useCallback, useEffect, useRef, useState } from "./vendor/preact-htm.js";

/**
 * @template T
 * @typedef {{data: T | null, error: Problem | null, isLoading: boolean, reload: () => void}} Resource
 */

/**
 * Load something, keep what was there while loading again, and load again every `everyMs`.
 *
 * @param {string | null} path below /v1; null: nothing
 * @param {{everyMs?: number, version?: unknown}} [options] a changed `version` loads again
 * @returns {Resource<any>}
 */
export function useResource(path, { everyMs, version } = {}) {
  const [state, setState] = useState({ data: null, error: null, path: null });
  const [round, setRound] = useState(0);
  const reload = useCallback(() => setRound((n) => n + 1), []);

  useEffect(() => {
    if (!path) return undefined;
    const stopper = new AbortController();
    get(path, { signal: stopper.signal }).then(
      (data) => setState({ data, error: null, path }),
      (error) => {
        if (error.name === "AbortError") return;
        if (!(error instanceof Problem)) throw error;
        setState((before) => ({ data: before.path === path ? before.data : null, error, path }));
      },
    );
    return () => stopper.abort();
  }, [path, round, version]);

  useInterval(reload, path ? everyMs : undefined);
  const isCurrent = state.path === path;
  return {
    data: isCurrent ? state.data : null,
    error: isCurrent ? state.error : null,
    isLoading: path !== null && !isCurrent,
    reload,
  };
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
 *   replace: (job: object) => void}} `version` rises, at most every second, when anything has changed; `trials` are the
 *   rows seen lately
 */
export function useLiveJob(jobId) {
  const [state, setState] = useState({ jobId, job: null, error: null, status: "connecting", version: 0, trials: new Map() });
  const [round, setRound] = useState(0);

  useEffect(() => {
    let stop = () => {};
    let isGone = false;
    const inbox = gather((gathered) => !isGone && setState((before) => merge(before, gathered)));
    get(`/jobs/${jobId}`).then(
      (job) => {
        if (isGone) return;
        setState({ jobId, job, error: null, status: "connecting", version: 0, trials: new Map() });
        stop = follow(jobId, {
          known: job,
          onEvent: inbox.add,
          onStatus: (status) => setState((before) => ({ ...before, status })),
        });
      },
      (error) => !isGone && setState((before) => ({ ...before, jobId, error })),
    );
    return () => {
      isGone = true;
      stop();
      inbox.close();
    };
  }, [jobId, round]);

  const replace = useCallback((job) => {
    setState((before) => ({ ...before, job, version: before.version + 1 }));
    // A stream that ended with its job begins anew once the job goes on.
    setRound((n) => n + 1);
  }, []);
  const shown = state.jobId === jobId ? state : { ...state, job: null, error: null, trials: new Map() };
  return { ...shown, replace };
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
  return { ...before, job: job ?? before.job, error: null, trials: recent, version: before.version + 1 };
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
