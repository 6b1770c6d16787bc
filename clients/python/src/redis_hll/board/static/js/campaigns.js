// Campaigns: who saw, clicked and bought, what that cost each, and what it brought. On small screens a block for each.

import { h } from './dom.js';
import { cash, change, count, money, percent, plain, SPACE } from './numbers.js';
import { frame } from './parts.js';
import { spokenRange } from './words.js';

export function campaigns({ name, title, width, panel, view, label, currency }, fallback) {
  const answer = panel?.answer;
  const head = { name, title, width, panel, sub: spokenRange(view.range) };
  if (!answer) return frame(head, fallback);
  if (answer.rows.length === 0) return frame(head, h('p', { class: 'muted none-there' }, 'Nobody in this time.'));
  const columns = [
    ['Saw it', (row) => figureCell(count(row.impressions)), label(answer.dimension, answer.impression)],
    ['Clicked', (row) => figureCell(count(row.clicks)), label(answer.dimension, answer.click)],
    ['CTR', (row) => figureCell(percent(row.ctr, 0.1)), 'Of those who saw it, how many clicked'],
    ['Bought', (row) => figureCell(count(row.conversions)), label(answer.dimension, answer.conversion)],
    answer.cost && ['Cost', (row) => cash(row.cost, currency)],
    answer.cost && ['per click', (row) => figureCell(money(row.cpc, currency)), 'Cost for each visitor who clicked'],
    answer.cost && ['per buyer', (row) => figureCell(money(row.cpa, currency)), 'Cost for each visitor who bought'],
    answer.revenue && ['Revenue', (row) => cash(row.revenue, currency)],
    answer.cost && answer.revenue && ['Return', (row) => returned(row.roi), '(Revenue − cost) ÷ cost'],
  ].filter(Boolean);
  return frame(head,
    h('table', { class: 'campaigns' },
      h('thead', {}, h('tr', {}, h('th', { scope: 'col' }, 'Campaign'), columns.map(([word, , title]) => h('th', { scope: 'col' }, title ? h('abbr', { title }, word) : word)))),
      h('tbody', {}, answer.rows.map((row) => h('tr', { 'data-key': `campaign-${row.value}` }, h('th', { scope: 'row' }, label(answer.by, row.value)),
        columns.map(([word, cell]) => h('td', { 'data-label': word }, cell(row))))))),
    h('p', { class: 'foot' }, `Cost and revenue are exact sums. People are counted once, however often they clicked. A dotted range: too few people to name one number.${
      answer.more ? ` ${plain(answer.more)} more not shown.` : ''}`));
}

function figureCell(figure) {
  if (!figure) return '–';
  if (figure.kind === 'range') return h('span', { class: 'rough', title: `Too few people to say more: ${figure.likely}` }, figure.text);
  return [h('span', { title: figure.likely }, figure.text), h('span', { class: 'plus' }, figure.plus)];
}

/** A return on cost, in words of its sign and size: +309 %. */
function returned(roi) {
  if (!roi) return '–';
  const words = change(roi);
  const size = `${roi.estimate > 0 ? '+' : ''}${plain(Math.round(100 * roi.estimate))}${SPACE}%`;
  return h('span', { class: `change ${words.direction}`, title: words.full }, size);
}
