// The board's page: starts it, listens to what is clicked, and draws what is known, at most four times a second.

import * as address from './address.js';
import { h, patch, write } from './dom.js';
import { ask, Live } from './live.js';
import { page } from './page.js';
import { updateNewcomers, updateVisitors } from './series.js';
import * as theme from './theme.js';
import { clock, isoDate, place, RANGES, spokenRange, stretch, valueName } from './words.js';

const BETWEEN_DRAWINGS = 250; // milliseconds
const PATIENCE = 300; // milliseconds until grey blocks stand for what has not come
const TICK = 1000;
const TOAST = 4000;
const byId = (id) => document.getElementById(id);
const narrow = matchMedia('(max-width: 760px)');

const tables = new Set(), short = new Map();
let view = address.read(location.hash);
let about = null, dataset = null, trouble = '';
let drawnAt = 0, waiting = 0, toasted = 0, link = '';

const live = new Live({ changed: schedule, restated: start });

theme.apply(view.theme);
document.addEventListener('click', clicked);
byId('datepanel').addEventListener('submit', datesChosen);
addEventListener('keydown', (event) => event.key === 'Escape' && !byId('datepanel').hidden && showDates(false));
addEventListener('popstate', () => show(address.read(location.hash), 'none'));
addEventListener('hashchange', () => show(address.read(location.hash), 'none'));
document.addEventListener('visibilitychange', () => live.pause(document.hidden));
narrow.addEventListener('change', schedule);
theme.onSystemChange(() => {
  theme.apply(view.theme);
  schedule();
});
setInterval(() => !document.hidden && schedule(), TICK);
live.pause(document.hidden);
start();

/** Asks what the board shows, and opens the stream of it. */
async function start() {
  try {
    about = await ask('api/about');
    trouble = '';
  } catch (error) {
    trouble = error.message;
    setTimeout(start, 2000);
    return schedule();
  }
  live.alive = 1000 * about.alive_seconds;
  for (const each of about.datasets) each.currencySign = sign(each.currency);
  const chooser = byId('dataset');
  chooser.replaceChildren(...about.datasets.map((each) => h('option', { value: each.name }, each.title)));
  chooser.hidden = about.datasets.length < 2;
  byId('title').classList.toggle('hidden', !chooser.hidden);
  follow();
}

function sign(currency) {
  if (!currency) return '';
  try {
    return new Intl.NumberFormat('en-GB', { style: 'currency', currency, currencyDisplay: 'narrowSymbol' }).formatToParts(1).find((part) => part.type === 'currency').value;
  } catch {
    return `${currency}\u00a0`;
  }
}

/** Opens the stream that the view wants. */
function follow() {
  dataset = about.datasets.find((each) => each.name === view.cube) ?? about.datasets[0];
  if (!dataset) trouble = 'The board was given nothing to show.';
  else live.open(dataset.name, view, dataset.panels.filter((panel) => !panel.problem || panel.name === 'state').map((panel) => panel.name));
  schedule();
}

/** Shows another view; `history` is push, replace or none. */
function show(wanted, history = 'push') {
  const same = address.write(wanted) === address.write(view);
  view = wanted;
  if (history === 'push' && !same) window.history.pushState(null, '', address.write(view));
  if (history === 'replace') window.history.replaceState(null, '', address.write(view));
  if (view.theme) theme.apply(view.theme);
  if (about && !same) follow();
  schedule();
}

const filtered = (filters) => show({ ...view, filters });

const actions = {
  filter({ dimension, value }) {
    const { [dimension]: before, ...others } = view.filters;
    filtered(before === value ? others : { ...view.filters, [dimension]: value });
  },
  drop({ dimension }) {
    const { [dimension]: _, ...others } = view.filters;
    filtered(others);
    settleFocus();
  },
  unfilter() {
    filtered({});
    settleFocus();
  },
  reset: () => show(address.read(view.cube ? `#cube=${encodeURIComponent(view.cube)}` : '')),
  range({ range }) {
    showDates(false, false);
    show({ ...view, range, from: '', to: '' });
  },
  compare: () => show({ ...view, compare: !view.compare }),
  theme() {
    theme.toggle();
    if (view.theme) show({ ...view, theme: '' }, 'replace');
    schedule();
  },
  dates: () => showDates(byId('datepanel').hidden),
  table() {
    if (!tables.delete('series')) tables.add('series');
    schedule();
  },
  copy: ({ panel }) => copy(live.panels.get(panel)?.panel.commands ?? []),
  meaning() {
    byId('note').scrollIntoView({ block: 'center' });
    byId('note').focus({ preventScroll: true });
  },
  skip: () => byId('main').focus(),
};

function clicked(event) {
  const target = event.target.closest('[data-act]');
  if (target) {
    if (target.tagName === 'A') event.preventDefault();
    actions[target.dataset.act](target.dataset);
  } else if (!event.target.closest('.datebox')) showDates(false, false);
}

byId('dataset').addEventListener('change', (event) => show({ ...view, cube: event.target.value, filters: {} }));

/** When what had the focus is gone, the focus goes to the numbers and not to the beginning of the page. */
function settleFocus() {
  setTimeout(() => document.activeElement === document.body && byId('main').focus({ preventScroll: true }), BETWEEN_DRAWINGS + 50);
}

async function copy(commands) {
  const text = commands.join('\n');
  let lead = commands.length === 1 ? 'Copied: the command behind these numbers' : 'Copied: the commands behind these numbers';
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    lead = 'This browser does not let the page copy. Behind these numbers:';
  }
  byId('toast').replaceChildren(lead, ...commands.map((command) => h('code', {}, command)));
  byId('toast').classList.add('shown');
  clearTimeout(toasted);
  toasted = setTimeout(() => byId('toast').classList.remove('shown'), TOAST + 1000 * commands.length);
}

function showDates(open, focus = true) {
  if (byId('datepanel').hidden === !open) return;
  byId('datepanel').hidden = !open;
  byId('dates').setAttribute('aria-expanded', String(open));
  if (!open) return focus && byId('dates').focus();
  const answer = shownTime();
  const zone = dataset?.zone ?? 'UTC';
  byId('date-from').value = view.from || (answer ? isoDate(answer.from, zone) : '');
  byId('date-to').value = view.to || (answer ? isoDate(answer.to - 1, zone) : '');
  byId('date-from').max = byId('date-to').max = isoDate(Date.now(), zone);
  const tiers = live.panels.get('state')?.panel.answer?.cube?.tiers ?? [];
  write(byId('date-hint'), tiers.length ? `Kept: ${tiers.map((tier) => `${tier.slice} for ${tier.retention}`).join(', ')}.` : `Days ${place(zone)}.`);
  byId('date-from').focus();
}

function datesChosen(event) {
  event.preventDefault();
  const from = byId('date-from').value, to = byId('date-to').value;
  byId('date-to').setCustomValidity(from <= to ? '' : 'This is before the first day.');
  if (!byId('datepanel').reportValidity()) return;
  showDates(false);
  show({ ...view, range: 'dates', from, to });
}

/** The answer whose borders the page is about. */
const shownTime = () => live.entry('series', PATIENCE).panel?.answer ?? live.entry('figures', PATIENCE).panel?.answer;

/** Draws soon, in one frame, however much has come. */
function schedule() {
  if (waiting) return;
  waiting = setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawnAt + BETWEEN_DRAWINGS - performance.now()));
}

function draw() {
  waiting = 0;
  drawnAt = performance.now();
  if (!dataset) {
    return trouble ? patch(byId('main'), h('div', { class: 'banner gone', role: 'alert' }, h('p', {}, h('b', {}, 'The board does not answer. '), trouble))) : undefined;
  }
  const standing = live.link();
  const label = (dimension, value) => dataset.labels[value] ?? valueName(dimension, value);
  const held = (name) => Boolean(document.querySelector(`[data-panel="${CSS.escape(name)}"]:is(:hover, :focus-within)`));
  header(standing);
  patch(byId('main'), page({ dataset, view, live, link: standing, label, tables, short, held, patience: PATIENCE, narrow: narrow.matches }));
  if (!tables.has('series')) updateVisitors(live.entry('series', PATIENCE).panel, view, schedule);
  updateNewcomers(live.entry('newcomers', PATIENCE).panel, schedule);
}

const LINKS = { waiting: 'connecting', live: 'live', stale: 'no news', gone: 'no server', lost: 'no connection' };

function header(standing) {
  const zone = dataset.zone;
  write(byId('title'), dataset.title);
  if (document.title !== `${dataset.title} · redis-hll board`) document.title = `${dataset.title} · redis-hll board`;
  if (byId('dataset').value !== dataset.name) byId('dataset').value = dataset.name;
  const state = standing.state === 'lost' ? 'gone' : standing.state;
  if (document.body.dataset.link !== state) document.body.dataset.link = state;
  const time = clock(standing.since || Date.now(), zone);
  write(byId('live-text'), LINKS[standing.state]);
  write(byId('live-when'), standing.state === 'waiting' ? '' : standing.state === 'live' ? `, ${time}` : ` since ${time}`);
  write(byId('live-where'), standing.state === 'live' ? ` ${place(zone)}` : '');
  if (link !== standing.state) {
    if (link) write(byId('announce'), standing.state === 'live' ? 'The board is live.' : `The board has ${LINKS[standing.state]}.`);
    link = standing.state;
  }
  byId('ranges').hidden = byId('dates').hidden = byId('compare').hidden = dataset.kind !== 'cube';
  patch(byId('ranges'), about.ranges.map((range) => h('button', { type: 'button', 'data-act': 'range', 'data-range': range, 'data-key': range, 'aria-pressed': String(view.range === range) }, RANGES[range] ?? range)));
  byId('compare').setAttribute('aria-pressed', String(view.compare));
  byId('dates').classList.toggle('dated', view.range === 'dates');
  const answer = shownTime();
  write(byId('span'), answer && answer.to > answer.from ? stretch(answer.from, answer.to, zone) : view.range === 'dates' ? `${view.from} – ${view.to}` : spokenRange(view.range));
}
