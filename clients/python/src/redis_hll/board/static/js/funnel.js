// The funnel by device, or by whatever the board is told: solid to the lower bound, pale to the upper one, all on one scale.

import { bar, h } from './dom.js';
import { count, percent, plain } from './numbers.js';
import { figureParts, frame } from './parts.js';

export function funnel({ name, title, width, panel, label }, fallback) {
  const answer = panel?.answer;
  const head = { name, title, width, panel, sub: answer?.by ? `by ${answer.by}` : '' };
  if (!answer) return frame(head, fallback);
  if (answer.rows.length === 0) return frame(head, h('p', { class: 'muted none-there' }, 'Nobody in this time.'));
  const most = Math.max(1e-9, ...answer.rows.flatMap((row) => row.steps.slice(1).map((step) => step.overall?.upper ?? step.overall?.estimate ?? 0)));
  return frame(head,
    h('table', { class: 'funnel' },
      h('thead', {}, h('tr', {}, h('td', {}), answer.rows.map((row) => h('th', { scope: 'col' }, row.value === null ? 'All' : label(answer.by, row.value))))),
      h('tbody', {}, answer.steps.map((step, at) => h('tr', { 'data-key': `step-${step}` }, h('th', { scope: 'row', title: step }, label(answer.dimension, step)),
        answer.rows.map((row) => cell(row.steps[at], at, most)))))),
    h('p', { class: 'foot' }, `Share of those with the first step who did this one and all before it, in any order. All bars are on one scale.${
      answer.more ? ` ${plain(answer.more)} more not shown.` : ''}`));
}

function cell(step, at, most) {
  if (!step) return h('td', {});
  const people = count(step.users);
  if (at === 0) return h('td', { title: people?.likely }, h('div', { class: 'steptext' }, h('span', {}, figureParts(people, { exact: 'exact' }))));
  const share = percent(step.overall, 0.1);
  if (!share) return h('td', {}, h('div', { class: 'steptext' }, figureParts(null)));
  const rough = share.kind === 'range';
  return h('td', { title: share.likely },
    bar(step.overall.lower ?? 0, step.overall.upper ?? most, most, { cls: 'step', solid: !rough, least: 0.004 }),
    h('div', { class: 'steptext' }, h('span', {}, figureParts(share)), !rough && h('span', { class: 'people' }, people.text)));
}
