// What is asked for, kept in the address, so that a page can be sent to somebody, reloaded, and left with Back:
// #range=30d&device=mobile&compare=0. Every name that is not of this file is a dimension and its value a filter.

import { DEFAULT_RANGE } from './words.js';

const OWN = ['cube', 'range', 'from', 'to', 'compare', 'theme'];
const DIMENSION = 'dim.'; // before the name of a dimension that is called like one of the above
const DATE = /^\d{4}-\d\d-\d\d$/;

/** {cube, range, from, to, compare, filters} of an address's fragment; `range` is "dates" where there are two. */
export function read(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ''));
  const from = given.get('from'), to = given.get('to');
  const dates = DATE.test(from ?? '') && DATE.test(to ?? '') && from <= to;
  const filters = {};
  for (const [name, value] of given) {
    if (name.startsWith(DIMENSION)) filters[name.slice(DIMENSION.length)] = value;
    else if (!OWN.includes(name) && name !== '') filters[name] = value;
  }
  return {
    cube: given.get('cube') ?? '',
    range: dates ? 'dates' : given.get('range') || DEFAULT_RANGE,
    from: dates ? from : '',
    to: dates ? to : '',
    compare: given.get('compare') !== '0',
    theme: ['dark', 'light'].includes(given.get('theme')) ? given.get('theme') : '',
    filters,
  };
}

/** The fragment for it; what is as usual is left out. */
export function write(state) {
  const wanted = new URLSearchParams();
  if (state.cube) wanted.set('cube', state.cube);
  if (state.range === 'dates') {
    wanted.set('from', state.from);
    wanted.set('to', state.to);
  } else wanted.set('range', state.range);
  for (const [name, value] of Object.entries(state.filters)) {
    wanted.set(OWN.includes(name) || name.startsWith(DIMENSION) ? DIMENSION + name : name, value);
  }
  if (!state.compare) wanted.set('compare', '0');
  if (state.theme) wanted.set('theme', state.theme);
  return `#${wanted}`;
}
