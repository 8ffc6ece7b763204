// View 1, the live console, and view 2, the event creator beside it.
import { html, useEffect, useRef, useState } from '../vendor/preact-htm.js';
import { ended, get, prefix, query, post, part } from '../api.js';
import { setQuery, link } from '../route.js';
import { Badge, Empty, Export, Field, Problem, Raw, Rows, Select, Time, nameOf } from '../parts.js';

const KINDS = ['connect', 'disconnect', 'refuse', 'subscribe', 'unsubscribe', 'client_event', 'publish', 'webhook_queued', 'webhook_delivered', 'webhook_retrying', 'webhook_failed'];
const MOST_ROWS = 500;
const RETRY = 5000; // milliseconds after a refusal

function useStream(filters, paused) {
  const [state, set] = useState({ rows: [], leftOut: 0, status: 'connecting' });
  const held = useRef([]);
  const pausedNow = useRef(paused);
  pausedNow.current = paused;
  const [tries, turn] = useState(0);
  const address = `${prefix}/api/live${query(filters)}`;
  useEffect(() => {
    set((old) => (tries ? { ...old, status: 'connecting' } : { rows: [], leftOut: 0, status: 'connecting' }));
    held.current = [];
    const source = new EventSource(address);
    let fresh = [];
    let missed = 0;
    const flush = setInterval(() => {
      if (!fresh.length && !missed) return;
      const [rows, more] = [fresh, missed];
      fresh = [];
      missed = 0;
      if (pausedNow.current) {
        held.current = [...rows.reverse(), ...held.current].slice(0, MOST_ROWS);
        set((old) => ({ ...old, leftOut: old.leftOut + more, held: held.current.length }));
      } else {
        set((old) => ({ ...old, rows: [...rows.reverse(), ...old.rows].slice(0, MOST_ROWS), leftOut: old.leftOut + more }));
      }
    }, 150);
    source.onopen = () => set((old) => ({ ...old, status: 'live' }));
    source.onerror = () => {
      const over = source.readyState === EventSource.CLOSED; // refused: the browser does not try again by itself
      set((old) => ({ ...old, status: over ? 'refused' : 'reconnecting' }));
      if (!over) return;
      get('/api/session').then((me) => (me.name === null ? ended() : setTimeout(() => turn((old) => old + 1), RETRY))).catch(() => setTimeout(() => turn((old) => old + 1), RETRY));
    };
    source.onmessage = (event) => fresh.push({ id: event.lastEventId, ...JSON.parse(event.data) });
    source.addEventListener('left_out', (event) => {
      missed += JSON.parse(event.data).rows;
    });
    return () => {
      clearInterval(flush);
      source.close();
    };
  }, [address, tries]);
  useEffect(() => {
    if (!paused && held.current.length) {
      const rows = held.current;
      held.current = [];
      set((old) => ({ ...old, held: 0, rows: [...rows, ...old.rows].slice(0, MOST_ROWS) }));
    }
  }, [paused]);
  return [state, () => set((old) => ({ ...old, rows: [], leftOut: 0 }))];
}

function summary(row) {
  if (row.kind === 'refuse') return row.error;
  if (row.kind === 'publish' || row.kind === 'client_event') return row.event;
  if (row.kind.startsWith('webhook')) return [row.webhook_name || row.webhook, row.error].filter(Boolean).join(' · ');
  return row.address || '';
}

export function Console({ route, apps, me }) {
  const filters = route.query;
  const kinds = (filters.kinds || '').split(',').filter(Boolean);
  const paused = filters.paused === '1';
  const sent = { app: filters.app, channel: filters.channel, socket: filters.socket, user: filters.user, kinds: filters.kinds };
  const [state, clear] = useStream(sent, paused);
  const text = (name, label, hint) => html`<${Field} label=${label} placeholder=${hint} value=${filters[name] || ''} onChange=${(event) => setQuery({ [name]: event.target.value.trim() })} />`;
  const toggle = (kind) => setQuery({ kinds: (kinds.includes(kind) ? kinds.filter((one) => one !== kind) : [...kinds, kind]).join(',') });
  return html`<div class="stack">
    <div class="row between"><h1>Live console</h1>
      <div class="row">
        <span class="muted small" role="status">${{ live: 'live', connecting: 'connecting …', reconnecting: 'reconnecting …', refused: 'refused: too many pages watch, or the server is stopping; trying again …' }[state.status]}${paused ? ` · paused, ${state.held || 0} rows wait` : ''}</span>
        <button type="button" onClick=${() => setQuery({ paused: paused ? '' : '1' })}>${paused ? 'Go on' : 'Pause'}</button>
        <button type="button" onClick=${clear}>Clear</button>
        <${Export} rows=${state.rows} name="console" />
      </div>
    </div>
    <div class="split">
      <section class="card stack" aria-label="What happens">
        <div class="cards filters">
          <${Field} label="App">${(id) => html`<${Select} id=${id} value=${filters.app || ''} onChange=${(app) => setQuery({ app })} options=${[['', 'all apps'], ...apps.map((app) => [app, app])]} />`}<//>
          ${text('channel', 'Channel begins with', 'presence-')}
          ${text('socket', 'Socket', '123.456')}
          ${text('user', 'User', 'user id')}
        </div>
        <div class="chips kinds" role="group" aria-label="Kinds">
          ${KINDS.map((kind) => html`<button type="button" class="chip" aria-pressed=${String(kinds.includes(kind))} onClick=${() => toggle(kind)}>${nameOf(kind)}</button>`)}
        </div>
        ${state.leftOut > 0 && html`<div class="notice warn" role="status"><span>More happens than is shown: ${state.leftOut.toLocaleString('en')} rows were left out. Narrow the filters to see all of what you look for.</span></div>`}
        ${state.rows.length === 0
          ? html`<${Empty} title="Nothing has happened yet"><span>Rows appear the moment clients connect, subscribe or get events.</span>
              <code>sockudo-py publish ${filters.app || apps[0] || 'APP'} my-channel my-event '{"hello":"world"}'</code><//>`
          : html`<${Rows} label="Events" rows=${state.rows} keyOf=${(row) => row.id}
              columns=${[{ name: 'Time', class: 'nowrap' }, { name: 'What' }, { name: 'App', class: 'wide-only nowrap' }, { name: 'Where', class: 'name' }, { name: 'Detail', class: 'wide-only' }]}
              cells=${(row) => [html`<${Time} at=${row.at} clock />`, html`<${Badge} of=${row.kind} />`, row.app || '–', row.channel || row.socket || '–', html`<span class="small">${String(summary(row) ?? '').slice(0, 160)}</span>`]}
              detail=${(row) => html`<div class="stack tight">
                <div class="row">
                  ${row.socket && html`<a href=${link('inspect', { q: row.socket, app: row.app })}>socket ${row.socket}</a>`}
                  ${row.channel && html`<a href=${link('inspect', { q: row.channel, app: row.app })}>channel ${row.channel}</a>`}
                  ${row.user && html`<a href=${link('inspect', { q: row.user, app: row.app })}>user ${row.user}</a>`}
                  ${row.webhook && html`<a href=${link(['webhooks', row.webhook])}>webhook ${row.webhook}</a>`}
                  ${row.kind === 'refuse' && html`<a href=${link('why', { app: row.app })}>Why?</a>`}
                </div>
                ${(row.frame || row.data) && html`<${Raw} value=${row.frame || row.data} label="Message" />`}
                <${Raw} value=${Object.fromEntries(Object.entries(row).filter(([name]) => !['id', 'frame', 'data'].includes(name)))} label="Row" />
              </div>`} />`}
      </section>
      ${me.scopes.includes('write') && html`<${Creator} apps=${apps} app=${filters.app} />`}
    </div>
  </div>`;
}

const EXPLAINED = {
  'private-encrypted-': 'Encrypted: the server can’t encrypt. Clients with a shared secret can’t read what is sent from here.',
  'private-': 'Private: only clients whose backend signed their subscription get it.',
  'presence-': 'Presence: members with a user id get it; its members are in the inspector.',
  'cache-': 'Cache: who subscribes later gets the last event at once.',
};

export function Creator({ apps, app: preset, channel: given }) {
  const [app, setApp] = useState(preset || apps[0] || '');
  const [channel, setChannel] = useState(given || '');
  const [name, setName] = useState('my-event');
  const [data, setData] = useState('{\n  "hello": "world"\n}');
  const [without, setWithout] = useState('');
  const [state, set] = useState({ busy: false, problem: null, answer: null });
  useEffect(() => {
    if (preset) setApp(preset);
  }, [preset]);
  let wrong = null;
  try {
    JSON.parse(data);
  } catch (problem) {
    wrong = `Not JSON, so it is sent as a plain text: ${problem.message}`;
  }
  const send = async (event) => {
    event.preventDefault();
    set({ busy: true, problem: null, answer: null });
    try {
      const body = { channel, name, data: wrong ? data : JSON.stringify(JSON.parse(data)) };
      if (without.trim()) body.socket_id = without.trim();
      set({ busy: false, problem: null, answer: await post(`/api/apps/${part(app)}/events`, body) });
    } catch (problem) {
      set({ busy: false, problem, answer: null });
    }
  };
  const explained = Object.entries(EXPLAINED).find(([start]) => channel.includes(start));
  const got = state.answer && Object.values(state.answer.channels).reduce((sum, one) => sum + one, 0);
  return html`<form class="card stack" onSubmit=${send} aria-label="Event creator">
    <h2>Send an event</h2>
    <${Field} label="App">${(id) => html`<${Select} id=${id} value=${app} onChange=${setApp} options=${apps.map((one) => [one, one])} />`}<//>
    <${Field} label="Channel" required value=${channel} hint=${explained && explained[1]} placeholder="my-channel" onInput=${(event) => setChannel(event.target.value)} />
    <${Field} label="Event" required value=${name} onInput=${(event) => setName(event.target.value)} />
    <${Field} label="Data" hint=${wrong}>${(id, about) => html`<textarea id=${id} aria-describedby=${about} spellcheck=${false} value=${data} onInput=${(event) => setData(event.target.value)}></textarea>`}<//>
    <${Field} label="Leave out this socket" placeholder="123.456" value=${without} onInput=${(event) => setWithout(event.target.value)} />
    <button class="main-action" disabled=${state.busy}>Send</button>
    <${Problem} problem=${state.problem} />
    ${state.answer && html`<div class="notice good" role="status"><strong>Sent to ${got} ${got === 1 ? 'subscriber' : 'subscribers'}.</strong>
      ${got === 0 && html`<span>Nobody is subscribed to ${channel} in app ${app}.</span>`}</div>`}
  </form>`;
}
