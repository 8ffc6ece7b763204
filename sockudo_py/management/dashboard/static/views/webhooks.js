// View 5: webhooks. A list with their state, creation in three steps, one webhook with all that can be done.
import { html, useEffect, useState } from '../vendor/preact-htm.js';
import { get, part } from '../api.js';
import { go, link, setQuery } from '../route.js';
import { AppFilter, Badge, Bars, Confirm, Copy, Empty, Export, Field, Loaded, Problem, Raw, Rows, Select, Time, count, appOf, duration, toast, useLoaded } from '../parts.js';
import { catalogue, changeWebhook, createWebhook, deleteWebhook, disableWebhook, enableWebhook, listWebhooks, readDelivery, readWebhook, resync, rotateSecret, statsOf, testWebhook } from '../webhooks_api.js';
import { Deliveries } from './deliveries.js';

export const BUILT_IN = ['channel_occupied', 'channel_vacated', 'member_added', 'member_removed', 'client_event', 'cache_miss', 'subscription_count'];
const PROFILES = [['pusher', 'Pusher: signed with the app’s secret'], ['standard', 'Standard Webhooks: a secret of its own'], ['sockudo', 'Sockudo: as Pusher, with sha256='], ['remotedevai', 'X-Webhook-Signature over time and body'], ['irisx', 'X-IRISX-Signature'], ['pulse', 'Pulse'], ['realcast', 'RealCast']];

/** What state a webhook is in, from its document and its statistics. */
export function stateOf(webhook, stats) {
  if (webhook.enabled === false) return 'disabled';
  if (stats && stats.circuit && stats.circuit !== 'closed') return 'circuit open';
  if (stats && stats.consecutive_failures > 0) return 'failing';
  return 'healthy';
}

const target = (webhook) => webhook.url || (webhook.lambda && `Lambda ${webhook.lambda.function_name}`) || (webhook.feed && 'feed') || '–';
const events = (webhook) => webhook.event_types || webhook.events || [];

export function Webhooks({ route, me, apps }) {
  const [, id] = route.names;
  if (id === 'new') return html`<${Create} apps=${apps} app=${route.query.app} />`;
  if (id) return html`<${One} key=${id} id=${id} route=${route} me=${me} />`;
  return html`<${List} route=${route} me=${me} apps=${apps} />`;
}

function List({ route, me, apps }) {
  const { cursor } = route.query;
  const app = appOf(me, apps, route.query.app);
  const state = useLoaded(() => listWebhooks({ app_id: app, limit: 50, cursor, figures: true }), [app, cursor], 15000);
  const add = link(['webhooks', 'new'], { app });
  return html`<div class="stack">
    <div class="row between"><h1>Webhooks</h1><div class="row">
      ${state.value && html`<${Export} rows=${state.value.webhooks} name="webhooks" />`}
      ${me.scopes.includes('write') && html`<a class="button main-action" href=${add}>Add webhook</a>`}</div></div>
    <${AppFilter} me=${me} apps=${apps} value=${app} onChange=${(value) => setQuery({ app: value, cursor: '' })} />
    <section class="card"><${Loaded} state=${state}>${(value) => value.webhooks.length === 0
      ? html`<${Empty} title="No webhook yet"><span>A webhook tells your backend when channels fill and empty, members come and go, and clients send events.</span>
          ${me.scopes.includes('write') ? html`<a class="button main-action" href=${add}>Add webhook</a>` : ''}<//>`
      : html`<${Rows} label="Webhooks" rows=${value.webhooks} keyOf=${(row) => row.uid || row.id} onOpen=${(row) => go(['webhooks', row.uid || row.id])}
          columns=${[{ name: 'Name' }, { name: 'State' }, { name: 'Time', class: 'right nowrap' }, { name: 'Last attempts', class: 'wide-only' }, { name: 'Succeeded', class: 'right wide-only' }, { name: 'Events', class: 'wide-only' }]}
          cells=${(row) => [html`<a href=${link(['webhooks', row.uid || row.id])}>${row.name || row.uid || row.id}</a><div class="muted small">${row.app_id}</div><div class="mono small">${target(row)}</div>`,
            html`<${State} webhook=${row} stats=${row.figures} />`,
            row.figures.attempts ? html`<strong>${duration(row.figures.avg_duration_ms)}</strong><div class="small muted">p95 ${duration(row.figures.p95_duration_ms)}</div>` : html`<span class="muted">–</span>`,
            row.figures.recent.length ? html`<${Bars} recent=${row.figures.recent} top=${Math.max(1, ...value.webhooks.flatMap((one) => one.figures.recent.map(([ms]) => ms)))} />` : html`<span class="muted small">none yet</span>`,
            html`<${Share} figures=${row.figures} />`,
            html`<span class="small">${events(row).join(', ') || 'none'}</span>`]} />
        <div class="row">${cursor && html`<button type="button" onClick=${() => setQuery({ cursor: '' })}>Newest</button>`}${value.next_cursor && html`<button type="button" onClick=${() => setQuery({ cursor: value.next_cursor })}>More</button>`}</div>`}<//></section>
  </div>`;
}

function State({ webhook, stats }) {
  const state = stateOf(webhook, stats);
  const since = stats && state === 'failing' && stats.last_success_at;
  return html`<${Badge} of=${state} />${since && html`<div class="small muted">last success <${Time} at=${since} /></div>`}${webhook.disabled_reason && html`<div class="small muted">${webhook.disabled_reason}</div>`}`;
}

function LoadedState({ webhook }) {
  const stats = useLoaded(() => statsOf(webhook.uid || webhook.id).catch(() => null), [webhook.uid], 15000);
  return html`<${State} webhook=${webhook} stats=${stats.value} />`;
}

/** How many of the deliveries that are over were taken. */
function Share({ figures }) {
  const total = figures.successful + figures.failed;
  if (!total) return html`<span class="muted">–</span>`;
  const share = Math.floor((figures.successful / total) * 1000) / 10;
  return html`${share} %<div class="small muted">of ${count(total)}</div>`;
}

// -- adding one, in three steps

function Create({ apps, app: preset }) {
  const [step, setStep] = useState(1);
  const [form, set] = useState({ app: preset || apps[0] || '', name: '', kind: 'url', url: '', profile: 'pusher', events: ['channel_occupied', 'channel_vacated'], prefix: '', type: '', enabled: true });
  const [state, setState] = useState({ busy: false, problem: null, made: null });
  const change = (values) => set((old) => ({ ...old, ...values }));
  const problems = Object.fromEntries(((state.problem && state.problem.fields) || []).map((one) => [one.field.split('.')[0], one.message]));
  const submit = async (event) => {
    event.preventDefault();
    if (step < 3) return setStep(step + 1);
    setState({ busy: true, problem: null, made: null });
    const filter = { ...(form.prefix && { channel_prefix: form.prefix }), ...(form.type && { channel_type: form.type }) };
    const body = { name: form.name, event_types: form.events, profile: form.profile, enabled: form.enabled, ...(form.kind === 'feed' ? { feed: {} } : { url: form.url }), ...(Object.keys(filter).length && { filter }) };
    try {
      setState({ busy: false, problem: null, made: await createWebhook(form.app, body) });
    } catch (problem) {
      setState({ busy: false, problem, made: null });
      if (problem.code === 'https_required' || problem.code === 'blocked_address' || (problem.fields || []).some((one) => one.field === 'url')) setStep(1);
    }
    return undefined;
  };
  if (state.made) return html`<${Made} webhook=${state.made} />`;
  return html`<form class="stack" onSubmit=${submit} aria-label="Add webhook">
    <div><a class="small" href=${link('webhooks', { app: preset })}>Webhooks</a><h1>Add webhook</h1></div>
    <ol class="steps">${['Where to', 'What', 'Check'].map((name, at) => html`<li aria-current=${step === at + 1 ? 'step' : undefined}>${at + 1}. ${name}</li>`)}</ol>
    <section class="card stack">
      ${step === 1 && html`
        <${Field} label="App">${(id) => html`<${Select} id=${id} value=${form.app} onChange=${(app) => change({ app })} options=${apps.map((one) => [one, one])} />`}<//>
        <${Field} label="Name" value=${form.name} placeholder="Orders service" problem=${problems.name} onInput=${(event) => change({ name: event.target.value })} />
        <${Field} label="URL" type="url" required=${form.kind === 'url'} value=${form.url} placeholder="https://example.com/webhooks" problem=${problems.url} hint="Must be reachable from this server. Private addresses are refused unless the operator allows them." onInput=${(event) => change({ url: event.target.value })} />
        <${Field} label="Signature" hint=${form.profile === 'pusher' || form.profile === 'sockudo' ? 'The app’s secret verifies it; Pusher’s server SDKs do. Choose Standard Webhooks for a secret that only this receiver has.' : 'A secret is made for this webhook, and shown once.'}>${(id, about) => html`<${Select} id=${id} aria-describedby=${about} value=${form.profile} onChange=${(profile) => change({ profile })} options=${PROFILES} />`}<//>`}
      ${step === 2 && html`<${What} form=${form} change=${change} />`}
      ${step === 3 && html`<dl class="pairs"><dt>App</dt><dd>${form.app}</dd><dt>Name</dt><dd>${form.name || '–'}</dd><dt>URL</dt><dd class="mono">${form.url}</dd><dt>Signature</dt><dd>${form.profile}</dd><dt>Events</dt><dd>${form.events.join(', ') || 'none'}</dd><dt>Channels</dt><dd>${[form.type, form.prefix && `that begin with ${form.prefix}`].filter(Boolean).join(' ') || 'all'}</dd></dl>
        <label class="check"><input type="checkbox" checked=${form.enabled} onChange=${(event) => change({ enabled: event.target.checked })} /><span>Enabled: deliver at once</span></label>`}
      <${Problem} problem=${state.problem} />
      <div class="row">${step > 1 && html`<button type="button" onClick=${() => setStep(step - 1)}>Back</button>`}
        <button class="main-action" disabled=${state.busy}>${step < 3 ? 'Next' : 'Create webhook'}</button></div>
    </section>
  </form>`;
}

function What({ form, change }) {
  const known = useLoaded(() => catalogue(form.app), [form.app]);
  const names = [...new Set([...BUILT_IN, ...((known.value && known.value.events) || []).map((one) => one.name || one.event_type)])].filter(Boolean);
  const all = form.events.includes('*');
  const toggle = (name) => change({ events: form.events.includes(name) ? form.events.filter((one) => one !== name) : [...form.events, name] });
  const channels = useLoaded(() => get(`/api/apps/${part(form.app)}/channels?limit=100`).catch(() => null), [form.app]);
  const fits = (name) => {
    const kind = /^(private-encrypted|private|presence)-(cache-)?|^cache-/.exec(name);
    const bare = name.replace(/^(private-encrypted-|private-|presence-)?(cache-)?/, '');
    const type = name.startsWith('presence-') ? 'presence' : name.startsWith('private-') ? 'private' : kind ? 'cache' : 'public';
    return (!form.type || form.type === type) && (!form.prefix || name.startsWith(form.prefix) || bare.startsWith(form.prefix));
  };
  const now = channels.value ? channels.value.channels.filter((one) => fits(one.channel)) : null;
  return html`<fieldset class="stack tight"><legend class="label">Events</legend>
      <label class="check"><input type="checkbox" checked=${all} onChange=${() => change({ events: all ? [] : ['*'] })} /><span>All events, also those that come later</span></label>
      ${!all && html`<div class="cards">${names.map((name) => html`<label class="check"><input type="checkbox" checked=${form.events.includes(name)} onChange=${() => toggle(name)} /><span class="mono">${name}</span></label>`)}</div>`}
    </fieldset>
    <div class="cards">
      <${Field} label="Only channels of this type">${(id) => html`<${Select} id=${id} value=${form.type} onChange=${(type) => change({ type })} options=${[['', 'all types'], ['public', 'public'], ['private', 'private'], ['presence', 'presence']]} />`}<//>
      <${Field} label="Only channels that begin with" value=${form.prefix} placeholder="orders-" onInput=${(event) => change({ prefix: event.target.value })} />
    </div>
    ${now && html`<p class="small muted" role="status">${now.length ? `Of the channels that are occupied now, these match: ${now.slice(0, 12).map((one) => one.channel).join(', ')}${now.length > 12 ? ' …' : ''}` : 'No channel that is occupied now matches.'}</p>`}`;
}

export function SecretOnce({ secret }) {
  return html`<div class="notice warn"><strong>Copy the webhook secret now: it is shown only once.</strong>
    <div class="secret"><code data-secret>${secret}</code><${Copy} text=${secret} label="Copy the webhook secret">Copy<//></div></div>`;
}

function Made({ webhook }) {
  const id = webhook.uid || webhook.id;
  return html`<div class="stack"><h1>${webhook.name || 'Webhook'} is ready</h1>
    ${webhook.secret ? html`<${SecretOnce} secret=${webhook.secret} />` : html`<div class="notice"><span>It is signed with the app’s secret, which your Pusher SDK has already. Profiles with a secret of their own: Standard Webhooks and the others.</span></div>`}
    ${(webhook.warnings || []).map((text) => html`<div class="notice warn"><span>${text}</span></div>`)}
    <div class="row"><a class="button main-action" href=${link(['webhooks', id], { tab: 'test' })}>Send a test event</a><a class="button" href=${link(['webhooks', id])}>Open</a></div></div>`;
}

// -- one webhook

const TABS = [['', 'State'], ['test', 'Test'], ['deliveries', 'Deliveries'], ['settings', 'Settings']];

function One({ id, route, me }) {
  const state = useLoaded(() => readWebhook(id), [id], 10000);
  const tab = route.query.tab || '';
  const may = me.scopes.includes('write');
  return html`<${Loaded} state=${state}>${(webhook) => html`<div class="stack">
    <div class="row between top"><div><a class="small" href=${link('webhooks', { app: webhook.app_id })}>Webhooks</a><h1>${webhook.name || webhook.uid || webhook.id}</h1><div class="mono small muted">${target(webhook)}</div></div>
      <div class="row"><${LoadedState} webhook=${webhook} />${may && html`<${Switch} webhook=${webhook} again=${state.again} />`}</div></div>
    <nav class="tabs" aria-label="Parts of this webhook">${TABS.map(([key, name]) => html`<a href=${link(['webhooks', id], { tab: key })} aria-current=${tab === key ? 'page' : undefined}>${name}</a>`)}</nav>
    ${tab === '' && html`<${Stats} webhook=${webhook} may=${may} />`}
    ${tab === 'test' && html`<${Test} webhook=${webhook} may=${may} />`}
    ${tab === 'deliveries' && html`<${Deliveries} webhook=${webhook} route=${route} me=${me} />`}
    ${tab === 'settings' && html`<${Settings} webhook=${webhook} may=${may} again=${state.again} />`}
  </div>`}<//>`;
}

function Switch({ webhook, again }) {
  const id = webhook.uid || webhook.id;
  const enabled = webhook.enabled !== false;
  const set = async (on) => {
    try {
      await (on ? enableWebhook(id) : disableWebhook(id));
      again();
      toast(on ? 'Enabled' : 'Disabled: what waits is kept', on ? null : () => set(true));
    } catch (problem) {
      toast(problem.message);
    }
  };
  return html`<button type="button" onClick=${() => set(!enabled)}>${enabled ? 'Disable' : 'Enable'}</button>`;
}

function Stats({ webhook, may }) {
  const id = webhook.uid || webhook.id;
  const state = useLoaded(() => statsOf(id), [id], 5000);
  const [answer, setAnswer] = useState(null);
  const [asks, ask] = useState(false);
  return html`<div class="stack"><${Loaded} state=${state}>${(value) => html`
      ${value.consecutive_failures > 0 && html`<div class="notice warn"><strong>Failing: ${count(value.consecutive_failures)} failures in a row.</strong><span>Last success: <${Time} at=${value.last_success_at} />. <a href=${link(['webhooks', id], { tab: 'deliveries', status: 'retrying' })}>What is being retried</a> · <a href=${link('dead-letters', { webhook: id })}>Dead letters</a></span></div>`}
      <div class="cards">
        <section class="card"><span class="muted small">Succeeded</span><div class="figure">${count(value.successful)}</div><span class="small muted">of ${count(value.total)}</span></section>
        <section class="card"><span class="muted small">Failed for good</span><div class="figure">${count(value.failed)}</div></section>
        <section class="card"><span class="muted small">Pending</span><div class="figure">${count(value.pending)}</div><span class="small muted">${count(value.retrying)} retrying</span></section>
        <section class="card"><span class="muted small">Average time</span><div class="figure">${duration(value.avg_duration_ms)}</div><span class="small muted">p95 ${duration(value.p95_duration_ms)}</span></section>
      </div>
      <section class="card"><dl class="pairs"><dt>Last success</dt><dd><${Time} at=${value.last_success_at} /></dd><dt>Last failure</dt><dd><${Time} at=${value.last_failure_at} /></dd><dt>Circuit</dt><dd>${value.circuit || 'closed'}</dd><dt>Webhook id</dt><dd class="mono">${id} <${Copy} text=${id} label="Copy the webhook id" /></dd></dl></section>`}<//>
    ${may && html`<section class="card stack"><h2>The receiver has lost its state?</h2><p class="muted">Resync sends the present truth (occupied channels, present members) as ordinary signed events, then goes on with live ones. None is missing in between.</p>
      <div><button type="button" onClick=${() => ask(true)}>Resync …</button></div>
      ${answer && html`<div class="notice good" role="status"><strong>Resync ${answer.resync_id || answer.id || ''} has begun.</strong></div>`}
      ${asks && html`<${Confirm} title="Resync this receiver?" action="Resync" onClose=${() => ask(false)} onDone=${async () => setAnswer(await resync(id))}><p>Every occupied channel and every member is told again, marked with a resync id.</p><//>`}</section>`}
  </div>`;
}

function Test({ webhook, may }) {
  const id = webhook.uid || webhook.id;
  const known = useLoaded(() => catalogue(webhook.app_id), [webhook.app_id]);
  const names = [...new Set([...((known.value && known.value.events) || []).map((one) => one.name || one.event_type), ...BUILT_IN])].filter(Boolean);
  const [event, setEvent] = useState('channel_occupied');
  const [state, set] = useState({ busy: false, problem: null, answer: null });
  const send = async (submitted) => {
    submitted.preventDefault();
    set({ busy: true, problem: null, answer: null });
    try {
      const answer = await testWebhook(id, event);
      set({ busy: false, problem: null, answer });
      for (let tries = 0; tries < 8; tries += 1) { // the history is written once a second
        await new Promise((done) => setTimeout(done, 500));
        const kept = await readDelivery(id, answer.delivery_id).catch(() => null);
        if (kept) {
          set({ busy: false, problem: null, answer: { ...answer, ...kept, error: answer.error } });
          break;
        }
      }
    } catch (problem) {
      set({ busy: false, problem, answer: null });
    }
  };
  const answer = state.answer;
  return html`<div class="stack">
    <form class="card stack" onSubmit=${send}><h2>Send a test event</h2>
      <${Field} label="Event type">${(field) => html`<${Select} id=${field} value=${event} onChange=${setEvent} options=${names.map((name) => [name, name])} />`}<//>
      <div><button class="main-action" disabled=${!may || state.busy}>${state.busy ? 'Waiting for the answer …' : 'Send test event'}</button></div>
      <p class="muted small">One attempt, at once, marked as a test. It is not counted and not retried.</p>
    </form>
    <${Problem} problem=${state.problem} />
    ${answer && html`<section class="card stack" aria-label="Result" role="status">
      <div class="head"><h2>${answer.success ? 'The receiver took it' : 'The receiver did not take it'}</h2><${Badge} of=${answer.success ? 'delivered' : 'failed'}>${answer.status_code || (answer.error && (answer.error.class || answer.error)) || 'failed'}<//></div>
      <dl class="pairs"><dt>Time</dt><dd>${duration(answer.duration_ms)}</dd>${answer.error && html`<dt>Error</dt><dd>${answer.error.message || String(answer.error)}</dd>`}</dl>
      <${Exchange} one=${answer} profile=${webhook.profile} />
    </section>`}
  </div>`;
}

/** A request, what of it was signed, and the answer. */
const SIGNED = { remotedevai: '{timestamp}.{body}', irisx: '{timestamp}.{body}', standard: '{webhook-id}.{webhook-timestamp}.{body}' };

export function Exchange({ one, profile }) {
  const headers = one.request_headers || (one.request && one.request.headers);
  const body = one.request_body ?? (one.request && one.request.body) ?? one.payload;
  const signed = one.signed;
  return html`<div class="cards two">
    <div class="stack tight"><h3>Request</h3>
      ${headers && html`<${Raw} label="Request headers" value=${Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('\n')} />`}
      ${body !== undefined && body !== null && html`<${Raw} label="Request body" value=${body} />`}
      ${signed && html`<h3>What was signed</h3><dl class="pairs"><dt>Text</dt><dd><code>${SIGNED[profile] || '{body}'}</code></dd><dt>Length</dt><dd>${count(signed.bytes)} bytes</dd><dt>SHA-256</dt><dd class="mono small">${signed.sha256}</dd></dl><p class="small muted">Your code must verify exactly these bytes: the body as it came, before anything parses it. If the length differs, something on the way, or your framework, changed it.</p>`}
    </div>
    <div class="stack tight"><h3>Answer</h3>
      ${one.response_body ? html`<${Raw} label="Answer" value=${one.response_body} />` : html`<p class="muted">No body.</p>`}
      ${one.timing && html`<dl class="pairs">${Object.entries(one.timing).map(([name, value]) => html`<dt>${name.replace('_ms', '')}</dt><dd>${duration(value)}</dd>`)}</dl>`}
    </div>
  </div>`;
}

function Settings({ webhook, may: allowed, again }) {
  let may = allowed;
  const id = webhook.uid || webhook.id;
  const [form, set] = useState({ name: webhook.name || '', description: webhook.description || '', url: webhook.url || '', events: events(webhook).join(', ') });
  const [state, setState] = useState({ busy: false, problem: null });
  const [secret, setSecret] = useState(null);
  const [asks, ask] = useState(null);
  const problems = Object.fromEntries(((state.problem && state.problem.fields) || []).map((one) => [one.field.split('.')[0], one.message]));
  const save = async (event) => {
    event.preventDefault();
    setState({ busy: true, problem: null });
    try {
      await changeWebhook(id, { name: form.name, description: form.description, ...(webhook.url && { url: form.url }), event_types: form.events.split(',').map((one) => one.trim()).filter(Boolean) });
      setState({ busy: false, problem: null });
      again();
      toast('Saved');
    } catch (problem) {
      setState({ busy: false, problem });
    }
  };
  const input = (name) => ({ value: form[name], disabled: !may, problem: problems[name], onInput: (event) => set({ ...form, [name]: event.target.value }) });
  const file = webhook.source === 'file';
  if (file) may = false;
  return html`${file && html`<div class="notice"><span>This webhook stands in the configuration: it is changed there. It can be switched on and off here.</span></div>`}
  <div class="cards two">
    <form class="card stack" onSubmit=${save}><h2>Settings</h2>
      <${Field} label="Name" ...${input('name')} /><${Field} label="Description" ...${input('description')} />
      ${webhook.url && html`<${Field} label="URL" ...${input('url')} />`}
      <${Field} label="Events" hint="Names, separated by commas; * stands for all." ...${input('events')} problem=${problems.event_types} />
      <${Problem} problem=${state.problem} /><div><button class="main-action" disabled=${!may || state.busy}>Save</button></div></form>
    <div class="stack">
      <section class="card stack"><h2>Secret</h2>
        ${webhook.signed_with === 'app' ? html`<p class="muted">Signed with the app’s secret. To rotate it give the app a second key in the configuration.</p>` : html`
          <p class="muted">A new secret signs at once. The old one signs beside it until its time is over, so that receivers can change without losing a request.</p>
          ${new Date(webhook.previous_secret_expires_at) > new Date() && html`<p role="status">The old secret signs, too, and ends <strong><${Time} at=${webhook.previous_secret_expires_at} /></strong></p>`}
          ${secret && html`<${SecretOnce} secret=${secret.secret} />`}
          <div><button type="button" disabled=${!may} onClick=${() => ask('rotate')}>Rotate the secret …</button></div>`}
      </section>
      ${may && html`<section class="card stack"><h2>Delete</h2><p class="muted">What waits for it becomes dead letters.</p><div><button type="button" class="destroys" onClick=${() => ask('delete')}>Delete …</button></div></section>`}
    </div>
    ${asks === 'rotate' && html`<${Rotate} onClose=${() => ask(null)} onDone=${async (grace) => { setSecret(await rotateSecret(id, grace)); again(); }} />`}
    ${asks === 'delete' && html`<${Confirm} title="Delete this webhook?" action="Delete" typed=${webhook.name || id} onClose=${() => ask(null)} onDone=${async () => { await deleteWebhook(id); toast('Deleted'); go('webhooks', { app: webhook.app_id }); }}><p>Its waiting deliveries become dead letters of the class endpoint_deleted. Its history stays until it is too old.</p><//>`}
  </div>`;
}

const GRACE = [['86400', 'for 24 hours'], ['3600', 'for an hour'], ['604800', 'for 7 days'], ['0', 'not any more: it has leaked']];

function Rotate({ onDone, onClose }) {
  const [grace, set] = useState('86400');
  return html`<${Confirm} title="Rotate the secret?" action="Rotate" onClose=${onClose} onDone=${() => onDone(Number(grace))}>
    <${Field} label="The old secret goes on signing">${(field) => html`<${Select} id=${field} value=${grace} onChange=${set} options=${GRACE} />`}<//>
    <p>${grace === '0' ? 'A receiver that checks with the old secret refuses requests until it has the new one. They are tried again meanwhile.' : 'Requests carry both signatures until then. The new secret is shown once, after this: put it into the receiver before the time is over.'}</p><//>`;
}
