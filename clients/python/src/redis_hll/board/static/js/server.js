// The strip about the server, the sketches that the board was told to show, and what ± means.

import { bar, h, icon } from './dom.js';
import { bytes, count, percent, plain, SPACE } from './numbers.js';
import { figureParts, frame } from './parts.js';
import { capital, clock, day } from './words.js';

export function server({ panel, zone }, fallback) {
  const attributes = { class: 'panel w12', 'aria-label': 'The server', 'data-key': 'panel-state', 'data-panel': 'state' };
  if (!panel?.answer) return h('section', attributes, fallback);
  const { server: engine, cube, module, alerts } = panel.answer;
  return h('section', attributes, h('dl', { class: 'server' },
    engine && item('Server', `${capital(engine.name)} ${engine.version}`, module && `module ${module.version}`),
    module && item('Keys', `${many(module.cube_keys, 'cube')}, ${many(module.sketch_keys, 'sketch', 'sketches')}`, cube ? many(cube.slices, 'slice') : bytes(module.sketch_bytes)),
    cube && item('Memory', cube.max_bytes ? `${bytes(cube.memory_bytes)} of ${bytes(cube.max_bytes)}` : bytes(cube.memory_bytes),
      cube.max_bytes ? bar(cube.memory_bytes, cube.memory_bytes, cube.max_bytes, { cls: 'meter' }) : 'no limit'),
    cube && item('Events', cube.events_per_second === null ? 'measuring' : `${rate(cube.events_per_second)} a second`,
      cube.events_today === null ? null : `${plain(cube.events_today)} today`),
    cube && item('Late', lateShare(cube), `${many(cube.late, 'event')}, counted${cube.too_late ? `; ${plain(cube.too_late)} too late` : ''}`),
    module && item('Long answers', module.long_answers.running ? `${plain(module.long_answers.running)} running` : 'none running',
      `${plain(module.long_answers.done)} given${module.long_answers.refused ? `, ${plain(module.long_answers.refused)} refused` : ''}`),
    alerts && alertItem(alerts, zone)));
}

const many = (amount, one, more = `${one}s`) => `${plain(amount)} ${amount === 1 ? one : more}`;
const item = (term, value, more) => h('div', {}, h('dt', {}, term), h('dd', {}, value, typeof more === 'string' ? h('small', {}, more) : more));
const rate = (perSecond) => plain(perSecond, perSecond > 0 && perSecond < 10 ? 1 : 0);

function lateShare({ late, events }) {
  if (!events || !late) return `0${SPACE}%`;
  const share = (100 * late) / events;
  return share < 0.01 ? `under 0.01${SPACE}%` : `${plain(share, share < 1 ? 2 : 1)}${SPACE}%`;
}

function alertItem(alerts, zone) {
  if (alerts.length === 0) return h('div', { class: 'alerts' }, h('dt', {}, 'Alerts'), h('dd', {}, 'none'));
  const [latest, ...others] = alerts;
  const off = percent({ estimate: latest.error_rate, lower: latest.error_rate, upper: latest.error_rate }, 0.1).text;
  return h('div', { class: 'alerts' }, h('dt', {}, 'Alerts'), h('dd', {}, icon('warning'), h('span', {}, `${latest.context} is ${off} off its exact count`,
    h('small', {}, `${latest.level} begins at ${plain(100 * latest.threshold, 0)} %, since ${day(latest.at, zone)}, ${clock(latest.at, zone)}${
      others.length ? `; ${many(others.length, 'more alert', 'more alerts')}` : ''}`))));
}

/** Plain sketches by their keys. */
export function sketches({ name, title, panel }, fallback) {
  const answer = panel?.answer;
  if (!answer) return frame({ name, title, panel, width: 'w12' }, fallback);
  return frame({ name, title, panel, width: 'w12' }, h('dl', { class: 'sketches' }, answer.rows.map((row) => {
    const figure = count(row.estimate);
    return h('div', { 'data-key': `sketch-${row.key}`, title: figure?.likely ?? '' }, h('dt', { title: row.key }, row.title),
      h('dd', {}, row.problem ? h('span', { class: 'muted', title: row.problem.text }, row.problem.text) : figureParts(figure, { strong: 'span', exact: 'exact' })));
  })));
}

/** What solid, pale and ± mean. */
export function note() {
  return h('div', { class: 'note', id: 'note', tabindex: '-1' }, bar(72, 92, 100, { cls: 'note-bar' }),
    h('p', {}, 'Solid is sure, pale is may be. Visitors are estimated: ± says how far the true number may be off, and holds 19 times out of 20. '
      + 'Events, amounts and small numbers are counted exactly.'));
}
