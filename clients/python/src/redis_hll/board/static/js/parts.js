// What several panels are made of: frames with a title and tools, figures with their ±, and what stands where no numbers are.

import { button, h, icon } from './dom.js';
import { clock } from './words.js';

/** The elements of a figure of numbers.js: the number and its ±, or a dotted range. */
export function figureParts(figure, { strong = 'b', exact = '' } = {}) {
  if (!figure) return h('span', { class: 'rough', title: 'not known' }, '–');
  if (figure.kind === 'range') return h('span', { class: 'rough', title: `Too few to name one number: ${figure.likely}` }, figure.text);
  const plus = figure.kind === 'exact' ? exact : figure.plus;
  return [h(strong, {}, figure.text), plus && [' ', h('span', { class: 'plus' }, plus)]];
}

/** Copies the commands that were sent for a panel. */
export function copyTool(panel, what) {
  return panel?.commands?.length ? button('copy', { class: 'tool', title: 'Copy as command', 'aria-label': `Copy ${what} as command` },
    { panel: panel.panel, key: `copy-${panel.panel}` }, icon('command')) : null;
}

/** A frame in the grid; `panel` is the answer that its figures are of, whose problem is said in it. */
export function frame({ name, width = '', title, sub = '', panel, tools = [] }, ...body) {
  return h('section', { class: `panel ${width}`, 'aria-labelledby': `title-${name}`, 'data-key': `panel-${name}`, 'data-panel': name },
    h('div', { class: 'head' }, h('h2', { id: `title-${name}` }, title), sub && h('span', { class: 'sub' }, sub), outdated(panel),
      h('div', { class: 'tools' }, tools, copyTool(panel, title))),
    body);
}

/** The mark of numbers that could not be had anew for a reason of their own. (That the server is gone is said once, above all.) */
export function outdated(panel) {
  if (!panel?.problem || !panel.answer || panel.problem.kind === 'gone') return null;
  const text = `From ${clock(panel.at, panel.answer.zone ?? 'UTC')}: ${panel.problem.text}`;
  return h('span', { class: 'outdated', title: text }, icon('warning'), h('span', { class: 'hidden' }, text));
}

/** What stands in a frame instead of numbers: an explanation, and what to type where that helps. */
export function instead(problem, filtered) {
  const lead = { empty: 'Nothing yet. ', no_cube: 'No such cube. ', no_group: 'Not kept together with this filter. ', unanswerable: 'Not with this filter. ', not_kept: 'Not kept that long. ',
    not_configured: 'Not set up. ', not_allowed: 'Not allowed. ', busy: 'The server is busy. ', gone: 'The server does not answer. ' }[problem.kind] ?? 'No answer. ';
  const failed = ['refused', 'busy', 'gone', 'wrong_type', 'no_module', 'not_allowed'].includes(problem.kind);
  return h('div', { class: `instead${failed ? ' failed' : ''}` }, failed && icon('warning'),
    h('p', {}, h('b', {}, lead)), h('p', { class: 'muted' }, problem.text),
    problem.fix && h('code', {}, problem.fix),
    filtered && ['no_group', 'unanswerable'].includes(problem.kind) && button('unfilter', { class: 'link' }, {}, 'Show all visitors'));
}

/** Grey blocks of about the size of what is to come; `shape` names their heights. */
export const blanks = (shape) => h('div', { class: 'blanks', 'aria-hidden': 'true' }, shape.map((size) => h('div', { class: `blank b${size}` })));
