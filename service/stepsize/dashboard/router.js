/** Addresses: `#/jobs/job_1?tab=trials`. Everything a view shows is in its address, so any of it can be shared. */

import { useEffect, useState } from "./vendor/preact-htm.js";

/** @typedef {{path: string[], query: URLSearchParams}} Location */

/** @returns {Location} */
function currentLocation() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

/** The current address; the component is drawn again when it changes. */
export function useLocation() {
  const [here, setHere] = useState(currentLocation);
  useEffect(() => {
    const update = () => setHere(currentLocation());
    addEventListener("hashchange", update);
    update(); // it may have changed since the first drawing
    return () => removeEventListener("hashchange", update);
  }, []);
  return here;
}

/** @param {string[]} path @param {Record<string, string | null>} [query] */
export function href(path, query = {}) {
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  const text = params.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Go somewhere; the way back leads here. @param {string} address */
export function go(address) {
  location.hash = address;
}

/** Change parts of the current address's query without a step in the history. @param {Record<string, string | null>} changes */
export function setQuery(changes) {
  const { path, query } = currentLocation();
  const merged = { ...Object.fromEntries(query), ...changes };
  history.replaceState(null, "", href(path, merged));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
