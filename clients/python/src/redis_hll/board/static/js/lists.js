// Lists: the values of a dimension with most visitors, each a button that filters by it.

import { bar, button, h } from './dom.js';
import { change, count, plain } from './numbers.js';
import { frame } from './parts.js';
import { country, plural, singular } from './words.js';

const orders = new Map(); // of each list the order in which its rows stand, which is kept under pointer and focus

/** A list; `wide` has events and changes too. */
export function list({ name, title, dimension, width, wide, panel, view, label, held }, fallback) {
  const answer = panel?.answer;
  const head = { name, title, panel, width: `list ${width}${wide ? ' wide' : ''}` };
  if (!answer) return frame(head, fallback);
  const rows = inOrder(name, answer.rows, held);
  const most = Math.max(1, ...rows.map((row) => row.unique?.upper ?? row.unique?.estimate ?? 0));
  const compared = answer.rows.some((row) => row.unique_change);
  const chosen = view.filters[dimension];
  if (rows.length === 0) return frame(head, h('p', { class: 'muted none-there' }, 'None in this time.'));
  return frame(head,
    h('div', { class: 'rowhead', 'aria-hidden': 'true' }, h('span', {}, singular(dimension)), h('span', {}, 'Visitors'), h('span', {}),
      wide && [h('span', { class: 'extra' }, 'Events'), h('span', { class: 'extra' }, compared ? 'Change' : '')]),
    h('ul', { class: 'rows' }, rows.map((row) => h('li', { 'data-key': `${name}=${row.value}` }, rowButton(row, { dimension, most, wide, chosen, label })))),
    foot(answer, rows.length));
}

function inOrder(name, rows, held) {
  const known = held && orders.get(name);
  const place = (row) => {
    const at = known.indexOf(row.value);
    return at < 0 ? known.length : at;
  };
  const sorted = known ? [...rows].sort((a, b) => place(a) - place(b)) : rows;
  orders.set(name, sorted.map((row) => row.value));
  return sorted;
}

function rowButton(row, { dimension, most, wide, chosen, label }) {
  const figure = count(row.unique);
  const code = /country|land|region/.test(dimension) && country(row.value) ? row.value.toUpperCase() : null;
  const shown = figure?.kind === 'range' ? h('span', { class: 'rough value' }, figure.text) : h('span', { class: 'value' }, figure?.text ?? '–');
  return button('filter', { class: 'row', 'aria-pressed': String(chosen === row.value), title: figure?.likely ?? '' },
    { dimension, value: row.value, key: `row-${dimension}=${row.value}` },
    row.unique && bar(row.unique.lower ?? 0, row.unique.upper ?? most, most, { cls: 'ground' }),
    h('span', { class: 'name', title: row.value }, h('span', { class: 'hidden' }, 'Only '), code && h('span', { class: 'code' }, code), label(dimension, row.value)),
    shown, h('span', { class: 'plus' }, figure?.kind === 'exact' ? 'exact' : figure?.plus ?? ''),
    wide && [h('span', { class: 'extra muted' }, row.events === null ? '–' : plain(row.events)), changeCell(row.unique_change)]);
}

function changeCell(changed) {
  if (!changed) return h('span', { class: 'extra' });
  const words = change(changed.change);
  return h('span', { class: `extra change ${words.direction}`, title: words.full }, ['up', 'down'].includes(words.direction) ? words.text : '–');
}

function foot(answer, shown) {
  const sentences = [];
  if (answer.other_events > 0 && answer.events) {
    const share = (100 * answer.other_events) / answer.events;
    sentences.push(`Less-seen ${plural(answer.dimension).toLowerCase()} are kept together as (other): ${share < 0.1 ? 'under 0.1' : plain(share, share < 10 ? 1 : 0)} % of events. `
      + `A ${singular(answer.dimension).toLowerCase()} may have up to that many more.`);
  }
  if (answer.values > shown && shown >= 10) {
    sentences.push(`${plain(answer.values - shown)} more ${answer.values - shown === 1 ? singular(answer.dimension).toLowerCase() : plural(answer.dimension).toLowerCase()}.`);
  }
  return sentences.length > 0 && h('p', { class: 'foot' }, sentences.join(' '));
}
