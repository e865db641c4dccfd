/**
 * The live stream of a job, with polling where streams don't get through.
 *
 * Not EventSource: it can't say where to begin, and from the beginning a job with 10,000 trials is megabytes.
 */

import { get } from "./api.js";

const RETRY_MS = 1000;
const POLL_MS = 2000;
const FAILURES_BEFORE_POLLING = 2;
const REOPENED_AFTER_MS = 10_000;

/**
 * Follow a job's changes until told to stop.
 *
 * @param {string} jobId
 * @param {object} listener
 * @param {{change: number, finished_at: string | null}} listener.known the job as it was read
 * @param {(kind: "job" | "trial" | "report", row: object) => void} listener.onEvent
 * @param {(status: "live" | "polling" | "offline" | "ended") => void} listener.onStatus
 * @returns {() => void} stops it
 */
export function follow(jobId, { known, onEvent, onStatus }) {
  const stopper = new AbortController();
  const place = { after: known.change, isFinished: known.finished_at !== null };
  run(jobId, place, { onEvent, onStatus, signal: stopper.signal }).catch((error) => {
    if (error.name !== "AbortError") throw error;
  });
  return () => stopper.abort();
}

async function run(jobId, place, { onEvent, onStatus, signal }) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      const response = await fetch(`/v1/jobs/${jobId}/events`, {
        headers: { "Last-Event-ID": String(place.after), Accept: "text/event-stream" },
        signal,
      });
      if (!response.ok) throw new Error(`the stream answered ${response.status}`);
      failures = 0;
      onStatus(place.isFinished ? "ended" : "live");
      await readStream(response.body, place, onEvent);
      if (place.isFinished) {
        onStatus("ended");
        // Somebody may raise its budget or retry its trials: the next stream tells.
        await pause(REOPENED_AFTER_MS, signal);
        continue;
      }
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      if (failures >= FAILURES_BEFORE_POLLING && (await pollOnce(jobId, onEvent, signal))) {
        onStatus("polling");
        await pause(POLL_MS, signal);
        continue;
      }
      onStatus("offline");
    }
    await pause(RETRY_MS, signal);
  }
}

/** Read events until the stream ends. */
async function readStream(body, place, onEvent) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parseEvent(block);
      if (!event) continue;
      onEvent(event.kind, event.row);
      if (event.id !== null) place.after = event.id;
      if (event.kind === "job") place.isFinished = event.row.finished_at !== null;
    }
  }
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

async function pollOnce(jobId, onEvent, signal) {
  try {
    onEvent("job", await get(`/jobs/${jobId}`, { signal }));
    return true;
  } catch {
    return false;
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
