// The four cards: visitors now, today, of 7 and of 30 days, each with its change and a small line.

import { button, h, s } from './dom.js';
import { change, count, plain } from './numbers.js';
import { copyTool, figureParts, instead, outdated, blanks } from './parts.js';
import { beforeRange, clock, stretch } from './words.js';

const WIDTH = 280, HEIGHT = 36; // of a small line, which is stretched to its card

/** A card. `entry` is {panel, waiting}; `chosen` says that the range of the page is that of the card. */
export function card({ name, title, entry, chosen, selectable }) {
  const { panel } = entry;
  const label = h('div', { class: 'label' }, name === 'now' && h('span', { class: 'dot', 'aria-hidden': 'true' }), h('h2', { id: `title-${name}` }, title),
    outdated(panel), h('span', { class: 'tools' }, copyTool(panel, title)));
  const pick = selectable && button('range', { class: 'pick', 'aria-label': `Show ${title.toLowerCase()} below`, 'aria-pressed': String(chosen) },
    { range: name, key: `pick-${name}` });
  return h('section', { class: `panel card w3${chosen ? ' chosen' : ''}`, 'aria-labelledby': `title-${name}`, 'data-key': `panel-${name}`, 'data-panel': name },
    pick, label, cardBody(name, entry));
}

function cardBody(name, { panel, waiting }) {
  if (!panel) return waiting ? blanks([40, 14, 40]) : null;
  if (!panel.answer) return panel.problem ? instead(panel.problem, false) : null;
  const { unique, unique_change: changed, spark } = panel.answer;
  const figure = count(unique);
  return [h('p', { class: 'big', title: figure?.likely ?? '' }, figureParts(figure, { exact: 'exact' })), versus(name, panel.answer, changed, figure),
    sparkline(spark)];
}

function versus(name, answer, changed, figure) {
  if (!changed) return h('p', { class: 'versus' }, figure?.kind === 'exact' ? 'counted exactly' : figure?.likely ?? 'not known');
  if (name === 'now') {
    const minutes = Math.round((answer.to - answer.from) / 60000);
    const before = changed.previous === null ? 'not known' : plain(Math.round(changed.previous));
    return h('p', { class: 'versus' }, h('b', {}, before), ` in the ${Math.max(5, minutes)} minutes before`);
  }
  if (changed.previous === null) return h('p', { class: 'versus' }, `nothing known of ${beforeRange(name)}`);
  if (changed.change === null) return h('p', { class: 'versus' }, `nobody ${name === 'today' ? 'yesterday until now' : `in ${beforeRange(name)}`}`);
  const words = change(changed.change);
  const { compared_from: from, compared_to: to, previous_from: earlier, previous_to: until, zone } = answer;
  const times = from !== null && earlier !== null ? `${stretch(from, to, zone)} beside ${stretch(earlier, until, zone)}: ` : '';
  const before = name === 'today' && until !== null ? `yesterday until ${clock(until, zone)}` : beforeRange(name);
  return h('p', { class: 'versus', title: times + words.full }, h('b', { class: words.direction }, words.text), ` vs ${before}`);
}

function sparkline(spark) {
  const points = (spark?.points ?? []).map((point) => point.unique ?? 0);
  if (points.length < 2) return h('div', { class: 'spark' });
  const most = Math.max(...points, 1) * 1.06;
  const at = points.map((value, i) => `${((i / (points.length - 1)) * WIDTH).toFixed(1)} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 3)).toFixed(1)}`);
  const closed = spark.unfinished ? at.slice(0, -1) : at;
  return s('svg', { class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    s('path', { class: 'ground', d: `M${at.join('L')}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` }),
    s('path', { class: 'line', d: `M${closed.join('L')}` }),
    spark.unfinished && s('path', { class: 'line open', d: `M${at.at(-2)}L${at.at(-1)}` }));
}
