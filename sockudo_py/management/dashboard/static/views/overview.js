// Views 7 to 10: figures of the last hour, nodes, configuration, apps.
import { html, useState } from '../vendor/preact-htm.js';
import { get, part } from '../api.js';
import { link } from '../route.js';
import { Badge, Chart, Copy, Empty, Export, Field, Loaded, Rows, Time, count, duration, useLoaded } from '../parts.js';

export function Overview() {
  const state = useLoaded(() => get('/api/overview'), [], 10000);
  return html`<div class="stack"><h1>Overview</h1>
    <${Loaded} state=${state}>${(value) => {
      const series = (name, perSecond) => value.samples.map((one) => (perSecond ? (one[name] || 0) / value.interval_s : one[name] || 0));
      const rate = (name) => (value.samples.length ? (value.samples.at(-1)[name] || 0) / value.interval_s : 0);
      const cards = [
        ['Connections', value.now.connections, series('connections'), ''],
        ['Messages to clients', rate('messages_out'), series('messages_out', true), '/s'],
        ['Messages from clients', rate('messages_in'), series('messages_in', true), '/s'],
        ['Events published', rate('published'), series('published', true), '/s'],
      ];
      return html`<div class="cards">${cards.map(([label, now, values, unit]) => html`<section class="card" aria-label=${label}><span class="muted small">${label}</span><div class="figure">${count(Math.round(now * 10) / 10)}${unit}</div><${Chart} values=${values} label=${label} unit=${unit} span=${value.interval_s * 1000} /></section>`)}</div>
        <div class="cards two">
          <section class="card stack"><div class="head"><h2>Webhook deliveries</h2><a href=${link('deliveries')}>Deliveries</a></div>
            <${Chart} tall values=${series('delivered', true)} second=${series('failed', true)} label="Deliveries" unit="/s" span=${value.interval_s * 1000} />
            <div class="legend"><span><span class="key"></span>delivered</span><span><span class="key second"></span>failed for good</span></div></section>
          <section class="card stack"><div class="head"><h2>Webhook queue</h2><a href=${link('dead-letters')}>Dead letters</a></div>
            <dl class="pairs">
              <dt>Waiting</dt><dd>${count(value.now.queue_waiting)}</dd>
              <dt>Being delivered</dt><dd>${count(value.now.queue_active)}</dd>
              <dt>Waiting for a retry</dt><dd>${count(value.now.queue_delayed)}</dd>
              <dt>Oldest waiting</dt><dd>${duration(value.now.queue_oldest_s * 1000)}</dd>
              <dt>Dead letters</dt><dd>${value.now.dead_letters > 0 ? html`<${Badge} of="failed">${count(value.now.dead_letters)}<//>` : '0'}</dd>
              <dt>p99 from event to answer</dt><dd>${value.samples.length && value.samples.at(-1).webhook_p99_ms ? `under ${duration(value.samples.at(-1).webhook_p99_ms)}` : '–'}</dd>
            </dl></section>
          <section class="card stack"><div class="head"><h2>Refusals</h2><a href=${link('why')}>Why?</a></div>
            <${Chart} tall values=${series('refused', true)} label="Refusals" unit="/s" span=${value.interval_s * 1000} /></section>
          <section class="card stack"><div class="head"><h2>New connections</h2></div>
            <${Chart} tall values=${series('connected', true)} label="New connections" unit="/s" span=${value.interval_s * 1000} /></section>
        </div>
        ${value.grafana_url && html`<p><a href=${value.grafana_url} rel="noreferrer">Open in Grafana</a></p>`}
        <p class="muted small">This server’s last hour, a point every ${value.interval_s} seconds. A restart begins anew; Prometheus keeps more.</p>`;
    }}<//></div>`;
}

export function Cluster() {
  const state = useLoaded(() => get('/api/cluster'), [], 5000);
  return html`<div class="stack"><h1>Cluster</h1>
    <${Loaded} state=${state}>${(value) => html`
      ${value.away && html`<div class="notice bad" role="alert"><strong>Redis can’t be reached.</strong><span>Clients of one server reach each other; those of other servers don’t, until it is back.</span></div>`}
      ${value.driver === 'local'
        ? html`<div class="card"><${Empty} title="This server stands alone"><span>adapter.driver is local. With adapter.driver: redis several servers behave as one.</span><//></div>`
        : ''}
      <section class="card"><${Rows} label="Nodes" rows=${value.nodes} keyOf=${(row) => row.id}
        columns=${[{ name: 'Node' }, { name: 'State' }, { name: 'Version' }, { name: 'Connections', class: 'right' }, { name: 'Up for' }, { name: 'Last heard of' }]}
        cells=${(row) => [html`<span class="mono">${row.id}</span>${row.here ? ' (this one)' : ''}`, html`<${Badge} of=${row.state || 'up'} />`, row.version || '–', count(row.connections), row.up_s === undefined ? '–' : duration(row.up_s * 1000), row.lag_ms === undefined ? 'now' : `${duration(row.lag_ms)} ago`]} /></section>
      ${value.figures && html`<section class="card stack"><h2>Figures</h2><dl class="pairs">${Object.entries(value.figures).map(([name, one]) => html`<dt>${name.replaceAll('_', ' ')}</dt><dd>${count(one)}</dd>`)}</dl></section>`}`}<//></div>`;
}

export function Configuration() {
  const state = useLoaded(() => get('/api/configuration'), []);
  const [text, setText] = useState('');
  return html`<div class="stack"><div class="row between"><h1>Configuration</h1><${Export} rows=${(state.value && state.value.differences) || []} name="configuration" /></div>
    <${Loaded} state=${state}>${(value) => {
      const rows = value.differences.filter((one) => one.key.includes(text));
      return html`<section class="card stack"><p class="muted">What is not the default, and where each value comes from. Secrets are ***.</p>
        <${Field} label="Key contains" value=${text} onInput=${(event) => setText(event.target.value)} />
        ${rows.length === 0
          ? html`<${Empty} title=${text ? 'No such key differs from its default' : 'All values are the defaults'}><code>sockudo-py print-config</code><//>`
          : html`<${Rows} label="Values" rows=${rows} keyOf=${(row) => row.key} columns=${[{ name: 'Key' }, { name: 'Value' }, { name: 'Default', class: 'wide-only' }, { name: 'Source' }]}
              cells=${(row) => [html`<code>${row.key}</code>`, html`<code>${short(row.value)}</code>`, html`<code class="muted">${short(row.default)}</code>`, row.source]}
              detail=${(row) => html`<pre>${JSON.stringify(row.value, null, 2)}</pre>`} />`}</section>`;
    }}<//></div>`;
}

const short = (value) => {
  const text = JSON.stringify(value) ?? '–';
  return text.length > 120 ? `${text.slice(0, 120)} …` : text;
};

export function Apps({ route }) {
  const named = route.names[1];
  const state = useLoaded(() => get('/api/apps'), [], 10000);
  return html`<${Loaded} state=${state}>${(value) => {
    const one = named && value.apps.find((app) => app.id === named);
    if (named && !one) return html`<${Empty} title=${`There is no app ${named}`}><a href=${link('apps')}>All apps</a><//>`;
    if (one) return html`<${OneApp} app=${one} />`;
    return html`<div class="stack"><div class="row between"><h1>Apps</h1><${Export} rows=${value.apps} name="apps" /></div>
      <section class="card">${value.apps.length === 0
        ? html`<${Empty} title="There is no app yet"><span>Add one to app_manager in the configuration, then reload the server.</span><code>sockudo-py reload</code><//>`
        : html`<${Rows} label="Apps" rows=${value.apps} keyOf=${(row) => row.id} onOpen=${(row) => { location.hash = link(['apps', row.id]); }}
            columns=${[{ name: 'App' }, { name: 'State' }, { name: 'Key', class: 'wide-only' }, { name: 'Connections', class: 'right' }, { name: 'Webhooks', class: 'right' }]}
            cells=${(row) => [html`<a href=${link(['apps', row.id])}>${row.id}</a>`, html`<${Badge} of=${row.enabled ? 'enabled' : 'disabled'} />`, html`<code>${row.keys[0]}</code>`, count(row.connections), count(row.webhooks)]} />`}</section></div>`;
  }}<//>`;
}

function OneApp({ app }) {
  const channels = useLoaded(() => get(`/api/apps/${part(app.id)}/channels?limit=50`), [app.id], 5000);
  return html`<div class="stack">
    <div class="row between"><div><a class="small" href=${link('apps')}>Apps</a><h1>${app.id}</h1></div><${Badge} of=${app.enabled ? 'enabled' : 'disabled'} /></div>
    <div class="cards">
      <section class="card"><span class="muted small">Connections</span><div class="figure">${count(app.connections)}</div></section>
      <section class="card"><span class="muted small">Occupied channels</span><div class="figure">${channels.value ? count(channels.value.total) : '–'}</div></section>
      <section class="card"><span class="muted small">Webhooks</span><div class="figure"><a href=${link('webhooks', { app: app.id })}>${count(app.webhooks)}</a></div></section>
    </div>
    <div class="cards two">
      <section class="card stack"><h2>Keys</h2>${app.keys.map((key) => html`<div class="secret"><code>${key}</code><${Copy} text=${key} label=${`Copy the key ${key}`} /></div>`)}
        <p class="muted small">Secrets are never shown. They are in the configuration.</p>
        <p><a href=${link('why', { app: app.id })}>Refusals</a> · <a href=${link('console', { app: app.id })}>Live console</a> · <a href=${link('deliveries', { app: app.id })}>Deliveries</a></p></section>
      <section class="card stack"><h2>Largest channels</h2>
        <${Loaded} state=${channels}>${(value) => value.channels.length === 0
          ? html`<${Empty} title="No channel is occupied"><span>Channels appear when clients subscribe.</span><//>`
          : html`<${Rows} label="Channels" rows=${value.channels} keyOf=${(row) => row.channel} onOpen=${(row) => { location.hash = link('inspect', { q: row.channel, app: app.id }); }}
              columns=${[{ name: 'Channel' }, { name: 'Subscriptions', class: 'right' }, { name: 'Members', class: 'right' }]}
              cells=${(row) => [html`<a href=${link('inspect', { q: row.channel, app: app.id })}>${row.channel}</a>`, count(row.subscription_count), count(row.user_count)]} />`}<//></section>
    </div>
    <section class="card stack"><h2>Options and limits</h2>
      <dl class="pairs">${Object.entries(app.options).map(([name, value]) => html`<dt>${name}</dt><dd><code>${value === null ? 'no limit' : Array.isArray(value) ? value.join(', ') || 'none' : String(value)}</code></dd>`)}</dl></section>
  </div>`;
}
