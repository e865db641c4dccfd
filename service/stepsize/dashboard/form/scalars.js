/** Values typed into fields. */

/** Read a number, true, false, a quoted or a bare string. @param {string} text @returns {string | number | boolean} */
export function readScalar(text) {
  const trimmed = text.trim();
  if (trimmed === "true" || trimmed === "false") return trimmed === "true";
  if (/^".*"$/.test(trimmed)) return JSON.parse(trimmed);
  const number = Number(trimmed);
  return trimmed !== "" && Number.isFinite(number) ? number : trimmed;
}

/** @param {string} text @returns {number | null} null: nothing was typed */
export function readNumber(text) {
  return text.trim() === "" ? null : Number(text);
}
