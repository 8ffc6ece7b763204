// What all views are made of.
import { html, useCallback, useEffect, useMemo, useRef, useState } from './vendor/preact-htm.js';

/** Load something, and again every `every` milliseconds while the page is seen. */
export function useLoaded(load, inputs, every) {
  const [state, set] = useState({ value: null, problem: null, loading: true });
  const turn = useRef(0);
  const again = useCallback(async () => {
    const mine = ++turn.current;
    try {
      const value = await load();
      if (mine === turn.current) set({ value, problem: null, loading: false });
    } catch (problem) {
      if (mine === turn.current && problem.name !== 'AbortError') set((old) => ({ ...old, problem, loading: false }));
    }
  }, inputs);
  useEffect(() => {
    set((old) => ({ ...old, loading: true }));
    again();
    if (!every) return undefined;
    const timer = setInterval(() => document.visibilityState === 'visible' && again(), every);
    return () => clearInterval(timer);
  }, [again, every]);
  return { ...state, again };
}

export function Problem({ problem }) {
  if (!problem) return null;
  return html`<div class="notice bad" role="alert">
    <strong>${problem.message}</strong>
    ${problem.fields && problem.fields.map((one) => html`<span class="small">${one.field}: ${one.message}</span>`)}
  </div>`;
}

/** Show what was loaded; else why not. */
export function Loaded({ state, children }) {
  if (state.problem && !state.value) return html`<${Problem} problem=${state.problem} />`;
  if (!state.value) return html`<p class="muted" role="status">Loading …</p>`;
  return html`${state.problem && html`<${Problem} problem=${state.problem} />`}${children(state.value)}`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><strong>${title}</strong><div class="stack tight">${children}</div></div>`;
}

const TONES = {
  delivered: ['good', '✓'], healthy: ['good', '✓'], enabled: ['good', '✓'], connect: ['good', '→'], up: ['good', '✓'],
  webhook_delivered: ['good', '✓'], subscribe: ['info', '+'], publish: ['info', '»'], client_event: ['info', '›'],
  retrying: ['warn', '↻'], webhook_retrying: ['warn', '↻'], pending: ['', '…'], in_flight: ['', '…'], webhook_queued: ['', '…'],
  failing: ['warn', '!'], 'circuit open': ['warn', '‖'], paused: ['warn', '‖'], draining: ['warn', '‖'],
  failed: ['bad', '✕'], webhook_failed: ['bad', '✕'], refuse: ['bad', '✕'], away: ['bad', '✕'],
  disabled: ['', '○'], disconnect: ['', '←'], unsubscribe: ['', '−'], cancelled: ['', '○'],
};
const NAMES = {
  connect: 'connect', disconnect: 'disconnect', refuse: 'refused', subscribe: 'subscribe', unsubscribe: 'leave',
  client_event: 'client event', publish: 'publish', webhook_queued: 'webhook queued',
  webhook_delivered: 'webhook delivered', webhook_retrying: 'webhook retries', webhook_failed: 'webhook failed', in_flight: 'in flight',
};

export const nameOf = (kind) => NAMES[kind] || kind;

export function Badge({ of, children }) {
  const [tone, sign] = TONES[of] || ['', ''];
  return html`<span class=${`badge ${tone}`}>${sign && html`<span aria-hidden="true">${sign}</span>`}${children || nameOf(of)}</span>`;
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto', style: 'short' });
const UNITS = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]];

export function ago(value) {
  const seconds = (new Date(value) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, least]) => Math.abs(seconds) >= least) || ['second', 1];
  return relative.format(Math.round(seconds / size), unit);
}

/** A time, relative, absolute on hover and for screen readers. */
export function Time({ at, clock }) {
  if (!at) return html`<span class="muted">never</span>`;
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return html`<span>${String(at)}</span>`;
  const iso = date.toISOString();
  const shown = clock ? date.toLocaleTimeString([], { hour12: false }) + '.' + String(date.getMilliseconds()).padStart(3, '0') : ago(date);
  return html`<time datetime=${iso} title=${date.toLocaleString() + ' · ' + iso}>${shown}</time>`;
}

export function duration(ms) {
  if (ms === null || ms === undefined || ms === '') return '–';
  const value = Number(ms);
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60000) return `${(value / 1000).toFixed(1)} s`;
  if (value < 3600000) return `${Math.round(value / 60000)} min`;
  return `${(value / 3600000).toFixed(1)} h`;
}

export const count = (value) => (value === null || value === undefined ? '–' : Number(value).toLocaleString('en'));

/** Text as JSON with indentation, where it is JSON; a string that holds JSON is shown as what it holds. */
export function pretty(value) {
  let text = value;
  if (typeof value === 'string') {
    try {
      text = JSON.parse(value);
    } catch {
      return value;
    }
  }
  return JSON.stringify(text, null, 2);
}

export function Raw({ value, label }) {
  return html`<pre tabindex="0" aria-label=${label || 'Raw text'}>${pretty(value)}</pre>`;
}

export function Copy({ text, children = 'Copy', label }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = document.createElement('textarea');
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`<button type="button" class="quiet" onClick=${copy} aria-label=${label}>${done ? 'Copied' : children}</button>`;
}

let fields = 0;
/** A labelled input. `problem` is what the server says of it. */
export function Field({ label, hint, problem, children, ...input }) {
  const id = useMemo(() => `field-${++fields}`, []);
  const about = [hint && `${id}-hint`, problem && `${id}-problem`].filter(Boolean).join(' ') || undefined;
  const control = children ? children(id, about) : html`<input id=${id} aria-describedby=${about} aria-invalid=${problem ? 'true' : undefined} ...${input} />`;
  return html`<div class="field">
    <label class="label" for=${id}>${label}</label>
    ${control}
    ${hint && html`<span class="hint" id=${`${id}-hint`}>${hint}</span>`}
    ${problem && html`<span class="problem" id=${`${id}-problem`}>${problem}</span>`}
  </div>`;
}

export function Select({ value, onChange, options, ...rest }) {
  return html`<select value=${value} onChange=${(event) => onChange(event.target.value)} ...${rest}>
    ${options.map(([key, name]) => html`<option value=${key} selected=${key === value}>${name}</option>`)}
  </select>`;
}

/** Whose rows a list shows. A key for some apps asks for one of them at a time, a key for every app may ask for all. */
export function appOf(me, apps, chosen) {
  return chosen || (me.every_app || apps.length < 2 ? undefined : apps[0]);
}

export function AppFilter({ me, apps, value, onChange, all = 'all apps' }) {
  if (apps.length < 2) return null;
  const options = [...(me.every_app ? [['', all]] : []), ...apps.map((one) => [one, one])];
  return html`<div class="filter"><${Field} label="App">${(id) => html`<${Select} id=${id} value=${value || ''} onChange=${onChange} options=${options} />`}<//></div>`;
}

/** Rows that can be walked with j and k, and opened with Enter. */
export function Rows({ columns, rows, keyOf, cells, detail, onOpen, label, opened }) {
  const [open, setOpen] = useState(opened || null);
  const body = useRef(null);
  const act = (row, key) => {
    if (onOpen) onOpen(row);
    else if (detail) setOpen(open === key ? null : key);
  };
  const keys = (event) => {
    if (event.target.tagName !== 'TR') return;
    const all = [...body.current.querySelectorAll('tr[tabindex]')];
    const at = all.indexOf(event.target);
    const to = { j: at + 1, ArrowDown: at + 1, k: at - 1, ArrowUp: at - 1 }[event.key];
    if (to !== undefined && all[to]) {
      event.preventDefault();
      all[to].focus();
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      event.target.click();
    } else if (event.key === 'Escape') {
      setOpen(null);
    }
  };
  const active = Boolean(onOpen || detail);
  return html`<div class="table" tabindex=${active ? undefined : '0'} role="region" aria-label=${label}>
    <table>
      <thead><tr>${columns.map((one) => html`<th scope="col" class=${one.class || ''}>${one.name || html`<span class="hidden">${one.hidden}</span>`}</th>`)}</tr></thead>
      <tbody ref=${body} onKeyDown=${keys}>
        ${rows.map((row) => {
          const key = keyOf(row);
          const shown = detail && open === key;
          return html`<tr key=${key} class=${shown ? 'open' : ''} tabindex=${active ? '0' : undefined}
              onClick=${active ? (event) => event.target.closest('a, button, input, label') || act(row, key) : undefined}>
              ${cells(row).map((cell, at) => html`<td class=${columns[at].class || ''}>${cell}</td>`)}
            </tr>
            ${shown && html`<tr key=${`${key}-detail`} class="open"><td colspan=${columns.length}>${detail(row)}</td></tr>`}`;
        })}
      </tbody>
    </table>
  </div>`;
}

/** Asks before something that can't be undone; `typed` is what has to be typed in. */
export function Confirm({ title, children, action, typed, disabled, onDone, onClose }) {
  const box = useRef(null);
  const [text, setText] = useState('');
  const [state, setState] = useState({ busy: false, problem: null });
  useEffect(() => {
    box.current.showModal();
  }, []);
  const run = async (event) => {
    event.preventDefault();
    setState({ busy: true, problem: null });
    try {
      await onDone();
      onClose();
    } catch (problem) {
      setState({ busy: false, problem });
    }
  };
  return html`<dialog ref=${box} onClose=${onClose} aria-label=${title}>
    <form class="stack" onSubmit=${run}>
      <h2>${title}</h2>
      <div class="stack tight">${children}</div>
      ${typed && html`<${Field} label=${`Type ${typed} to go on`} value=${text} autocomplete="off" onInput=${(event) => setText(event.target.value)} />`}
      <${Problem} problem=${state.problem} />
      <div class="row">
        <button class=${typed ? 'destroys' : 'main-action'} disabled=${state.busy || disabled || (typed && text !== typed)}>${action}</button>
        <button type="button" onClick=${() => box.current.close()}>Cancel</button>
      </div>
    </form>
  </dialog>`;
}

/** Small charts that can be read in grey: one line with an area, the second dashed. `span`: milliseconds from point to point. */
export function Chart({ values, second, label, unit = '', tall, span }) {
  const width = 240;
  const height = 48;
  const round = (value) => Math.round(value * 10) / 10;
  const most = Math.max(...values, ...(second || []), 0);
  const top = most || 1;
  const points = (list) => list.map((value, at) => `${list.length < 2 ? 0 : ((at / (list.length - 1)) * width).toFixed(1)},${(height - 2 - (value / top) * (height - 4)).toFixed(1)}`).join(' ');
  const last = values.length ? values[values.length - 1] : 0;
  const said = `${label}: now ${count(round(last))}${unit}, at most ${count(round(most))}${unit}`;
  return html`<div class=${tall ? 'chart' : ''}>
    ${tall && html`<div class="scale" aria-hidden="true"><span>at most ${count(round(most))}${unit}</span><span>now ${count(round(last))}${unit}</span></div>`}
    <svg class="spark" viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label=${said}>
      <title>${said}</title>
      ${values.length > 1 && html`<polygon class="area" points=${`0,${height} ${points(values)} ${width},${height}`} />`}
      <polyline class="line" points=${points(values)} />
      ${second && html`<polyline class="second" points=${points(second)} />`}
    </svg>
    ${span && values.length > 1 && html`<div class="scale" aria-hidden="true"><span>${duration(span * (values.length - 1))} ago</span><span>now</span></div>`}
  </div>`;
}

/** The times of the last attempts as bars, the oldest first; those that failed are hollow. `recent`: [ms, delivered] each; `top`: the milliseconds of the highest bar, one scale for all rows. */
export function Bars({ recent, top }) {
  const longest = Math.max(...recent.map(([ms]) => ms));
  const failed = recent.filter(([, good]) => !good).length;
  const said = `${recent.length - failed} of the last ${recent.length} succeeded, the longest took ${duration(longest)}`;
  return html`<svg class="bars" viewBox="0 0 180 32" role="img" aria-label=${said}><title>${said}</title>
    ${recent.map(([ms, good], at) => {
      const height = Math.max(3, (ms / top) * 30);
      return html`<rect class=${good ? 'good' : 'bad'} x=${at * 6 + 0.75} y=${31 - height} width="4" height=${height} rx="1" />`;
    })}</svg>`;
}

let show = () => {};
/** Tell something in passing; `undo` takes it back. */
export function toast(text, undo) {
  show({ text, undo, id: Math.random() });
}

export function Toasts() {
  const [list, set] = useState([]);
  show = (one) => {
    set((old) => [...old.slice(-2), one]);
    setTimeout(() => set((old) => old.filter((other) => other.id !== one.id)), one.undo ? 8000 : 4000);
  };
  const drop = (one) => set((old) => old.filter((other) => other.id !== one.id));
  return html`<div class="toasts" role="status" aria-live="polite">
    ${list.map((one) => html`<div class="toast" key=${one.id}><span>${one.text}</span>
      ${one.undo && html`<button type="button" onClick=${() => { drop(one); one.undo(); }}>Undo</button>`}</div>`)}
  </div>`;
}

/** Save rows as a file: CSV (nested values as JSON), or JSON. */
export function Export({ rows, name }) {
  const save = (type, text) => {
    const url = URL.createObjectURL(new Blob([text], { type }));
    const anchor = document.createElement('a');
    anchor.href = url;
    anchor.download = `${name}.${type === 'text/csv' ? 'csv' : 'json'}`;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const cell = (value) => {
    const text = value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
    // A leading = + - @ would be a formula in a spreadsheet.
    return `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  };
  const csv = () => {
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    return [names.map(cell).join(','), ...rows.map((row) => names.map((one) => cell(row[one])).join(','))].join('\r\n');
  };
  return html`<span class="row">
    <button type="button" class="quiet" disabled=${!rows.length} onClick=${() => save('text/csv', csv())}>CSV</button>
    <button type="button" class="quiet" disabled=${!rows.length} onClick=${() => save('application/json', JSON.stringify(rows, null, 2))}>JSON</button>
  </span>`;
}
