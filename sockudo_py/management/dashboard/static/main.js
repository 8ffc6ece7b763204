// The frame around the views, and the two doors: operators log in, tenants come with a link.
import { html, render, useEffect, useRef, useState } from './vendor/preact-htm.js';
import { call, get, useCsrf, useToken, whenEnded } from './api.js';
import { go, link, useRoute } from './route.js';
import { Field, Problem, Toasts, useLoaded } from './parts.js';
import { Console } from './views/console.js';
import { Inspector } from './views/inspector.js';
import { Why } from './views/why.js';
import { Webhooks } from './views/webhooks.js';
import { AllDeliveries, DeadLetters } from './views/deliveries.js';
import { Apps, Cluster, Configuration, Overview } from './views/overview.js';

const VIEWS = [
  ['', 'Overview', Overview, 'everything'],
  ['console', 'Live console', Console],
  ['inspect', 'Inspector', Inspector],
  ['why', 'Why?', Why],
  ['webhooks', 'Webhooks', Webhooks],
  ['deliveries', 'Deliveries', AllDeliveries],
  ['dead-letters', 'Dead letters', DeadLetters],
  ['apps', 'Apps', Apps],
  ['cluster', 'Cluster', Cluster, 'everything'],
  ['configuration', 'Configuration', Configuration, 'everything'],
];
const TENANT = ['webhooks', 'deliveries', 'dead-letters'];

function Login({ onDone, first }) {
  const [key, setKey] = useState('');
  const [state, set] = useState({ busy: false, problem: first || null });
  const enter = async (event) => {
    event.preventDefault();
    set({ busy: true, problem: null });
    try {
      await call('POST', '/dashboard/login', { key }, { login: true });
      onDone();
    } catch (problem) {
      set({ busy: false, problem });
    }
  };
  return html`<main class="login"><form class="card stack" onSubmit=${enter}>
    <div class="brand"><img src="icon.svg" alt="" /> sockudo_py</div>
    <h1>Log in</h1>
    <input class="hidden" type="text" name="username" autocomplete="username" value="admin" tabindex="-1" aria-hidden="true" readonly />
    <${Field} label="Admin key" type="password" autocomplete="current-password" required value=${key} onInput=${(event) => setKey(event.target.value)} hint="sockudo-py admin-key makes one and says where to put it." />
    <${Problem} problem=${state.problem} />
    <button class="main-action" disabled=${state.busy}>Log in</button>
  </form></main>`;
}

function Search() {
  const box = useRef(null);
  const [text, setText] = useState('');
  useEffect(() => {
    const key = (event) => {
      if (event.key === '/' && !event.ctrlKey && !event.metaKey && !/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) {
        event.preventDefault();
        box.current.focus();
      }
    };
    addEventListener('keydown', key);
    return () => removeEventListener('keydown', key);
  }, []);
  const find = (event) => {
    event.preventDefault();
    if (text.trim()) go('inspect', { q: text.trim() });
  };
  return html`<form role="search" onSubmit=${find}><label class="hidden" for="search">Find a channel, user, socket, webhook or delivery</label>
    <input id="search" ref=${box} value=${text} placeholder="Paste a channel, user, socket, webhook or delivery" autocomplete="off" spellcheck=${false} onInput=${(event) => setText(event.target.value)} onKeyDown=${(event) => event.key === 'Escape' && box.current.blur()} /><kbd aria-hidden="true">/</kbd></form>`;
}

function Frame({ me, tenant, back, onLogout }) {
  const route = useRoute();
  const at = route.names[0] || (tenant ? 'webhooks' : me.every_app ? '' : 'webhooks');
  const views = VIEWS.filter(([name, , , needs]) => (tenant ? TENANT.includes(name) : !needs || me.every_app));
  const [, title, View] = views.find(([name]) => name === at) || [at, 'Not here', () => html`<h1>There is no such page</h1>`];
  const cluster = useLoaded(() => (tenant || !me.every_app ? Promise.resolve({}) : get('/api/cluster')), [], 10000);
  useEffect(() => {
    document.title = `${title} · sockudo_py`;
    document.querySelector('.nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }, [title]);
  const nav = html`<nav class="nav" aria-label="Views">${views.map(([name, label]) => html`<a href=${link(name ? [name] : [])} aria-current=${name === at ? 'page' : undefined}>${label}</a>`)}</nav>`;
  return html`<div class="frame">
    <aside class="side" aria-label="Menu">
      <a class="brand" href="#/"><img src="icon.svg" alt="" /> <span>${tenant ? me.apps[0] : 'sockudo_py'}</span></a>
      ${nav}
      <div class="foot small">${tenant
        ? back && html`<a href=${back} rel="noreferrer">Back</a>`
        : html`<div class="row between"><span class="muted">${me.name}</span><button type="button" class="quiet" onClick=${onLogout}>Log out</button></div>`}</div>
    </aside>
    <div class="main">
      <div>
        ${cluster.value && cluster.value.away && html`<div class="banner notice bad" role="alert"><strong>Redis can’t be reached.</strong><span>This server goes on alone. <a href=${link('cluster')}>Cluster</a></span></div>`}
        ${!tenant && html`<header class="bar"><${Search} /></header>`}
      </div>
      <main class="content" id="content"><${View} key=${at} route=${route} me=${me} apps=${me.apps} /></main>
    </div>
    <${Toasts} />
  </div>`;
}

/** What a tenant's link carries in the fragment of its URL. */
function readLink() {
  const given = new URLSearchParams(location.hash.replace(/^#/, ''));
  const found = { token: given.get('token'), back: given.get('back'), accent: given.get('accent'), login: given.get('login') };
  if (found.token || found.login) history.replaceState(null, '', location.pathname + location.search);
  return found;
}

const given = readLink();

function Page() {
  const [state, set] = useState({ me: null, problem: null, loading: true });
  const enter = async () => {
    try {
      const me = await get('/api/session', { login: true });
      if (me.csrf) useCsrf(me.csrf);
      set({ me: me.name === null ? null : me, problem: null, loading: false });
    } catch (problem) {
      set({ me: null, problem: problem.status === 401 ? null : problem, loading: false });
    }
  };
  useEffect(() => {
    whenEnded(() => set({ me: null, problem: new Error('The session has ended. Log in again.'), loading: false }));
    (async () => {
      if (given.token) useToken(given.token);
      if (given.login) {
        try {
          await call('POST', '/dashboard/login', { link: given.login }, { login: true });
        } catch (problem) {
          set({ me: null, problem, loading: false });
          return;
        }
      }
      await enter();
    })();
  }, []);
  if (state.loading) return html`<main class="login"><p class="muted" role="status">Loading …</p></main>`;
  if (!state.me && given.token) return html`<main class="login"><div class="card stack"><h1>This link is not valid any more</h1><p>Ask for a new one where you found it.</p><${Problem} problem=${state.problem} /></div></main>`;
  if (!state.me) return html`<${Login} onDone=${enter} first=${state.problem} />`;
  const logout = async () => {
    await call('POST', '/dashboard/logout', {}).catch(() => {});
    set({ me: null, problem: null, loading: false });
  };
  return html`<${Frame} me=${state.me} tenant=${Boolean(given.token)} back=${safe(given.back)} onLogout=${logout} />`;
}

/** A way back must be an ordinary address: no javascript: and the like. */
function safe(address) {
  if (!address) return null;
  try {
    return /^https?:$/.test(new URL(address).protocol) ? address : null;
  } catch {
    return null;
  }
}

if (given.accent && /^[0-9a-f]{6}$/i.test(given.accent)) document.documentElement.style.setProperty('--accent', `#${given.accent}`);
render(html`<${Page} />`, document.getElementById('page'));
