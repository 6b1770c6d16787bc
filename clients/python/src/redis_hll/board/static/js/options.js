// What the charts look like, as options of ECharts: visitors over events, and new beside returning.
//
// Axes begin at nought, and two figures get two grids and never two scales in one. A band is an invisible line at the lower
// bound with the stacked difference above it. The point of a bucket that is not over is hollow and its line dashed.

import { h } from './dom.js';
import { count, plain, short } from './numbers.js';
import { colour } from './theme.js';
import { bucket } from './words.js';

const FONT = '"Inter Variable", system-ui, sans-serif';
const highest = new Map(); // the axis of each chart, which grows only when it is exceeded: [question, axis]

/** The ends and steps of an axis from nought that holds `most`. */
export function axisFor(most, parts = 4) {
  const room = Math.max(most, 1e-9) * 1.04;
  const power = 10 ** Math.floor(Math.log10(room / parts));
  const interval = Math.max(1, [1, 2, 2.5, 5, 10].find((lead) => lead * power >= room / parts && (power < 1 || Number.isInteger(lead * power))) * power);
  return { min: 0, max: interval * Math.ceil(room / interval), interval };
}

function keptAxis(name, question, most, parts) {
  const [asked, kept] = highest.get(name) ?? [null, null];
  const axis = asked === question && kept.max >= most && kept.max <= 4 * Math.max(most, 1) ? kept : axisFor(most, parts);
  highest.set(name, [question, axis]);
  return axis;
}

const text = () => ({ color: colour('muted'), fontSize: 12, fontFamily: FONT });

function valueAxis(name, question, most, parts, more = {}) {
  return { type: 'value', ...keptAxis(name, question, most, parts), axisLine: { show: false }, axisTick: { show: false },
    axisLabel: { ...text(), formatter: short }, splitLine: { lineStyle: { color: colour('line') } }, ...more };
}

function timeAxis(times, unit, zone, labels, more = {}) {
  const every = Math.max(1, Math.ceil(times.length / labels));
  return { type: 'category', data: times.map(String), boundaryGap: true, axisTick: { show: false }, splitLine: { show: false },
    axisLine: { show: true, lineStyle: { color: colour('edge') } }, axisPointer: { label: { show: false } },
    axisLabel: { ...text(), margin: 10, hideOverlap: true, interval: (at) => (times.length - 1 - at) % every === 0, formatter: (time) => bucket(Number(time), unit, zone) }, ...more };
}

function band(name, intervals, fill, grid = 0) {
  const place = { type: 'line', stack: `band ${name}`, stackStrategy: 'all', silent: true, symbol: 'none', xAxisIndex: grid, yAxisIndex: grid, lineStyle: { opacity: 0 }, z: 1, animation: false };
  return [
    { ...place, name: `${name} from`, areaStyle: { opacity: 0 }, data: intervals.map((interval) => interval?.lower ?? null) },
    { ...place, name: `${name} to`, areaStyle: { color: fill, opacity: 1 }, data: intervals.map((interval) => (interval ? (interval.upper ?? interval.estimate) - (interval.lower ?? 0) : null)) },
  ];
}

function line(name, data, stroke, style = {}, more = {}) {
  return { name, type: 'line', data, symbol: 'circle', showSymbol: false, symbolSize: 6, lineStyle: { color: stroke, width: 2, ...style }, itemStyle: { color: stroke },
    emphasis: { disabled: true }, z: 3, animation: false, ...more };
}

/** The last stretch, which is not over: dashed, to a hollow point. */
function openEnd(rows, values, stroke, word) {
  const last = rows.length - 1;
  if (last < 0 || !rows[last].unfinished) return [];
  return [
    line('open', values.map((value, at) => (at >= last - 1 && at <= last ? value : null)), stroke, { type: [3, 4] }, { z: 2, silent: true }),
    { name: 'end', type: 'line', data: values.map((value, at) => (at === last ? value : null)), showSymbol: true, showAllSymbol: true, symbol: 'circle', symbolSize: 8,
      itemStyle: { color: colour('panel'), borderColor: stroke, borderWidth: 2 }, silent: true, z: 4, animation: false,
      label: { show: word, position: 'bottom', distance: 6, formatter: 'so far', ...text() } },
  ];
}

function tooltip(formatter) {
  return { trigger: 'axis', confine: true, backgroundColor: colour('tip'), borderWidth: 0, padding: [10, 12], textStyle: { color: colour('tip-text') }, transitionDuration: 0,
    axisPointer: { type: 'line', lineStyle: { color: colour('before'), type: 'solid', width: 1 }, z: 0 }, formatter };
}

const hintRow = (word, value, more) => [h('div', {}, word, h('b', {}, value)), more && h('small', {}, more)];
const finished = (rows) => (row, at) => (at === rows.length - 1 && row.unfinished ? null : row);
const base = (points) => ({ points, animation: false, textStyle: { fontFamily: FONT }, aria: { enabled: false } });

/** Visitors with their band, the time before, and below them events. `model`: {question, unit, zone, rows, slots, compared}. */
export function visitorsOption({ question, unit, zone, rows, slots, compared }, narrow) {
  const times = [...rows.map((row) => row.bucket), ...slots];
  const pad = slots.map(() => null);
  const values = [...rows.map((row) => row.unique?.estimate ?? null), ...pad];
  const closed = rows.map(finished(rows));
  const blue = colour('visitors');
  const most = Math.max(1, ...rows.map((row) => Math.max(row.unique?.upper ?? row.unique?.estimate ?? 0, compared ? row.unique_previous ?? 0 : 0)));
  const mostEvents = Math.max(1, ...rows.map((row) => row.events ?? 0));
  const right = narrow ? 18 : 14, labels = narrow ? 5 : 10;
  const hint = (points) => {
    const row = rows[points[0].dataIndex];
    const time = times[points[0].dataIndex];
    const figure = row && count(row.unique);
    return h('div', { class: 'tip' }, h('h3', {}, bucket(time, unit, zone, true) + (row?.unfinished ? ', so far' : '')),
      row && hintRow('Visitors', figure?.text ?? 'not kept', figure?.likely),
      row && compared && hintRow('Before', row.unique_previous === null ? 'not known' : plain(Math.round(row.unique_previous))),
      row && hintRow('Events', row.events === null ? 'not kept' : plain(row.events)));
  };
  return {
    ...base(rows.length),
    axisPointer: { link: [{ xAxisIndex: 'all' }] },
    grid: [{ left: 48, right, top: 12, height: '60%', outerBoundsMode: 'none' }, { left: 48, right, bottom: 28, height: '17%', outerBoundsMode: 'none' }],
    xAxis: [timeAxis(times, unit, zone, labels, { axisLabel: { show: false } }), timeAxis(times, unit, zone, labels, { gridIndex: 1 })],
    yAxis: [valueAxis('visitors', question, most, 4),
      valueAxis('events', question, mostEvents, 1, { gridIndex: 1, axisLabel: { ...text(), formatter: (value) => (value ? short(value) : '') } })],
    tooltip: tooltip(hint),
    series: [
      ...band('visitors', [...closed.map((row) => row?.unique ?? null), ...pad], colour('band')),
      ...(compared ? [line('before', [...rows.map((row) => row.unique_previous), ...pad], colour('before'), { width: 1.5, type: [4, 4] }, { z: 2, silent: true })] : []),
      line('Visitors', [...closed.map((row) => row?.unique?.estimate ?? null), ...pad], blue, {}, { showSymbol: rows.length === 1 }),
      ...openEnd(rows, values, blue, true),
      { name: 'Events', type: 'bar', xAxisIndex: 1, yAxisIndex: 1, animation: false, barCategoryGap: '28%', barMaxWidth: 40, emphasis: { disabled: true },
        itemStyle: { color: colour('views'), borderRadius: [2, 2, 0, 0] },
        data: [...rows.map((row) => ({ value: row.events ?? 0, itemStyle: { opacity: row.unfinished ? 0.55 : 1 } })), ...pad] },
    ],
  };
}

/** New and returning visitors, each bucket by itself. `model`: {question, unit, zone, rows}. */
export function newcomersOption({ question, unit, zone, rows }, narrow) {
  const closed = rows.map(finished(rows));
  const of = (name) => closed.map((row) => row?.[name] ?? null);
  const value = (name) => of(name).map((interval) => interval?.estimate ?? null);
  const most = Math.max(1, ...rows.flatMap((row) => [row.new, row.returning]).map((interval) => interval?.upper ?? interval?.estimate ?? 0));
  const hint = (points) => {
    const row = rows[points[0].dataIndex];
    const parts = (word, interval) => {
      const figure = count(interval);
      return hintRow(word, figure?.text ?? 'not kept', figure?.likely);
    };
    return h('div', { class: 'tip' }, h('h3', {}, bucket(row.bucket, unit, zone, true) + (row.unfinished ? ', so far' : '')), parts('Returning', row.returning), parts('New', row.new));
  };
  const open = (name, stroke) => openEnd(rows, rows.map((row) => row[name]?.estimate ?? null), stroke, false);
  return {
    ...base(rows.length),
    grid: [{ left: 48, right: 18, top: 8, bottom: 28, outerBoundsMode: 'none' }],
    xAxis: [timeAxis(rows.map((row) => row.bucket), unit, zone, 5)],
    yAxis: [valueAxis('newcomers', question, most, 4)],
    tooltip: tooltip(hint),
    series: [
      ...band('returning', of('returning'), colour('band')), ...band('new', of('new'), colour('new-band')),
      line('Returning', value('returning'), colour('visitors'), {}, { showSymbol: rows.length === 1 }), line('New', value('new'), colour('new'), {}, { symbol: 'rect', showSymbol: rows.length === 1 }),
      ...open('returning', colour('visitors')), ...open('new', colour('new')),
    ],
  };
}
