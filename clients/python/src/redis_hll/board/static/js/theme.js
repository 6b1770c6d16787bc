// Dark or light: as the system has it, until somebody chooses, which this browser remembers.

const KEY = 'redis-hll-board-theme';
const system = matchMedia('(prefers-color-scheme: dark)');
const root = document.documentElement;

function remembered() {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return ''; // storage can be forbidden
  }
}

/** Applies a theme, "dark" or "light", or what was remembered or the system has where it is empty. */
export function apply(theme) {
  const chosen = theme || remembered();
  root.dataset.theme = ['dark', 'light'].includes(chosen) ? chosen : system.matches ? 'dark' : 'light';
}

/** Changes to the other one, remembers and returns it. */
export function toggle() {
  const theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it is forgotten with this page.
  }
  root.dataset.theme = theme;
  return theme;
}

export const onSystemChange = (call) => system.addEventListener('change', call);

const probe = document.body.appendChild(document.createElement('span'));
probe.hidden = true;

/** A colour of the theme that holds now, by the name of its custom property, as a canvas understands it. */
export function colour(name) {
  probe.style.setProperty('color', `var(--${name})`);
  return getComputedStyle(probe).color;
}
