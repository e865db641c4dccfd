/** A job as a command for a terminal. */

/** @param {object} spec */
export function curlOf(spec) {
  // In a POSIX shell a quote inside single quotes is written '\''.
  const body = JSON.stringify(spec, null, 2).replaceAll("'", "'\\''");
  return `curl ${location.origin}/v1/jobs -H 'Content-Type: application/json' -d '${body}'`;
}
