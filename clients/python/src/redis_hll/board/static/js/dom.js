// Making and mending the page's elements.
//
// A component makes elements with `h` from data alone, and `patch` makes what is on the page equal to them, changing only what
// differs: so focus, selection and scrolling survive a redraw, and unchanged text is not written. What is clicked is found by
// `data-act` through one listener for the whole page (main.js), since elements made for comparison never carry listeners.
//
// There are no style attributes, which a strict Content Security Policy forbids: bars are SVG, colours are classes.

import morphdom from '../vendor/morphdom.js';

const SVG = 'http://www.w3.org/2000/svg';
const ICONS = {
  command: 'M3 4.5 6.5 8 3 11.5M8.5 11.5h4.5',
  table: 'M2.5 3.5h11v9h-11zM2.5 6.8h11M2.5 9.8h11M7 3.5v9',
  close: 'm4.5 4.5 7 7m0-7-7 7',
  warning: 'M8 2.2 14.5 13.5h-13zM8 6.5v3.2M8 11.6v.1',
};

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element; children are elements or text, nested arrays are flattened, and null, undefined and false are left out. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function icon(name, size = 16) {
  return s('svg', { width: size, height: size, viewBox: '0 0 16 16', 'aria-hidden': 'true', class: 'icon-line' }, s('path', { d: ICONS[name] }));
}

/** A button whose click is handled in main.js by its `act`; `data` are its data attributes. */
export function button(act, attributes, data, ...children) {
  const named = Object.fromEntries(Object.entries(data ?? {}).map(([name, value]) => [`data-${name}`, value]));
  return h('button', { type: 'button', 'data-act': act, ...named, ...attributes }, ...children);
}

/** Bars from `lower` to `upper` of `most`: solid up to the lower bound, which is sure, pale from there on, which may be. */
export function bar(lower, upper, most, { cls = 'bar', solid = true, least = 0 } = {}) {
  const per = (x) => `${Math.max(0, Math.min(100, (100 * x) / most)).toFixed(2)}%`;
  const high = Math.max(upper, lower + least * most);
  return s('svg', { class: cls, 'aria-hidden': 'true' },
    solid && lower > 0 && s('rect', { class: 'sure', width: per(lower), height: '100%' }),
    high > lower && s('rect', { class: 'maybe', x: per(Math.max(0, lower)), width: per(Math.min(high, most) - Math.max(0, lower)), height: '100%' }));
}

/** Makes `target`'s children equal to `children`. Elements are told apart by `data-key`; those with `data-own` mend themselves. */
export function patch(target, ...children) {
  const wanted = target.cloneNode(false);
  wanted.append(...children.flat(Infinity).filter(Boolean));
  morphdom(target, wanted, {
    childrenOnly: true,
    getNodeKey: (node) => node.dataset?.key ?? node.id ?? '',
    onBeforeElUpdated: (from, to) => !from.isEqualNode(to) && !(from.dataset?.own && from.dataset.own === to.dataset?.own),
  });
}

/** Writes text only where it differs. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
