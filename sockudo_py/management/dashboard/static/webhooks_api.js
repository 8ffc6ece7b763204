// The management API of webhooks, in one place.
import { call, get, part, patch, post, query, remove } from './api.js';

const one = (id) => `/api/webhooks/${part(id)}`;

export const listWebhooks = (values) => get(`/api/webhooks${query(values)}`);
export const readWebhook = (id) => get(one(id));
export const createWebhook = (app, body) => post(`/apps/${part(app)}/webhooks`, body);
export const changeWebhook = (id, body) => patch(one(id), body);
export const deleteWebhook = (id) => remove(one(id));
export const enableWebhook = (id) => post(`${one(id)}/enable`);
export const disableWebhook = (id, drop) => post(`${one(id)}/disable${query({ drop })}`);
export const rotateSecret = (id, grace) => post(`${one(id)}/rotate-secret`, { grace_s: grace });
export const testWebhook = (id, event) => post(`${one(id)}/test`, event ? { event_type: event } : {});
export const resync = (id) => post(`${one(id)}/resync`);
export const statsOf = (id) => get(`${one(id)}/stats`);
export const deliveriesOf = (id, values) => get(`${one(id)}/deliveries${query(values)}`);
export const readDelivery = (id, delivery) => get(`${one(id)}/deliveries/${part(delivery)}`);
export const anyDelivery = (delivery) => get(`/api/webhooks/deliveries/${part(delivery)}`);
export const retryDelivery = (id, delivery) => post(`${one(id)}/deliveries/${part(delivery)}/retry`);
export const replay = (id, body) => post(`${one(id)}/replay`, body);
export const queueStats = () => get('/api/webhooks/queue/stats');
export const listFailed = (values) => get(`/api/webhooks/queue/failed${query(values)}`);
export const readFailed = (id) => get(`/api/webhooks/queue/failed/${part(id)}`);
export const retryFailed = (body) => post('/api/webhooks/queue/retry-failed', body);
export const purgeFailed = (values) => call('DELETE', `/api/webhooks/queue/failed${query(values)}`);
export const logs = (values) => get(`/api/v1/webhooks/logs${query(values)}`);
export const catalogue = (app) => get(`/api/webhooks/events${query({ app_id: app })}`).catch(() => ({ events: [] }));
