/** Copies of jobs: what they have of their own, and whether they ask for the same. */

/** A specification to post again: under another name, and with a seed of its own. @param {object} spec */
export function copyOf(spec) {
  const { seed, ...sampler } = spec.sampler;
  return { ...spec, name: spec.name ? `${spec.name} (copy)` : "", sampler };
}

/**
 * Tell whether two specifications are the same but for name and seed.
 *
 * @param {object | null} a with every default written out; null: the service refused it
 * @param {object} b likewise
 */
export function asksForTheSame(a, b) {
  const essence = (spec) => canonical({ ...spec, name: "", sampler: { ...spec.sampler, seed: null } });
  return a !== null && essence(a) === essence(b);
}

/** JSON with sorted keys. */
function canonical(value) {
  return JSON.stringify(value, (_, member) =>
    member !== null && typeof member === "object" && !Array.isArray(member) ? Object.fromEntries(Object.entries(member).sort()) : member,
  );
}
