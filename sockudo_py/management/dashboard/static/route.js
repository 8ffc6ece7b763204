// The place within the page is the URL's fragment: every state has a link.
import { useEffect, useState } from './vendor/preact-htm.js';

function read() {
  const [path, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const names = path.split('/').filter(Boolean).map((name) => {
    try {
      return decodeURIComponent(name);
    } catch {
      return name;
    }
  });
  return { names, query: Object.fromEntries(new URLSearchParams(search)) };
}

export function useRoute() {
  const [route, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    addEventListener('hashchange', changed);
    return () => removeEventListener('hashchange', changed);
  }, []);
  return route;
}

export function link(names, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const search = given.length ? `?${new URLSearchParams(given)}` : '';
  return `#/${[].concat(names).map(encodeURIComponent).join('/')}${search}`;
}

export function go(names, values) {
  location.hash = link(names, values);
}

/** Change the query of this place without a new entry in the history. */
export function setQuery(values) {
  const { names, query } = read();
  history.replaceState(null, '', link(names, { ...query, ...values }));
  dispatchEvent(new HashChangeEvent('hashchange'));
}
