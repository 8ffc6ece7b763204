// View 3: one box. Paste anything; what it is, its state, what may be done, where to go on.
import { html, useState } from '../vendor/preact-htm.js';
import { get, part, post, query } from '../api.js';
import { link } from '../route.js';
import { Badge, Confirm, Copy, Empty, Loaded, Raw, Rows, Time, count, toast, useLoaded } from '../parts.js';
import { Creator } from './console.js';

export function Inspector({ route, me }) {
  const { q, app } = route.query;
  const state = useLoaded(() => (q ? get(`/api/inspect${query({ q, app_id: app })}`) : Promise.resolve({ found: [] })), [q, app], 5000);
  return html`<div class="stack">
    <h1>Inspector</h1>
    ${!q
      ? html`<${Empty} title="Paste something into the box above"><span>A channel, a user, a socket id, an app, a webhook or a delivery.</span><span><kbd>/</kbd> puts the cursor there.</span><//>`
      : html`<${Loaded} state=${state}>${(value) => value.found.length
          ? value.found.map((one) => html`<${Found} key=${`${one.type}-${one.app_id}`} one=${one} me=${me} again=${state.again} />`)
          : html`<${Empty} title=${`Nothing here is called ${q}`}><span>No channel of this name is occupied, no user of this id is signed in, and no socket has this id on this server.</span>
              <a href=${link('console', { channel: q })}>Watch for a channel of this name</a><//>`}<//>`}
  </div>`;
}

function Found({ one, me, again }) {
  const View = { socket: Socket, channel: Channel, user: User, app: AppFound, webhook: Webhook, delivery: Delivery }[one.type];
  return html`<${View} one=${one} may=${me.scopes.includes('write')} me=${me} again=${again} />`;
}

function Heading({ kind, name, app, children }) {
  return html`<div class="head"><div><span class="muted small">${kind}${app ? ` of app ${app}` : ''}</span><h2 class="mono">${name}</h2></div><div class="row">${children}<${Copy} text=${name} label="Copy the name" /></div></div>`;
}

function Closing({ path, what, again }) {
  const [asks, ask] = useState(null);
  const run = async () => {
    await post(`${path}/${asks}`);
    toast(`Closed ${what}`);
    again();
  };
  return html`<button type="button" onClick=${() => ask('reconnect')}>Force reconnect</button>
    <button type="button" class="destroys" onClick=${() => ask('terminate')}>Terminate</button>
    ${asks && html`<${Confirm} title=${asks === 'terminate' ? 'Terminate?' : 'Force a reconnect?'} action=${asks === 'terminate' ? 'Terminate' : 'Reconnect'} onDone=${run} onClose=${() => ask(null)}>
      <p>${asks === 'terminate' ? `Closes ${what} with code 4009: SDKs do not come back by themselves.` : `Closes ${what} with code 4200: SDKs come back at once.`}</p><//>`}`;
}

function Socket({ one, may, again }) {
  return html`<section class="card stack" aria-label=${`Socket ${one.socket_id}`}>
    <${Heading} kind="Socket" name=${one.socket_id} app=${one.app_id}>
      ${may && !one.gone && html`<${Closing} path=${`/api/apps/${part(one.app_id)}/connections/${part(one.socket_id)}`} what=${`socket ${one.socket_id}`} again=${again} />`}<//>
    ${one.gone
      ? html`<div class="notice warn">This connection is not on this server any more. What was recorded of it is below.</div>`
      : html`<dl class="pairs">
          <dt>Address</dt><dd class="mono">${one.address}</dd>
          <dt>Connected for</dt><dd>${count(Math.round(one.connected_s))} s</dd>
          <dt>Last heard of</dt><dd>${count(Math.round(one.silent_s))} s ago</dd>
          <dt>Signed in as</dt><dd>${one.user_id ? html`<a href=${link('inspect', { q: one.user_id, app: one.app_id })}>${one.user_id}</a>` : html`<span class="muted">nobody</span>`}</dd>
          <dt>Channels (${count(one.channels_count)})</dt>
          <dd class="chips">${one.channels.map((row) => html`<a class="badge" href=${link('inspect', { q: row.channel, app: one.app_id })}>${row.channel}</a>`)}${one.channels.length === 0 && html`<span class="muted">none</span>`}</dd>
        </dl>`}
    <h3>Last events</h3>
    ${one.recorded.length
      ? html`<ol class="timeline">${one.recorded.map((row) => html`<li class=${row.kind === 'refuse' ? 'bad' : ''}><span class="row"><${Badge} of=${row.kind} /><${Time} at=${row.at} clock />${row.channel && html`<span class="mono">${row.channel}</span>`}</span>${(row.error || row.event) && html`<span class="small">${row.error || row.event}</span>`}</li>`)}</ol>`
      : html`<p class="muted">Nothing yet. From now on, for ten minutes, all that this connection does is recorded.</p>`}
    <p><a href=${link('console', { socket: one.socket_id, app: one.app_id })}>Follow it in the live console</a> · <a href=${link('why', { app: one.app_id })}>Refusals of this app</a></p>
  </section>`;
}

function Channel({ one, may, me }) {
  const kinds = [one.presence ? 'presence' : one.private ? 'private' : 'public', one.cached && 'cache'].filter(Boolean);
  return html`<section class="card stack" aria-label=${`Channel ${one.channel}`}>
    <${Heading} kind=${`${kinds.join(', ')} channel`} name=${one.channel} app=${one.app_id}><${Badge} of=${one.occupied ? 'up' : 'disabled'}>${one.occupied ? 'occupied' : 'vacant'}<//><//>
    <div class="cards">
      <div><span class="muted small">Subscriptions</span><div class="figure">${count(one.subscription_count)}</div></div>
      ${one.presence && html`<div><span class="muted small">Members</span><div class="figure">${count(one.user_count)}</div></div>`}
    </div>
    ${one.members && html`<h3>Members</h3><${Rows} label="Members" rows=${one.members} keyOf=${(row) => row.user_id} columns=${[{ name: 'User' }, { name: 'user_info' }, { name: 'Connections on this server' }]}
        cells=${(row) => [row.signed_in ? html`<a href=${link('inspect', { q: row.user_id, app: one.app_id })}>${row.user_id}</a>` : row.user_id,
          row.user_info === null || row.user_info === undefined ? html`<span class="muted">${row.sockets.length ? 'none' : 'on another server'}</span>` : html`<code>${JSON.stringify(row.user_info)}</code>`,
          html`<span class="chips">${row.sockets.map((id) => html`<a class="badge" href=${link('inspect', { q: id, app: one.app_id })}>${id}</a>`)}${row.sockets.length === 0 && html`<span class="muted">none</span>`}</span>`]} />`}
    ${one.cached && html`<h3>Remembered event</h3><${Raw} value=${one.cached} />`}
    ${!one.members && html`<h3>Subscribers on this server</h3>
    <div class="chips">${one.subscribers_here.map((id) => html`<a class="badge" href=${link('inspect', { q: id, app: one.app_id })}>${id}</a>`)}${one.subscribers_here.length === 0 && html`<span class="muted">none</span>`}</div>`}
    ${may && html`<details><summary>Send an event to this channel</summary><${Creator} apps=${me.apps} app=${one.app_id} channel=${one.channel} /></details>`}
    <p><a href=${link('console', { channel: one.channel, app: one.app_id })}>Follow it in the live console</a></p>
  </section>`;
}

function User({ one, may, again }) {
  return html`<section class="card stack" aria-label=${`User ${one.user_id}`}>
    <${Heading} kind="Signed-in user" name=${one.user_id} app=${one.app_id}>
      ${may && html`<${Closing} path=${`/api/apps/${part(one.app_id)}/users/${part(one.user_id)}`} what=${`all connections of ${one.user_id}`} again=${again} />`}<//>
    <h3>Connections on this server</h3>
    <div class="chips">${one.sockets.map((id) => html`<a class="badge" href=${link('inspect', { q: id, app: one.app_id })}>${id}</a>`)}</div>
    <p><a href=${link('console', { user: one.user_id, app: one.app_id })}>Follow this user in the live console</a></p>
  </section>`;
}

const AppFound = ({ one }) => html`<section class="card"><${Heading} kind="App" name=${one.app_id}><a class="button" href=${link(['apps', one.app_id])}>Open</a><//></section>`;
const Webhook = ({ one }) => html`<section class="card"><${Heading} kind="Webhook" name=${one.name || one.webhook_id} app=${one.app_id}><a class="button" href=${link(['webhooks', one.webhook_id])}>Open</a><//></section>`;
const Delivery = ({ one }) => html`<section class="card"><${Heading} kind="Delivery" name=${one.delivery_id}><a class="button" href=${link(['deliveries', one.delivery_id])}>Open</a><//></section>`;
