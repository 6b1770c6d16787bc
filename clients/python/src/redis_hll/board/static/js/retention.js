// Who comes back: a row for each week's newcomers, a cell for each week after it, coloured by the share that was there.

import { h } from './dom.js';
import { count, percent } from './numbers.js';
import { frame } from './parts.js';
import { bucket, capital, unitWord } from './words.js';

const LEVELS = 10; // colours h0 to h9 of panels.css

export function retention({ name, title, width, panel }, fallback) {
  const answer = panel?.answer;
  const word = unitWord(answer?.every ?? '1w');
  const head = { name, title, width, panel, sub: `new visitors by ${word}, seen again` };
  if (!answer) return frame(head, fallback);
  const rows = answer.rows.filter((row) => row.periods.some((period) => period.period > 0 && period.rate));
  if (rows.length === 0) return frame(head, h('p', { class: 'muted none-there' }, `Nobody has had a ${word} to come back yet.`));
  const periods = Math.max(...rows.map((row) => row.periods.length)) - 1;
  const sure = rows.flatMap((row) => row.periods.filter((period) => period.period > 0 && period.rate && percent(period.rate, 1).kind !== 'range'));
  const most = Math.max(1e-9, ...sure.map((period) => period.rate.estimate));
  return frame(head,
    h('table', { class: 'heat' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, `${capital(word)} of`),
        Array.from({ length: periods }, (_, at) => h('th', { scope: 'col' }, `+${at + 1}`, h('span', { class: 'period-word' }, ` ${word}${at ? 's' : ''}`))))),
      h('tbody', {}, rows.map((row) => h('tr', { 'data-key': `cohort-${row.cohort}` },
        h('th', { scope: 'row' }, bucket(row.cohort, answer.every, answer.zone), h('small', {}, sizeWords(row.size))),
        Array.from({ length: periods }, (_, at) => cell(row.periods[at + 1], most)))))),
    h('p', { class: 'foot' }, h('span', { class: 'scale' }, 'few ', h('i', {}), ' many'), h('span', { class: 'scale' }, h('i', { class: 'rough-key' }), ' too rough to colour'),
      h('span', { class: 'scale' }, h('i', { class: 'open-key' }), ' so far')));
}

function sizeWords(size) {
  const figure = count(size);
  return figure ? figure.text : 'not known';
}

function cell(period, most) {
  const share = period && percent(period.rate, 1);
  if (!share) return h('td', {});
  const title = `${share.likely}${period.unfinished ? ', so far' : ''}`;
  const open = period.unfinished ? ' open' : '';
  if (share.kind === 'range') return h('td', { class: `rough-cell${open}`, title }, share.text.replace('under\u00a0', '<'));
  const level = Math.min(LEVELS - 1, Math.max(0, Math.floor((LEVELS * period.rate.estimate) / most)));
  return h('td', { class: `h${level}${open}`, title }, share.text, share.plus && h('small', {}, share.plus));
}
