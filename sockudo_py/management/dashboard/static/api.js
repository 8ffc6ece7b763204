// The server's routes. Everything that comes back is hostile text: it is only ever shown as text.

export const prefix = location.pathname.replace(/\/dashboard(\/.*)?$/, '');
const session = { csrf: null, token: null };

export class ApiError extends Error {
  constructor(status, code, message, fields) {
    super(message);
    this.status = status;
    this.code = code;
    this.fields = fields || [];
  }
}

/** A tenant's link: sent as Bearer, kept in memory only, no cookie. */
export function useToken(token) {
  session.token = token;
}

export function useCsrf(csrf) {
  session.csrf = csrf;
}

let onEnded = () => {};
export function whenEnded(callback) {
  onEnded = callback;
}

export const ended = () => onEnded();

export async function call(method, path, body, options = {}) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  else if (session.csrf && method !== 'GET') headers['X-CSRF-Token'] = session.csrf;
  let answer;
  try {
    answer = await fetch(prefix + path, {
      method,
      headers: { ...headers, ...options.headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: session.token ? 'omit' : 'same-origin',
      signal: options.signal,
    });
  } catch (problem) {
    if (problem.name === 'AbortError') throw problem;
    throw new ApiError(0, 'unreachable', 'The server can’t be reached. Is it running?');
  }
  const text = await answer.text();
  let document = null;
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    document = null;
  }
  if (!answer.ok) {
    const error = (document && document.error) || {};
    if (answer.status === 401 && !options.login) onEnded();
    throw new ApiError(answer.status, error.code || String(answer.status), error.message || text || `Status ${answer.status}`, error.fields);
  }
  return document;
}

export const get = (path, options) => call('GET', path, undefined, options);
export const post = (path, body = {}, options) => call('POST', path, body, options);
export const patch = (path, body) => call('PATCH', path, body);
export const remove = (path) => call('DELETE', path);

/** Return a query string of the values that are not empty. */
export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== '');
  return given.length ? `?${new URLSearchParams(given)}` : '';
}

export const part = encodeURIComponent;
