// View 6: deliveries and dead letters, with everything that was tried, and sending again.
import { html, useState } from '../vendor/preact-htm.js';
import { go, link, setQuery } from '../route.js';
import { AppFilter, Badge, Confirm, Copy, Empty, Export, Field, Loaded, Problem, Raw, Rows, Select, Time, appOf, count, duration, toast, useLoaded } from '../parts.js';
import { anyDelivery, deliveriesOf, listFailed, listWebhooks, logs, purgeFailed, readDelivery, readFailed, replay, retryDelivery, retryFailed } from '../webhooks_api.js';
import { Exchange } from './webhooks.js';

const STATUSES = ['', 'delivered', 'retrying', 'failed'].map((one) => [one, one || 'all']);
const SINCE = [['', 'any time'], ['15', 'last 15 minutes'], ['60', 'last hour'], ['today', 'today'], ['yesterday', 'yesterday and today'], ['1440', 'last 24 hours'], ['10080', 'last 7 days']];
/** The time at which a range begins. Days are those of the browser's time zone. */
function since(range) {
  if (!range) return undefined;
  if (range !== 'today' && range !== 'yesterday') return new Date(Date.now() - range * 60000).toISOString();
  const day = new Date();
  day.setHours(0, 0, 0, 0);
  if (range === 'yesterday') day.setDate(day.getDate() - 1);
  return day.toISOString();
}

/** A request as a command for a shell. Every word is quoted. */
export function asCurl(url, headers, body) {
  const quote = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
  return [`curl -sS -X POST ${quote(url || 'https://RECEIVER')}`, ...Object.entries(headers || {}).map(([name, value]) => `  -H ${quote(`${name}: ${value}`)}`), `  --data-binary ${quote(typeof body === 'string' ? body : JSON.stringify(body ?? {}))}`].join(' \\\n');
}

/** The deliveries of one webhook, or the last attempts of all. */
export function Deliveries({ webhook, route, me, app }) {
  const { status, type, cursor } = route.query;
  const id = webhook && (webhook.uid || webhook.id);
  const values = { status, event_type: type, limit: 50, cursor };
  const state = useLoaded(() => (id ? deliveriesOf(id, values) : logs({ ...values, app_id: app })), [id, status, type, cursor, app], cursor ? 0 : 4000);
  const [asks, ask] = useState(false);
  const rowsOf = (value) => value.deliveries || value.logs || [];
  return html`<section class="card stack" aria-label="Deliveries">
    <div class="row between"><div class="row grow">
      <div class="filter"><${Field} label="Status">${(field) => html`<${Select} id=${field} value=${status || ''} onChange=${(value) => setQuery({ status: value, cursor: '' })} options=${STATUSES} />`}<//></div>
      <div class="filter"><${Field} label="Event type" value=${type || ''} onChange=${(event) => setQuery({ type: event.target.value.trim(), cursor: '' })} /></div></div>
      <div class="row low">${state.value && html`<${Export} rows=${rowsOf(state.value)} name="deliveries" />`}
        ${id && me.scopes.includes('write') && html`<button type="button" onClick=${() => ask(true)}>Send again …</button>`}</div></div>
    <${Loaded} state=${state}>${(value) => rowsOf(value).length === 0
      ? html`<${Empty} title="No delivery fits"><span>Attempts appear here as they are made.</span>${id && html`<a href=${link(['webhooks', id], { tab: 'test' })}>Send a test event</a>`}<//>`
      : html`<${Rows} label="Attempts" rows=${rowsOf(value)} keyOf=${(row) => row.attempt_id || `${row.id}-${row.attempt}`}
          columns=${[{ name: 'Time', class: 'nowrap' }, { name: 'Status' }, ...(id ? [] : [{ name: 'Webhook', class: 'wide-only' }]), { name: 'Events' }, { name: 'Attempt', class: 'right' }, { name: 'Answer' }, { name: 'Took', class: 'right wide-only' }]}
          cells=${(row) => [html`<${Time} at=${row.started_at || row.finished_at} />`, html`<${Badge} of=${row.status} />`, ...(id ? [] : [html`<a class="small" href=${link(['webhooks', row.webhook_id])}>${row.webhook_name || row.webhook_id}</a>`]), html`<span class="small">${(row.event_types || []).join(', ')}</span>`, `${row.attempt}${row.max_attempts ? ` of ${row.max_attempts}` : ''}`, row.http_status || (row.error && row.error.class) || '–', duration(row.timing && row.timing.total_ms)]}
          detail=${(row) => html`<${Detail} row=${row} webhook=${webhook} me=${me} again=${state.again} />`} />
        <div class="row">${cursor && html`<button type="button" onClick=${() => setQuery({ cursor: '' })}>Newest</button>`}${value.next_cursor && html`<button type="button" onClick=${() => setQuery({ cursor: value.next_cursor })}>Older</button>`}</div>`}<//>
    ${asks && html`<${Again} webhook=${webhook} onClose=${() => ask(false)} again=${state.again} />`}
  </section>`;
}

function Detail({ row, webhook, me, again }) {
  const id = row.webhook_id || (webhook && webhook.uid);
  const state = useLoaded(() => readDelivery(id, row.id), [id, row.id], 4000);
  const retry = async () => {
    try {
      const answer = await retryDelivery(id, row.id);
      toast(`Sent again as ${answer.delivery_id}`);
      again();
    } catch (problem) {
      toast(problem.message);
    }
  };
  return html`<${Loaded} state=${state}>${(whole) => {
    const attempts = whole.attempts || [row];
    const last = attempts.find((one) => one.attempt_id === row.attempt_id) || attempts[attempts.length - 1] || row;
    const payload = whole.payload ?? last.payload;
    return html`<div class="stack">
      <div class="row between"><span class="mono small">${row.id} <${Copy} text=${row.id} label="Copy the delivery id" /></span>
        <div class="row">${payload !== undefined && payload !== null && html`<${Copy} text=${asCurl(webhook && webhook.url, last.request_headers, payload)} label="Copy the request as a curl command">Copy as curl<//>`}
          ${me.scopes.includes('write') && html`<button type="button" onClick=${retry}>Send again</button>`}</div></div>
      ${row.error && html`<div class="notice bad"><strong>${row.error.message}</strong><span class="small">class ${row.error.class}</span></div>`}
      <ol class="timeline">${attempts.map((one) => html`<li class=${one.status === 'delivered' ? 'good' : one.error ? 'bad' : ''}><span class="row"><strong>Attempt ${one.attempt}</strong><${Badge} of=${one.status} /><${Time} at=${one.started_at} clock /></span>
        <span class="small">${one.http_status ? `status ${one.http_status}` : ''} ${one.error ? one.error.message : ''} ${one.timing ? `· ${duration(one.timing.total_ms)}` : ''}${one.next_attempt_at && one.status === 'retrying' ? html` · next <${Time} at=${one.next_attempt_at} />` : ''}</span></li>`)}</ol>
      <${Exchange} one=${{ ...last, payload }} profile=${webhook && webhook.profile} />
    </div>`;
  }}<//>`;
}

/** Everything of a time range again. What matches is counted before anything can be sent, and again after each change. */
function Again({ webhook, onClose, again }) {
  const id = webhook.uid || webhook.id;
  const [form, set] = useState({ range: '60', status: 'failed' });
  const body = () => ({ since: since(form.range) || new Date(0).toISOString(), ...(form.status && { status: form.status }) });
  const found = useLoaded(async () => ({ of: form, ...(await replay(id, { ...body(), dry_run: true })) }), [form.range, form.status]);
  const matched = found.value && found.value.of === form && !found.problem ? found.value.matched : null;
  return html`<${Confirm} title="Send again" action=${matched ? `Send ${count(matched)} again` : 'Send again'} disabled=${!matched} onClose=${onClose}
      onDone=${async () => {
        const answer = await replay(id, body());
        toast(`${count(answer.retried)} sent again`);
        again();
      }}>
    <${Field} label="Of which time">${(field) => html`<${Select} id=${field} value=${form.range} onChange=${(range) => set({ ...form, range })} options=${SINCE} />`}<//>
    <${Field} label="Which">${(field) => html`<${Select} id=${field} value=${form.status} onChange=${(status) => set({ ...form, status })} options=${[['failed', 'those that failed'], ['delivered', 'those that were delivered'], ['', 'all']]} />`}<//>
    <p role="status">${matched === null ? (found.problem ? '' : 'Counting …') : matched === 0 ? 'No delivery matches.' : html`<strong>${count(matched)}</strong> ${matched === 1 ? 'delivery matches' : 'deliveries match'}. Nothing is sent yet.`}</p>
    <${Problem} problem=${found.problem} />
  <//>`;
}

export function AllDeliveries({ route, me, apps }) {
  const { names } = route;
  if (names[1]) return html`<${ByIdent} id=${names[1]} me=${me} />`;
  const app = appOf(me, apps, route.query.app);
  return html`<div class="stack"><div class="row between"><h1>Deliveries</h1><a href=${link('dead-letters')}>Dead letters</a></div>
    <${AppFilter} me=${me} apps=${apps} value=${app} onChange=${(value) => setQuery({ app: value, cursor: '' })} />
    <${Deliveries} route=${route} me=${me} app=${app} /></div>`;
}

function ByIdent({ id, me }) {
  const state = useLoaded(() => anyDelivery(id).catch(() => readFailed(id)), [id]);
  return html`<div class="stack"><h1 class="mono">${id}</h1><${Loaded} state=${state}>${(value) => html`<section class="card"><${Detail} row=${{ attempt: value.attempts, ...value, id }} me=${me} again=${state.again} /></section>`}<//></div>`;
}

export function DeadLetters({ route, me, apps }) {
  const { webhook, since: range, cursor } = route.query;
  const app = appOf(me, apps, route.query.app);
  const known = useLoaded(() => listWebhooks({ app_id: app, limit: 200 }), [app]);
  const named = Object.fromEntries(((known.value && known.value.webhooks) || []).map((one) => [one.uid, one.name || one.uid]));
  const [asks, ask] = useState(null);
  const [chosen, setChosen] = useState([]);
  const which = { webhookId: webhook, since: since(range), app_id: app };
  const state = useLoaded(() => listFailed({ ...which, limit: 50, cursor }), [webhook, range, cursor, app], cursor ? 0 : 5000);
  const may = me.scopes.includes('write');
  const toggle = (id) => setChosen(chosen.includes(id) ? chosen.filter((one) => one !== id) : [...chosen, id]);
  const begin = async (what, body) => {
    try {
      const found = what === 'purge' ? await purgeFailed({ ...body, ids: body.ids && body.ids.join(','), dry_run: true }) : await retryFailed({ ...body, dry_run: true });
      ask({ what, body, matched: found.matched, more: found.more });
    } catch (problem) {
      toast(problem.message);
    }
  };
  const clean = (body) => Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined && value !== ''));
  return html`<div class="stack">
    <div class="row between"><h1>Dead letters</h1>${state.value && html`<${Export} rows=${state.value.failed} name="dead-letters" />`}</div>
    <section class="card stack">
      <div class="row between"><div class="row grow"><${AppFilter} me=${me} apps=${apps} value=${app} onChange=${(value) => setQuery({ app: value, webhook: '', cursor: '' })} />
        <div class="filter"><${Field} label="Webhook">${(field) => html`<${Select} id=${field} value=${webhook || ''} onChange=${(value) => setQuery({ webhook: value, cursor: '' })} options=${[['', 'all webhooks'], ...Object.entries({ ...(webhook && { [webhook]: webhook }), ...named })]} />`}<//></div>
        <div class="filter"><${Field} label="Failed in">${(field) => html`<${Select} id=${field} value=${range || ''} onChange=${(value) => setQuery({ since: value, cursor: '' })} options=${SINCE} />`}<//></div></div>
        ${may && html`<div class="row low">
          ${chosen.length > 0 && html`<button type="button" class="main-action" onClick=${() => begin('retry', { ids: chosen })}>Send ${chosen.length} again …</button>`}
          <button type="button" disabled=${!state.value || !state.value.failed.length} onClick=${() => begin('retry', clean(which))}>Send all again …</button>
          <button type="button" class="destroys" disabled=${!state.value || !state.value.failed.length} onClick=${() => begin('purge', clean(which))}>Delete all …</button></div>`}</div>
      <${Loaded} state=${state}>${(value) => value.failed.length === 0
        ? html`<${Empty} title="No dead letters"><span>Deliveries come here when every attempt has failed. Nothing is lost: they wait until you send or delete them.</span><code>sockudo-py webhooks failed</code><//>`
        : html`<${Rows} label="Dead letters" rows=${value.failed} keyOf=${(row) => row.id}
            columns=${[{ hidden: 'Choose' }, { name: 'Failed', class: 'nowrap' }, { name: 'Webhook' }, { name: 'Events', class: 'wide-only' }, { name: 'Error' }, { name: 'Attempts', class: 'right' }]}
            cells=${(row) => [html`<input type="checkbox" aria-label=${`Choose ${row.id}`} checked=${chosen.includes(row.id)} onChange=${() => toggle(row.id)} />`, html`<${Time} at=${row.failed_at} />`, html`<a href=${link(['webhooks', row.webhook_id])}>${named[row.webhook_id] || row.webhook_id}</a>`, html`<span class="small">${(row.event_types || []).join(', ')}</span>`, html`<span class="small">${row.error ? row.error.message || row.error.class : ''}</span>`, count(row.attempts)]}
            detail=${(row) => html`<${Letter} row=${row} />`} />
          <div class="row">${cursor && html`<button type="button" onClick=${() => setQuery({ cursor: '' })}>Newest</button>`}${value.next_cursor && html`<button type="button" onClick=${() => setQuery({ cursor: value.next_cursor })}>Older</button>`}</div>`}<//>
    </section>
    ${asks && html`<${Confirm} title=${asks.what === 'purge' ? 'Delete dead letters?' : 'Send dead letters again?'} action=${asks.what === 'purge' ? 'Delete for good' : 'Send again'} typed=${asks.what === 'purge' ? 'delete' : undefined} onClose=${() => ask(null)}
      onDone=${async () => {
        const answer = asks.what === 'purge' ? await purgeFailed({ ...asks.body, ids: asks.body.ids && asks.body.ids.join(',') }) : await retryFailed(asks.body);
        toast(asks.what === 'purge' ? `${count(answer.deleted)} deleted` : `${count(answer.retried)} sent again`);
        setChosen([]);
        state.again();
      }}><p><strong>${count(asks.matched)}${asks.more ? ' or more' : ''}</strong> dead letters match.</p><//>`}
  </div>`;
}

function Letter({ row }) {
  const state = useLoaded(() => readFailed(row.id), [row.id]);
  return html`<${Loaded} state=${state}>${(value) => html`<div class="stack tight"><dl class="pairs"><dt>Delivery</dt><dd class="mono">${row.id}</dd><dt>Made</dt><dd><${Time} at=${value.created_at} /></dd><dt>Error</dt><dd>${value.error ? `${value.error.class}: ${value.error.message}` : '–'}</dd></dl><${Raw} value=${value.payload ?? value.job ?? value} /></div>`}<//>`;
}
