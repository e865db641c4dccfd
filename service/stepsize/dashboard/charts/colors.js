/** Colours of charts, from the style sheet, so that they follow the theme. */

/** @param {string} name a custom property without its dashes */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Viridis: ordered by lightness, so it reads in grey and to colour-blind people. */
const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

/** @param {number} share 0 … 1, worst to best */
export function viridis(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const index = Math.min(Math.floor(place), VIRIDIS.length - 2);
  return mix(VIRIDIS[index], VIRIDIS[index + 1], place - index);
}

function mix(from, to, share) {
  const channels = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const [a, b] = [channels(from), channels(to)];
  return `rgb(${a.map((channel, index) => Math.round(channel + (b[index] - channel) * share)).join(" ")})`;
}

/** Okabe and Ito's, for what is compared; in an order that differs most first. */
const LIGHT = ["#0072b2", "#d55e00", "#00805d", "#b0568c", "#8a6d00", "#3f51d1", "#56a0cc", "#5f6472"];
const DARK = ["#56b4e9", "#ff8a5c", "#3ec79d", "#e39ac6", "#f0e442", "#96a2ff", "#e69f00", "#a0a7b5"];

/** @param {number} index */
export function categoryColor(index) {
  const colors = document.documentElement.dataset.theme === "dark" ? DARK : LIGHT;
  return colors[index % colors.length];
}
