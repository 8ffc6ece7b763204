// View 4: why a client can't connect or subscribe, with the cause and what to change where.
import { html } from '../vendor/preact-htm.js';
import { get, query } from '../api.js';
import { link, setQuery } from '../route.js';
import { AppFilter, Copy, Empty, Loaded, Time, appOf, count, useLoaded } from '../parts.js';

const WHAT = { connection: 'Connection refused', subscription: 'Subscription refused', message: 'Message refused', request: 'Backend’s request refused' };

export function Why({ route, me, apps }) {
  const app = appOf(me, apps, route.query.app);
  const state = useLoaded(() => get(`/api/refusals${query({ app_id: app, limit: 100 })}`), [app], 3000);
  return html`<div class="stack">
    <h1>Why can’t my client connect or subscribe?</h1>
    <${AppFilter} me=${me} apps=${apps} value=${app} all="all apps, and refusals that name none" onChange=${(value) => setQuery({ app: value })} />
    <${Loaded} state=${state}>${(value) => value.refusals.length === 0
      ? html`<div class="card"><${Empty} title="Nobody was refused"><span>The last refusals of each app appear here, with their cause and what to change. Try again with the client that fails, while this page is open.</span><//></div>`
      : value.refusals.map((one) => html`<${Refusal} key=${`${one.app_id}-${one.what}-${one.code}-${one.channel}-${one.address}`} one=${one} />`)}<//>
  </div>`;
}

function Refusal({ one }) {
  return html`<article class="card stack tight" data-reason=${one.name}>
    <div class="row between">
      <span class="muted small">${WHAT[one.what]}${one.app_id ? ` · app ${one.app_id}` : ''}${one.channel ? ` · ${one.channel}` : ''}</span>
      <span class="muted small">${one.count > 1 ? `${count(one.count)} times, last ` : ''}<${Time} at=${one.last_at} /></span>
    </div>
    <h2>${one.cause}</h2>
    <p><strong>Remedy: </strong>${one.remedy}</p>
    ${one.expected_string && html`<div class="stack tight"><span class="small muted">The server expected this string to be signed, with the secret of the key:</span>
      <div class="secret"><code>${one.expected_string}</code><${Copy} text=${one.expected_string} label="Copy the expected string" /></div></div>`}
    <details><summary>What the client was told, and from where it came</summary>
      <dl class="pairs">
        <dt>Told</dt><dd>${one.told}</dd>
        <dt>Code</dt><dd><code>${one.code}</code></dd>
        <dt>Address</dt><dd class="mono">${one.address}</dd>
        ${['request', 'path', 'key', 'origin', 'protocol'].map((name) => one[name] && html`<dt>${name}</dt><dd class="mono">${one[name]}</dd>`)}
        ${one.socket_id && html`<dt>Socket</dt><dd><a href=${link('inspect', { q: one.socket_id, app: one.app_id })}>${one.socket_id}</a></dd>`}
      </dl>
    </details>
  </article>`;
}
