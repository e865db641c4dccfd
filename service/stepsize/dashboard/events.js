/**
 * The live stream of a job, with polling where streams don't get through.
 *
 * Not EventSource: it can't say where to begin, and from the beginning a job with 10,000 trials is megabytes. A page that
 * isn't seen lets its stream go: browsers open six connections to a server, and six job pages would take them all.
 */

import { get } from "./api.js";

const RETRY_MS = 2000;
const POLL_MS = 2000;
const REOPENED_AFTER_MS = 4000;
/** A stream that is well says something every 15 s; a proxy that gathers it up lets nothing through. */
const SILENCE_MS = 18_000;

/**
 * @typedef {"live" | "polling" | "offline" | "ended" | "gone"} Status
 * @typedef {object} Listener
 * @property {(kind: "job" | "trial" | "report", row: object) => void} onEvent
 * @property {(job: object) => void} onRead the job read afresh: what was heard of its trials may be out of date
 * @property {(status: Status) => void} onStatus
 */

/**
 * Follow a job's changes until told to stop.
 *
 * @param {object} job as it was read
 * @param {Listener} listener
 * @returns {() => void} stops it
 */
export function follow(job, listener) {
  const stopper = new AbortController();
  const line = {
    ...listener,
    id: job.id,
    after: job.change,
    isFinished: job.finished_at !== null,
    heardAt: performance.now(),
    missedSome: false,
    signal: stopper.signal,
    hangUp: () => stopper.abort(),
  };
  keepListening(line);
  keepPolling(line);
  return line.hangUp;
}

async function keepListening(line) {
  while (!line.signal.aborted) {
    await untilSeen(line.signal);
    if (line.missedSome) await read(line);
    // A job that has ended may get a larger budget or its trials may be retried: the next stream tells.
    const wait = (await listen(line)) && line.isFinished ? REOPENED_AFTER_MS : RETRY_MS;
    await pause(wait, line.signal);
  }
}

async function keepPolling(line) {
  for (;;) {
    await pause(POLL_MS, line.signal);
    if (line.signal.aborted) return;
    const isHeard = performance.now() - line.heardAt < SILENCE_MS;
    if (!document.hidden && !isHeard && (await read(line))) line.onStatus(line.isFinished ? "ended" : "polling");
  }
}

/**
 * Follow all jobs: brief rows of those that change.
 *
 * @param {{onRows: (rows: object[]) => void, onLive: (isLive: boolean) => void}} listener `onLive`: what is read after
 *   it, no change of is missed; before, and while it is false, the list must be read again and again
 * @returns {() => void} stops it
 */
export function followJobs({ onRows, onLive }) {
  const stopper = new AbortController();
  const { signal } = stopper;
  keepListeningToAll({ onRows, onLive, signal });
  return () => stopper.abort();
}

async function keepListeningToAll(line) {
  while (!line.signal.aborted) {
    await untilSeen(line.signal);
    const own = untilHiddenOrAborted(line.signal);
    let silence = 0;
    try {
      const response = await fetch("/v1/events", { headers: { Accept: "text/event-stream" }, signal: own.signal });
      if (!response.ok) throw new Error(`the stream answered ${response.status}`);
      await readBlocks(response.body, (blocks) => {
        clearTimeout(silence);
        silence = setTimeout(() => own.abort(), SILENCE_MS);
        line.onLive(true);
        const rows = blocks.map(parseEvent).filter(Boolean).map((event) => event.row);
        if (rows.length > 0) line.onRows(rows);
      });
    } catch {
      // Refused, cut off, or let go because nobody looks: the list is read instead.
    } finally {
      clearTimeout(silence);
      own.abort();
    }
    if (line.signal.aborted) return;
    line.onLive(false);
    await pause(RETRY_MS, line.signal);
  }
}

/** @returns {AbortController} aborted once the page is hidden or `signal` is; abort it to let go of both */
function untilHiddenOrAborted(signal) {
  const own = new AbortController();
  const letGo = () => (signal.aborted || document.hidden) && own.abort();
  document.addEventListener("visibilitychange", letGo, { signal: own.signal });
  signal.addEventListener("abort", letGo, { signal: own.signal });
  letGo();
  return own;
}

/** Read the stream to its end. @returns {Promise<boolean>} whether it came to it */
async function listen(line) {
  const own = untilHiddenOrAborted(line.signal);
  try {
    const response = await fetch(`/v1/jobs/${line.id}/events`, {
      headers: { "Last-Event-ID": String(line.after), Accept: "text/event-stream" },
      signal: own.signal,
    });
    if (response.status === 404) leave(line);
    if (!response.ok) throw new Error(`the stream answered ${response.status}`);
    hear(line);
    await readStream(response.body, line);
    if (line.isFinished) line.onStatus("ended");
    return true;
  } catch {
    // Refused, cut off, or let go because nobody looks: what it would have said is read instead.
    line.heardAt = -Infinity;
    line.missedSome = document.hidden;
    return false;
  } finally {
    own.abort();
  }
}

/** Read events until the stream ends. */
async function readStream(body, line) {
  await readBlocks(body, (blocks) => {
    hear(line);
    for (const block of blocks) {
      const event = parseEvent(block);
      if (!event) continue;
      line.onEvent(event.kind, event.row);
      if (event.id !== null) line.after = event.id;
      if (event.kind === "job") line.isFinished = event.row.finished_at !== null;
    }
  });
}

/** Read a stream to its end. @param {(blocks: string[]) => void} take told what each piece completes, if anything */
async function readBlocks(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop() ?? "";
    take(blocks);
  }
}

function hear(line) {
  line.heardAt = performance.now();
  line.onStatus(line.isFinished ? "ended" : "live");
}

/** Ask for the job as it is now; the next stream goes on from there. @returns {Promise<boolean>} whether it answered */
async function read(line) {
  try {
    const job = await get(`/jobs/${line.id}`, { signal: line.signal });
    line.after = Math.max(line.after, job.change);
    line.isFinished = job.finished_at !== null;
    line.missedSome = false;
    line.onRead(job);
    return true;
  } catch (error) {
    if (error.status === 404) leave(line);
    else if (!line.signal.aborted) line.onStatus("offline");
    return false;
  }
}

/** The job is no more. */
function leave(line) {
  line.onStatus("gone");
  line.hangUp();
}

/** @param {string} block one event as it stands in the stream */
function parseEvent(block) {
  const fields = { event: "", data: "", id: null };
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).trim();
  }
  if (!fields.event) return null;
  return { kind: fields.event, row: JSON.parse(fields.data), id: fields.id === null ? null : Number(fields.id) };
}

/** Wait until the page is seen. @param {AbortSignal} signal */
async function untilSeen(signal) {
  if (!document.hidden || signal.aborted) return;
  await new Promise((resolve) => {
    document.addEventListener("visibilitychange", resolve, { once: true, signal });
    signal.addEventListener("abort", resolve, { once: true });
  });
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
  });
}
