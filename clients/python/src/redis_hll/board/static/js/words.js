// Words for ranges, times and values.

export const DEFAULT_RANGE = '30d';
export const RANGES = { today: 'Today', '7d': '7 days', '30d': '30 days', '90d': '90 days' };
const SPOKEN = { today: 'today', '7d': 'last 7 days', '30d': 'last 30 days', '90d': 'last 90 days' };
const BEFORE = { today: 'yesterday until now', '7d': 'the 7 days before', '30d': 'the 30 days before', '90d': 'the 90 days before' };

export const spokenRange = (range) => SPOKEN[range] ?? 'these dates';
export const beforeRange = (range) => BEFORE[range] ?? 'as long before';

const formats = new Map();

function format(time, zone, options) {
  const key = zone + JSON.stringify(options);
  if (!formats.has(key)) {
    let known = zone;
    try {
      Intl.DateTimeFormat('en-GB', { timeZone: zone });
    } catch {
      known = 'UTC'; // a zone that this browser does not know
    }
    formats.set(key, new Intl.DateTimeFormat('en-GB', { ...options, timeZone: known }));
  }
  return formats.get(key).format(time);
}

export const clock = (time, zone) => format(time, zone, { hour: '2-digit', minute: '2-digit' });
export const day = (time, zone) => format(time, zone, { day: 'numeric', month: 'short' });
const dayOfYear = (time, zone) => format(time, zone, { day: 'numeric', month: 'short', year: 'numeric' });

/** The date of a moment as 2026-03-31. */
export const isoDate = (time, zone) => format(time, zone, { year: 'numeric', month: '2-digit', day: '2-digit' }).split('/').reverse().join('-');

/** The zone as people say it: Europe/Berlin is "in Berlin". */
export const place = (zone) => (zone.includes('/') ? `in ${zone.split('/').pop().replaceAll('_', ' ')}` : zone);

/** "2 – 31 Mar", of a stretch whose end is not part of it. */
export function stretch(from, to, zone) {
  if (!(to > from)) return 'no time';
  const last = to - 1;
  const year = (time) => format(time, zone, { year: 'numeric' });
  if (year(from) !== year(last)) return `${dayOfYear(from, zone)} – ${dayOfYear(last, zone)}`;
  if (day(from, zone) === day(last, zone)) return day(from, zone);
  const month = (time) => format(time, zone, { month: 'short' });
  return `${month(from) === month(last) ? format(from, zone, { day: 'numeric' }) : day(from, zone)} – ${day(last, zone)}`;
}

/** Where a bucket begins, by its unit: an hour as a clock, a month as its name, anything else as a date. */
export function bucket(time, unit, zone, long = false) {
  if (/^\d+(m|h)$/.test(unit)) return long ? `${day(time, zone)}, ${clock(time, zone)}` : clock(time, zone);
  if (/^\d+(mo|q)$/.test(unit)) return format(time, zone, { month: long ? 'long' : 'short', year: 'numeric' });
  if (/^\d+y$/.test(unit)) return format(time, zone, { year: 'numeric' });
  return long ? format(time, zone, { weekday: 'long', day: 'numeric', month: 'long' }) : day(time, zone);
}

/** "each hour by itself". */
export function unitWord(unit) {
  const [, many, letter] = /^(\d+)([a-z]+)$/.exec(unit) ?? [null, '1', 'd'];
  const word = { m: 'minutes', h: 'hour', d: 'day', w: 'week', mo: 'month', q: 'quarter', y: 'year' }[letter] ?? 'stretch';
  return many === '1' ? word : `${many} ${word.replace(/s$/, '')}s`;
}

/** "2 minutes", of milliseconds: for ages. */
export function age(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  const [amount, unit] = seconds < 90 ? [seconds, 'second'] : seconds < 5400 ? [Math.round(seconds / 60), 'minute']
    : seconds < 129600 ? [Math.round(seconds / 3600), 'hour'] : [Math.round(seconds / 86400), 'day'];
  return `${amount} ${unit}${amount === 1 ? '' : 's'}`;
}

const regions = new Intl.DisplayNames('en-GB', { type: 'region', fallback: 'none' });

/** The name of a country of two letters, or null. */
export function country(code) {
  if (!/^[A-Za-z]{2}$/.test(code)) return null;
  try {
    return regions.of(code.toUpperCase()) ?? null;
  } catch {
    return null;
  }
}

/** What a value is shown as: DE of a country as Germany, mobile of a device as Mobile, others as they are. */
export function valueName(dimension, value) {
  if (value === '') return '(empty)';
  if (/country|land|region/.test(dimension)) return country(value) ?? value;
  return /^[a-z][a-z ]*$/.test(value) && /device|platform|channel|source|medium|step|event|action/.test(dimension) ? capital(value) : value;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** "Devices" of device, "Countries" of country. */
export function plural(dimension) {
  const word = capital(dimension.replaceAll(/[_-]/g, ' '));
  if (/[^aeiou]y$/.test(word)) return `${word.slice(0, -1)}ies`;
  return /(s|x|ch|sh)$/.test(word) ? `${word}es` : `${word}s`;
}

export const singular = (dimension) => capital(dimension.replaceAll(/[_-]/g, ' '));
