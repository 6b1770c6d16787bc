// Charts: an ECharts instance for each chart's element, mended when its data or the theme changes and never drawn anew for nothing.
//
// The library is half a megabyte, so it is fetched when the first chart is wanted and the numbers do not wait for it.

import { h } from './dom.js';

const HINT_HEIGHT = 60; // pixels below a chart's top, inside its first grid

const charts = new Map(); // by name: {element, chart, drawn, point, hinted}
let library = null;

function load(onLoad) {
  library ??= import('../vendor/echarts.js').then((loaded) => {
    library = loaded;
    onLoad();
  }, () => { library = null; });
  return typeof library?.init === 'function' ? library : null;
}

const resizing = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    const held = charts.get(target.dataset.own);
    if (held?.element === target && contentRect.width > 0) requestAnimationFrame(() => !held.chart.isDisposed() && held.chart.resize());
  }
});

/** The element of a chart, to be patched into the page; what is in it belongs to the chart. */
export function chartElement(name, label) {
  return h('div', { class: 'chart', id: `chart-${name}`, role: 'img', tabindex: '0', 'data-own': `chart-${name}`, 'data-key': `chart-${name}`, 'aria-label': label });
}

/**
 * Brings a chart's element, if it is on the page, up to date. `model` is plain data by which it is known whether anything
 * changed, `option` makes ECharts' option of it, `onLoad` is called when the library has come.
 */
export function updateChart(name, model, option, label, onLoad) {
  const key = `chart-${name}`;
  const element = document.getElementById(key);
  if (!element) return dispose(key);
  if (element.getAttribute('aria-label') !== label) element.setAttribute('aria-label', label);
  const ready = load(onLoad);
  if (!ready) return;
  let held = charts.get(key);
  if (held && held.element !== element) {
    dispose(key);
    held = null;
  }
  const narrow = matchMedia('(max-width: 760px)').matches;
  const drawn = JSON.stringify([model, document.documentElement.dataset.theme, narrow]);
  if (held?.drawn === drawn) return;
  if (!held) {
    held = { element, chart: ready.init(element, null, { renderer: 'canvas' }), drawn: '', point: -1, hinted: false, points: 0 };
    charts.set(key, held);
    resizing.observe(element);
    listen(held);
  }
  const { points, ...drawing } = option(model, narrow);
  held.chart.setOption(drawing, { replaceMerge: ['series', 'xAxis', 'yAxis', 'grid'] });
  Object.assign(held, { drawn, points });
  if (held.hinted) showHint(held);
}

function dispose(key) {
  const held = charts.get(key);
  if (!held) return;
  resizing.unobserve(held.element);
  held.chart.dispose();
  charts.delete(key);
}

function showHint(held) {
  const x = held.chart.convertToPixel({ xAxisIndex: 0 }, held.point);
  held.chart.dispatchAction({ type: 'showTip', x, y: HINT_HEIGHT });
}

/** Arrow keys, Home and End move through the points, Escape hides the hint. */
function listen(held) {
  held.element.addEventListener('keydown', (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === 'Escape') return hide(held);
    if (!(event.key in steps)) return;
    event.preventDefault();
    const from = held.point < 0 ? held.points : held.point;
    held.point = Math.max(0, Math.min(held.points - 1, from + steps[event.key]));
    held.hinted = true;
    showHint(held);
  });
  held.element.addEventListener('blur', () => hide(held));
}

function hide(held) {
  held.hinted = false;
  held.chart.dispatchAction({ type: 'hideTip' });
}
