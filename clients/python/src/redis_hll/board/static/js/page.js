// The page as elements, made of what is known: filters and banners, then the grid of panels in their places.

import { campaigns } from './campaigns.js';
import { card } from './cards.js';
import { button, h, icon } from './dom.js';
import { funnel } from './funnel.js';
import { list } from './lists.js';
import { blanks, instead } from './parts.js';
import { retention } from './retention.js';
import { newcomers, visitors } from './series.js';
import { note, server, sketches } from './server.js';
import { age, clock, singular } from './words.js';

const CARDS = ['now', 'today', '7d', '30d'];
const SHAPES = { series: [20, 344], newcomers: [20, 344], funnel: [28, 28, 28, 28, 28, 28], retention: [28, 28, 28, 28, 28, 28, 28], campaign: [28, 28, 28, 28], state: [20], sketches: [28, 28] };
const ROWS = [28, 28, 28, 28, 28, 28, 28, 28];

/** Everything in `main`. `known` is {dataset, view, live, link, label, tables, held, patience}. */
export function page(known) {
  const { dataset, live, link } = known;
  const state = live.status?.dataset;
  if (live.wrong) return [filters(known), banner(link, live, dataset), note()];
  return [filters(known), banner(link, live, dataset), state === 'empty' || state === 'missing' ? h('div', { class: 'grid', 'data-key': 'grid-empty' }, emptyPanel(live.status, dataset), strip(known))
    : h('div', { class: 'grid', 'data-key': `grid-${dataset.name}` }, panels(known)), note()];
}

function filters({ dataset, view, label, narrow }) {
  const chosen = Object.entries(view.filters);
  return h('div', { class: 'filters', 'data-key': 'filters' },
    chosen.map(([dimension, value]) => h('span', { class: 'chip', 'data-key': `chip-${dimension}` }, `${singular(dimension)} `, h('b', {}, label(dimension, value)),
      button('drop', { 'aria-label': `Remove filter ${singular(dimension)} ${label(dimension, value)}` }, { dimension }, icon('close', 14)))),
    chosen.length ? button('unfilter', { class: 'link' }, {}, 'Clear') : h('p', { class: 'hint' }, dataset.kind === 'sketches' ? 'Sketches by their keys.' : narrow ? 'Choose any row to filter.' : 'All visitors. Choose any row below to see only those.'),
    button('meaning', { class: 'link end' }, {}, 'What ± means'));
}

function banner(link, live, dataset) {
  const bar = (kind, lead, more, role) => h('div', { class: `banner ${kind}`, role, 'data-key': `banner-${kind}` }, icon('warning'), h('p', {}, h('b', {}, lead), ' ', more));
  if (live.refused && live.wrong) {
    return h('div', { class: 'banner', role: 'alert', 'data-key': 'banner-refused' }, icon('warning'), h('p', {}, h('b', {}, 'The board does not answer this. '), live.refused, ' ',
      button('reset', { class: 'link' }, {}, 'Show everything of the last 30 days')));
  }
  if (live.refused) return bar('full', 'The board has no room. ', `${live.refused}. The page tries again by itself.`, 'alert');
  const since = () => clock(link.since, dataset.zone);
  if (link.state === 'gone') return bar('gone', `The server does not answer since ${since()}.`, 'Below is what it said last. Nothing is lost by this; the page goes on by itself.', 'alert');
  if (link.state === 'lost') return bar('gone', `The board does not answer since ${since()}.`, 'Below is what it said last; the page goes on by itself.', 'alert');
  if (link.state === 'stale') return bar('stale', `These numbers are ${age(Date.now() - link.since)} old.`, 'The board is trying to reach the server again.', 'status');
  return null;
}

function emptyPanel(status, dataset) {
  const { problem } = status;
  return h('section', { class: 'panel w12', 'aria-label': 'Nothing there yet', 'data-key': 'panel-empty' }, h('div', { class: 'instead' },
    h('p', {}, h('b', {}, problem?.text ?? `${dataset.title} is there, and empty.`)),
    h('p', { class: 'muted' }, 'It shows numbers as soon as the first event arrives; nothing needs to be reloaded. By hand:'), problem?.fix && h('code', {}, problem.fix),
    dataset.key && [h('p', { class: 'muted' }, 'Or from a file that you have:'), h('code', {}, `redis-hll load events.csv --cube ${dataset.key}`)]));
}

/** What stands in a panel that has no answer. */
function fallback(name, { panel, waiting }, view) {
  if (panel?.problem) return instead(panel.problem, Object.keys(view.filters).length > 0);
  return waiting ? blanks(SHAPES[name] ?? ROWS) : h('div', { class: 'blanks waiting' });
}

function strip(known) {
  if (!known.dataset.panels.some((panel) => panel.name === 'state')) return null;
  const entry = known.live.entry('state', known.patience);
  return server({ panel: entry.panel, zone: known.dataset.zone }, fallback('state', entry, known.view));
}

function panels(known) {
  const { dataset, view, live, label, patience } = known;
  const shown = new Map(dataset.panels.filter((panel) => !panel.problem).map((panel) => [panel.name, panel]));
  const make = (build, name, more) => {
    if (!shown.has(name)) return null;
    const entry = live.entry(name, patience);
    return build({ name, title: shown.get(name).title, panel: entry.panel, view, label, dataset, currency: dataset.currencySign, ...more }, fallback(name, entry, view));
  };
  const wrong = blocked(known);
  if (wrong) {
    // Lists leave out the filter on themselves, and so may have numbers: there another value can be chosen.
    const left = [...shown.keys()].filter((name) => name.startsWith('list.') && live.entry(name, patience).panel?.answer);
    return [h('section', { class: 'panel w12', 'aria-label': 'Not kept together', 'data-key': 'panel-blocked' }, instead(wrong, true)),
      left.map((name) => make(list, name, { dimension: shown.get(name).dimension, width: 'w6', wide: true, held: known.held(name) })), strip(known)];
  }
  const both = (left, right, leftWidth, rightWidth, makeLeft, makeRight) => [makeLeft(shown.has(right) ? leftWidth : 'w12'), makeRight(shown.has(left) ? rightWidth : 'w12')];
  return [
    CARDS.filter((name) => shown.has(name)).map((name) => card({ name, title: shown.get(name).title, entry: live.entry(name, patience), chosen: view.range === name, selectable: name !== 'now' })),
    both('series', 'newcomers', 'w8', 'w4', (width) => make(visitors, 'series', { width, figures: live.entry('figures', patience).panel, table: known.tables.has('series') }), (width) => make(newcomers, 'newcomers', { width })),
    lists(known, shown, make),
    make(campaigns, 'campaign', { width: 'w12' }),
    both('funnel', 'retention', 'w5', 'w7', (width) => make(funnel, 'funnel', { width }), (width) => make(retention, 'retention', { width })),
    make(sketches, 'sketches', {}),
    missing(dataset),
    strip(known),
  ];
}

/** Why not even the cards can be had under these filters, or null: then it is said once and not in every panel. */
function blocked({ live, view, patience }) {
  if (Object.keys(view.filters).length === 0) return null;
  const problems = CARDS.map((name) => live.entry(name, patience).panel).filter((panel) => panel && !panel.answer).map((panel) => panel.problem);
  const of = problems.filter((problem) => ['no_group', 'unanswerable'].includes(problem?.kind));
  return of.length === CARDS.length ? of[0] : null;
}

/** Lists in rows of twelve: a wide one, one, and two shorter ones above each other; more of them in rows of up to four. */
function lists(known, shown, make) {
  const named = [...shown.values()].filter((panel) => panel.dimension !== null && panel.name.startsWith('list.'));
  const first = named.find((panel) => /page|path|url/.test(panel.dimension)) ?? named[0];
  const rest = named.filter((panel) => panel !== first);
  const one = (panel, width, wide = false) => make(list, panel.name, { dimension: panel.dimension, width, wide, held: known.held(panel.name) });
  if (!first) return null;
  if (rest.length === 0) return one(first, 'w12', true);
  if (rest.length === 1) return [one(first, 'w6', true), one(rest[0], 'w6', true)];
  const length = (panel) => known.live.panels.get(panel.name)?.panel.answer?.rows.length ?? 0;
  if (rest.length === 2) return [one(first, 'w6', true), ...rest.map((panel) => one(panel, 'w3 half'))];
  // The two that are known to be short stand above each other; which they are is settled once, so that panels do not jump.
  known.short.set(dataset(known), known.short.get(dataset(known)) ?? settle(rest, length));
  const short = known.short.get(dataset(known)) ?? [];
  const stacked = rest.filter((panel) => short.includes(panel.name));
  const pair = stacked.length === 2 ? stacked : rest.slice(1, 3);
  const [beside, ...more] = rest.filter((panel) => !pair.includes(panel));
  const width = { 1: 'w12', 2: 'w6', 3: 'w4' }[more.length] ?? 'w3';
  return [one(first, 'w6', true), one(beside, 'w3 half'), h('div', { class: 'stack w3 sidelists', 'data-key': 'sidelists' }, pair.map((panel) => one(panel, ''))),
    more.map((panel) => one(panel, width, more.length < 3))];
}

const dataset = (known) => known.dataset.name;

function settle(rest, length) {
  if (rest.some((panel) => length(panel) === 0)) return undefined;
  return [...rest].sort((a, b) => length(a) - length(b)).slice(0, 2).map((panel) => panel.name);
}

/** Panels that this cube cannot fill, and what would make it. */
function missing({ panels }) {
  const without = panels.filter((panel) => panel.problem && panel.name !== 'state');
  if (without.length === 0) return null;
  return h('section', { class: 'panel w12', 'aria-labelledby': 'title-missing', 'data-key': 'panel-missing' }, h('div', { class: 'head' }, h('h2', { id: 'title-missing' }, 'What this cube could show too')),
    h('dl', { class: 'missing' }, without.map((panel) => h('div', { 'data-key': panel.name }, h('dt', {}, panel.title), h('dd', {}, panel.problem.text, panel.problem.fix && [' ', h('code', {}, panel.problem.fix)])))));
}
