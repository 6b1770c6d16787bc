// What the page knows, and how it stays up to date: one stream of server-sent events for what is asked now.
//
// A stream says each panel once and then only what has changed; while nothing changes it says that it is alive, and the page
// sends nothing. A hidden page has no stream. A stream that breaks is opened again after two seconds, later after more.

const FIRST_RETRY = 2000, LAST_RETRY = 15000, FULL_RETRY = 30000; // milliseconds
const SILENCES = 3; // intervals without a word after which numbers count as stale
const CALM = 1200; // milliseconds that a lost connection may take to come back before it is spoken of

/** What addresses are asked with: range, filters, comparison. */
export function parameters(view) {
  const wanted = new URLSearchParams();
  if (view.range === 'dates') {
    wanted.set('from', view.from);
    wanted.set('to', view.to);
  } else wanted.set('range', view.range);
  for (const [dimension, value] of Object.entries(view.filters)) wanted.append('where', `${dimension}:${value}`);
  if (!view.compare) wanted.set('compare', 'off');
  return wanted;
}

/** An answer of the API; an Error with its `status` and its own words where it is refused. 401 leads to the page that asks who it is. */
export async function ask(address) {
  const answer = await fetch(address, { headers: { accept: 'application/json' } });
  if (answer.status === 401) location.reload();
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(body.error ?? `The board answers ${answer.status}.`), { status: answer.status });
  return body;
}

export class Live {
  /** `changed` is called after anything that is to be seen; `restated` when the dataset has come, gone, been filled or been declared anew. */
  constructor({ changed, restated }) {
    Object.assign(this, { changed, restated, panels: new Map(), status: null, refused: '', wrong: false, heard: 0, lost: 0, opened: 0, alive: 15000 });
    Object.assign(this, { source: null, question: '', retry: 0, tries: 0, paused: false });
  }

  /** Asks for the panels of a dataset. What was known of another question is kept until its answers come, but is marked old. */
  open(dataset, view, panels) {
    const question = `${encodeURIComponent(dataset)}/stream?${parameters(view)}&panels=${panels.map(encodeURIComponent).join(',')}`;
    if (question !== this.question) {
      for (const known of this.panels.values()) known.old = true;
      this.opened = performance.now();
      this.refused = '';
      this.wrong = false;
    }
    Object.assign(this, { question, view, dataset, tries: 0 });
    this.connect();
  }

  connect() {
    this.close();
    if (this.paused || !this.question) return;
    const have = [...this.panels].filter(([, known]) => !known.old).map(([name, known]) => `&have=${encodeURIComponent(`${name}@${known.panel.revision}`)}`);
    const source = new EventSource(`api/${this.question}${have.join('')}`);
    this.source = source;
    const on = (name, act) => source.addEventListener(name, (event) => {
      if (this.source !== source) return;
      this.hear();
      act(JSON.parse(event.data));
      this.changed();
    });
    on('status', (status) => {
      const before = this.status;
      this.status = status;
      this.refused = '';
      if (before && (before.dataset !== status.dataset || before.layout !== status.layout)) this.restated();
    });
    on('panel', (panel) => this.panels.set(panel.panel, { panel, old: false }));
    on('alive', () => {});
    on('full', ({ error }) => {
      this.refused = error;
      this.close();
      this.again(FULL_RETRY);
    });
    source.onopen = () => {
      if (this.source === source) this.hear();
    };
    source.onerror = () => {
      if (this.source === source) this.broken();
    };
  }

  hear() {
    Object.assign(this, { heard: Date.now(), lost: 0, tries: 0 });
  }

  /** The stream has ended or was refused: tries again, and asks why where it may be the question. */
  broken() {
    this.close();
    this.lost ||= Date.now();
    this.again(Math.min(LAST_RETRY, FIRST_RETRY * 2 ** this.tries));
    this.tries += 1;
    const question = this.question;
    ask(`api/${encodeURIComponent(this.dataset)}/state?${parameters(this.view)}`).catch((error) => {
      if (question !== this.question || ![404, 422].includes(error.status)) return;
      Object.assign(this, { refused: error.message, wrong: true, lost: 0, heard: Date.now() });
      clearTimeout(this.retry);
      this.changed();
    });
    setTimeout(() => this.changed(), CALM + 50);
  }

  again(after) {
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.connect(), after);
  }

  close() {
    clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  /** A hidden page listens to nothing. */
  pause(paused) {
    if (this.paused === paused) return;
    this.paused = paused;
    if (paused) this.close();
    else {
      this.heard = Date.now();
      this.connect();
    }
  }

  /** {state, since}: waiting (nothing heard yet), live, stale, lost (no board) or gone (no server behind it). */
  link() {
    if (this.lost && Date.now() - this.lost > CALM) return { state: 'lost', since: this.lost };
    if (!this.heard || !this.status) return { state: 'waiting', since: 0 };
    if (this.status.server === 'gone') return { state: 'gone', since: this.status.since, text: this.status.text };
    if (Date.now() - this.heard > SILENCES * this.alive) return { state: 'stale', since: this.heard };
    return { state: 'live', since: 0 };
  }

  /** What is known of a panel: {panel, waiting}, where an answer to an older question counts until it has taken `patience` milliseconds. */
  entry(name, patience) {
    const known = this.panels.get(name);
    const late = performance.now() - this.opened > patience;
    if (known && (!known.old || !late)) return { panel: known.panel, waiting: false };
    return { panel: null, waiting: late && !['lost', 'gone'].includes(this.link().state) };
  }
}
