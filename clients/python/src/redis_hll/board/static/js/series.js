// The two panels with charts: visitors and events with the key figures, and new beside returning.

import { button, h, icon, s } from './dom.js';
import { chartElement, updateChart } from './charts.js';
import { cash, count, money, percent, plain, ratio } from './numbers.js';
import { newcomersOption, visitorsOption } from './options.js';
import { figureParts, frame } from './parts.js';
import { bucket, capital, isoDate, spokenRange, unitWord } from './words.js';

const HOUR = 3600000;

/** Visitors and events; `figures` is the panel of the key figures. */
export function visitors({ name, title, width, panel, figures, view, label, dataset, table }, fallback) {
  const answer = panel?.answer;
  const toggle = button('table', { class: 'tool', 'aria-pressed': String(table), 'aria-label': 'Show visitors as a table', title: 'As a table' }, { key: 'table-series' }, icon('table'));
  const head = { name, title, width, panel, sub: spokenRange(view.range), tools: answer ? [toggle] : [] };
  if (!answer) return frame(head, keyFigures(figures, dataset, label), fallback);
  return frame(head, keyFigures(figures, dataset, label),
    h('p', { class: 'legend' }, mark('visitors', 'Visitors'), view.compare && mark('before', 'before'), mark('views', 'Events')),
    table ? rowsTable(answer, view.compare) : chartElement('visitors', visitorsLabel(answer, view)));
}

const mark = (kind, word) => h('span', {}, h('i', { class: `mark ${kind}` }), word);

function visitorsLabel(answer, view) {
  return `Visitors and events over ${spokenRange(view.range)}, ${answer.rows.length} points. Arrow keys move through them.`;
}

/** Brings the chart of visitors up to date, when it is on the page. */
export function updateVisitors(panel, view, onLoad) {
  const answer = panel?.answer;
  if (!answer) return;
  const { unit, zone, rows } = answer;
  const model = { question: panel.view, unit, zone, rows, slots: view.range === 'today' ? restOfDay(answer) : [], compared: view.compare };
  updateChart('visitors', model, visitorsOption, visitorsLabel(answer, view), onLoad);
}

/** The hours of today that are still to come. */
function restOfDay({ unit, zone, rows }) {
  if (unit !== '1h' || rows.length === 0) return [];
  const date = isoDate(rows[0].bucket, zone), coming = [];
  for (let time = rows.at(-1).bucket + HOUR; isoDate(time, zone) === date && coming.length < 25; time += HOUR) coming.push(time);
  return coming;
}

function keyFigures(panel, dataset, label) {
  const answer = panel?.answer;
  if (!answer && panel?.problem) return null;
  if (!answer) return h('dl', { class: 'keys', 'data-key': 'keys' }, h('div', {}, h('dt', {}, 'Events'), h('dd', {}, '\u00a0')));
  const { events, events_per_unique: each, converted, measures } = answer;
  const entry = (word, ...parts) => h('div', { 'data-key': `key-${word}` }, h('dt', {}, word), h('dd', {}, parts));
  const amount = (measure) => (dataset.money.includes(measure) ? dataset.currencySign : '');
  return h('dl', { class: 'keys', 'data-key': 'keys', 'data-panel': 'figures' },
    entry('Events', events === null ? '–' : plain(events)),
    each && entry('Events per visitor', figureParts(ratio(each), { strong: 'span' })),
    converted && entry(label('step', converted.step), figureParts(count(converted.unique), { strong: 'span' })),
    converted?.rate && entry('Conversion', figureParts(percent(converted.rate), { strong: 'span' })),
    measures.filter((measure) => measure.sum !== null).slice(0, 3).map((measure) => {
      const sign = amount(measure.name), isMoney = dataset.money.includes(measure.name);
      return [entry(capital(measure.name), isMoney ? cash(measure.sum, sign) : plain(measure.sum, Number.isInteger(measure.sum) ? 0 : 1)),
        measure.name !== 'cost' && measure.per_unique && entry(`${capital(measure.name)} per visitor`,
          figureParts(isMoney ? money(measure.per_unique, sign) : ratio(measure.per_unique), { strong: 'span' }))];
    }));
}

function rowsTable({ rows, unit, zone }, compared) {
  const columns = ['When', 'Visitors', 'likely', ...(compared ? ['Before'] : []), 'Events'];
  return h('div', { class: 'tablebox', tabindex: '0', role: 'region', 'aria-label': 'Visitors and events as a table' }, h('table', {},
    h('thead', {}, h('tr', {}, columns.map((word) => h('th', { scope: 'col' }, word)))),
    h('tbody', {}, [...rows].reverse().map((row) => {
      const figure = count(row.unique);
      return h('tr', { 'data-key': `row-${row.bucket}` }, h('th', { scope: 'row' }, bucket(row.bucket, unit, zone) + (row.unfinished ? ', so far' : '')),
        h('td', {}, figure?.text ?? '–'), h('td', { class: 'muted' }, (figure?.likely ?? '–').replace('likely ', '')),
        compared && h('td', { class: 'muted' }, row.unique_previous === null ? '–' : plain(Math.round(row.unique_previous))),
        h('td', {}, row.events === null ? '–' : plain(row.events)));
    }))));
}

/** New and returning. */
export function newcomers({ name, title, width, panel, view }, fallback) {
  const answer = panel?.answer;
  const head = { name, title, width, panel, sub: spokenRange(view.range) };
  if (!answer) return frame(head, fallback);
  return frame(head,
    h('dl', { class: 'pair' }, pairEntry('', 'Returning', answer.returning), pairEntry(' new', 'New', answer.new)), shareBar(answer),
    h('p', { class: 'legend' }, mark('visitors', 'Returning'), mark('new', 'New'), h('span', {}, `each ${unitWord(answer.unit)} by itself`)),
    chartElement('new', newcomersLabel(answer)));
}

const newcomersLabel = (answer) => `New and returning visitors, ${answer.rows.length} points. Arrow keys move through them.`;

/** Brings the chart of new and returning up to date, when it is on the page. */
export function updateNewcomers(panel, onLoad) {
  const answer = panel?.answer;
  if (!answer) return;
  updateChart('new', { question: panel.view, unit: answer.unit, zone: answer.zone, rows: answer.rows }, newcomersOption, newcomersLabel(answer), onLoad);
}

function pairEntry(kind, word, interval) {
  const figure = count(interval);
  return h('div', { title: figure?.likely ?? '' }, h('dt', {}, h('i', { class: `swatch${kind}` }), word), h('dd', {}, figureParts(figure, { strong: 'span' })));
}

/** What part is returning and what new: sure from both ends, pale where it may be either. */
function shareBar({ unique, new: fresh }) {
  if (!unique?.estimate || !fresh) return null;
  const share = (value) => Math.max(0, Math.min(100, 100 - (100 * value) / unique.estimate));
  const low = share(fresh.upper ?? unique.estimate), high = share(fresh.lower ?? 0), middle = share(fresh.estimate);
  const part = (cls, from, to) => s('rect', { class: cls, x: `${from.toFixed(2)}%`, width: `${Math.max(0, to - from).toFixed(2)}%`, height: '100%' });
  return s('svg', { class: 'share', role: 'img', 'aria-label': `About ${plain(middle)} % returning, ${plain(100 - middle)} % new` },
    part('sure', 0, low), part('maybe', low, middle), part('maybe-new', middle, high), part('sure-new', high, 100));
}
