// How figures are written: never with more digits than their intervals carry.
//
// A figure with an interval is {estimate, lower, upper}. Let h be the longer of its two arms. The estimate is rounded to the
// largest 1, 2 or 5 times a power of ten that is not above h/2, and h is shown with two digits, rounded up: 104,312 with an
// arm of 2,432 is "104,000 ± 2,500". Where h is more than a quarter of the estimate no number is named but a range, "30 – 90",
// or "under 25" where it starts at nought. A figure whose bounds are equal was counted and is shown as it is, and so is a count
// whose bounds have only one whole number between them.
//
// Nothing here touches the page, so that tests can call it by itself.

export const NARROW = '\u202f'; // a narrow space that does not break
export const SPACE = '\u00a0';
const MINUS = '\u2212';
const WIDE = 0.25; // the arm, as a fraction of the estimate, beyond which a range is shown
const TINY = 1e-9;

const formats = new Map();

/** A number with so many decimals, with thousands apart and a true minus. */
export function plain(value, decimals = 0) {
  if (!formats.has(decimals)) {
    formats.set(decimals, new Intl.NumberFormat('en-GB', { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
  }
  const text = formats.get(decimals).format(value);
  return (/^-[0.,]*$/.test(text) ? text.slice(1) : text).replace('-', MINUS);
}

/** The largest 1, 2 or 5 times a power of ten that is not above `x`, which is above nought. */
export function roundStep(x) {
  const power = 10 ** Math.floor(Math.log10(x) + TINY);
  const lead = x / power + TINY;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * power;
}

/** `x` with two digits, never less than it was. */
export function twoDigitsUp(x) {
  const power = 10 ** (Math.floor(Math.log10(x) + TINY) - 1);
  return Math.ceil(x / power - 1e-6) * power;
}

function decimalsOf(step, money) {
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + TINY));
  return money && decimals === 1 ? 2 : decimals;
}

/**
 * A figure in words: {kind, text, plus, likely}, where kind is exact, estimate or range, `plus` is "± 2,500" or empty, and
 * `likely` the interval in words. Null for a figure that is not known.
 *
 * `scale` multiplies (100 for per cent), `least` is the finest step worth showing, `money` allows 0 or 2 decimals only, and
 * `before` and `after` are put around numbers: a currency, a sign.
 */
export function figure(interval, { scale = 1, least = 1, money = false, before = '', after = '' } = {}) {
  if (!interval || interval.estimate === null || interval.estimate === undefined) return null;
  const value = interval.estimate * scale;
  const wrap = (number, decimals) => (number < 0 ? MINUS : '') + before + plain(Math.abs(number), decimals);
  if (interval.lower === null || interval.upper === null) return oneSided(interval, scale, { least, money, wrap, after });
  const lower = interval.lower * scale, upper = interval.upper * scale;
  const arm = Math.max(value - lower, upper - value);
  const whole = least === 1 && scale === 1 && Math.round(lower) === Math.round(upper); // a count whose interval holds one number
  if (whole || !(arm > TINY * Math.max(1, Math.abs(value)))) {
    return { kind: 'exact', text: wrap(value, exactDecimals(value, least, money)) + after, plus: '', likely: 'exact' };
  }
  const spread = likely(lower, upper, { least, money, wrap, after });
  if (arm > WIDE * Math.abs(value)) {
    const step = Math.max(least, roundStep((upper - lower) / 4));
    const decimals = decimalsOf(step, money);
    const low = lower > 0 ? Math.max(0, Math.floor(lower / step + TINY) * step) : Math.floor(lower / step + TINY) * step;
    const high = Math.ceil(upper / step - TINY) * step;
    const text = low === 0 ? `under${SPACE}${wrap(high, decimals)}${after}` : low < 0
      ? `${wrap(low, decimals)} to ${wrap(high, decimals)}${after}`
      : `${wrap(low, decimals)}${NARROW}–${NARROW}${plain(high, decimals)}${after}`;
    return { kind: 'range', text, plus: '', likely: spread };
  }
  const step = Math.max(least, roundStep(arm / 2));
  const decimals = decimalsOf(step, money);
  const shown = Math.max(10 ** -decimals, Math.ceil(twoDigitsUp(arm) * 10 ** decimals - 1e-6) / 10 ** decimals);
  const rounded = Math.round(value / step) * step;
  return { kind: 'estimate', text: wrap(rounded, decimals) + after, plus: `±${SPACE}${plain(shown, decimals)}`, likely: spread };
}

/** A bound that is null is none: "over 20", "under 30", or nothing known. */
function oneSided({ lower, upper }, scale, { least, money, wrap, after }) {
  const bound = lower ?? upper;
  if (bound === null) return { kind: 'range', text: 'unknown', plus: '', likely: 'not known' };
  const value = bound * scale;
  const step = Math.max(least, value ? roundStep(Math.abs(value) / 10) : least);
  const outward = upper === null ? Math.floor(value / step + TINY) * step : Math.ceil(value / step - TINY) * step;
  const text = `${upper === null ? 'over' : 'under'}${SPACE}${wrap(outward, decimalsOf(step, money))}${after}`;
  return { kind: 'range', text, plus: '', likely: `likely ${text}` };
}

function exactDecimals(value, least, money) {
  if (money) return Math.abs(value) >= 1000 || Number.isInteger(value) ? 0 : 2;
  if (Number.isInteger(value) || least >= 1) return 0;
  return Math.abs(value) >= 10 || least >= 0.1 ? 1 : 2;
}

/** "likely 101,000 to 107,000": both ends rounded outwards to two digits of half the width. */
function likely(lower, upper, { least, money, wrap, after }) {
  const half = (upper - lower) / 2;
  const step = Math.max(least, 10 ** (Math.floor(Math.log10(half) + TINY) - 1));
  const decimals = decimalsOf(step, money);
  return `likely ${wrap(Math.floor(lower / step + 1e-6) * step, decimals)} to ${wrap(Math.ceil(upper / step - 1e-6) * step, decimals)}${after}`;
}

export const count = (interval) => figure(interval);
export const percent = (interval, least = 0.01) => figure(interval, { scale: 100, least, after: `${SPACE}%` });
export const ratio = (interval) => figure(interval, { least: 0.01 });
export const money = (interval, currency) => figure(interval, { least: 0.01, money: true, before: currency });

/** A sum of money, which is exact. */
export function cash(sum, currency) {
  return sum === null || sum === undefined ? '–' : figure({ estimate: sum, lower: sum, upper: sum }, { least: 0.01, money: true, before: currency }).text;
}

/**
 * A change in words: {direction, text, full}, where direction is up, down, flat or none. An arrow comes only where the
 * interval leaves nought out; `full` says the interval. `interval` is a fraction of what was there before.
 */
export function change(interval) {
  if (!interval || interval.estimate === null || interval.estimate === undefined) return { direction: 'none', text: '–', full: 'nothing to compare with' };
  const estimate = interval.estimate, lower = interval.lower ?? -1, upper = interval.upper ?? Infinity;
  const signed = (x, decimals) => (x === Infinity ? 'anything' : (x > 0 ? '+' : '') + plain(x, decimals) + SPACE + '%');
  const arm = 100 * (upper === Infinity ? estimate - lower : Math.max(estimate - lower, upper - estimate));
  const full = arm > TINY ? `between ${signed(100 * lower, arm < 2 ? 1 : 0)} and ${signed(100 * upper, arm < 2 ? 1 : 0)}` : `exactly ${signed(100 * estimate, 1)}`;
  if (lower <= 0 && upper >= 0) return { direction: 'flat', text: estimate === 0 && arm <= TINY ? 'no change' : 'no clear change', full };
  const size = Math.abs(100 * estimate);
  const step = Math.max(0.1, arm > TINY ? roundStep(arm / 2) : size >= 10 ? 1 : 0.1);
  const text = plain(Math.round(size / step) * step, step < 1 ? 1 : 0);
  return { direction: estimate > 0 ? 'up' : 'down', text: `${estimate > 0 ? '↑' : '↓'}${SPACE}${text}${SPACE}%`, full };
}

/** A number for an axis: "7.5 k". */
export function short(value) {
  for (const [size, unit] of [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (Math.abs(value) >= size) return `${plain(value / size, value % size ? (value % (size / 10) ? 2 : 1) : 0)}${SPACE}${unit}`;
  }
  return plain(value, Number.isInteger(value) ? 0 : value * 10 % 1 ? 2 : 1);
}

/** Bytes: "41 MB". */
export function bytes(value) {
  for (const [size, unit] of [[2 ** 30, 'GB'], [2 ** 20, 'MB'], [2 ** 10, 'kB']]) {
    if (value >= size) return `${plain(value / size, value < 10 * size ? 1 : 0)}${SPACE}${unit}`;
  }
  return `${plain(value)}${SPACE}bytes`;
}
