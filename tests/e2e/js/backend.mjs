// pusher-http-node and the webhook receivers of the project's seed document.
// Scenario in argv[2]: {key, secret, appId, host, port, masterKey}
import crypto from "node:crypto";
import { createRequire } from "node:module";
import { serve } from "./lines.mjs";

const require = createRequire(import.meta.url);
const Pusher = require("pusher");
const scenario = JSON.parse(process.argv[2]);
const pusher = new Pusher({
  appId: scenario.appId,
  key: scenario.key,
  secret: scenario.secret,
  host: scenario.host,
  port: scenario.port,
  useTLS: false,
  ...(scenario.masterKey && { encryptionMasterKeyBase64: scenario.masterKey }),
});

async function answer(promise) {
  const response = await promise;
  return { status: response.status, body: await response.text() };
}

// The document's receiver, for Node and for Express (whose raw body is a Buffer).
function verifyWebhook(body, signature, secret) {
  const expectedSignature = crypto.createHmac("sha256", secret).update(body, "utf8").digest("hex");
  const receivedSignature = signature.replace("sha256=", "");
  return crypto.timingSafeEqual(Buffer.from(expectedSignature, "hex"), Buffer.from(receivedSignature, "hex"));
}

await serve({
  trigger: ({ channels, event, data, params }) => answer(pusher.trigger(channels, event, data, params)),
  triggerBatch: ({ batch }) => answer(pusher.triggerBatch(batch)),
  get: ({ path, params }) => answer(pusher.get({ path, params })),
  sendToUser: ({ user, event, data }) => answer(pusher.sendToUser(user, event, data)),
  terminate: ({ user }) => answer(pusher.terminateUserConnections(user)),
  webhook: ({ headers, rawBody, extraTokens }) => {
    const webhook = pusher.webhook({ headers, rawBody });
    const valid = webhook.isValid(extraTokens);
    return valid ? { valid, events: webhook.getEvents(), time: webhook.getTime().getTime() } : { valid };
  },
  seedFunction: ({ rawBody, signature }) => verifyWebhook(rawBody, signature, scenario.secret),
  seedExpress: ({ rawBody, signature }) => {
    const body = Buffer.from(rawBody, "utf8"); // what express.raw({ type: 'application/json' }) leaves in req.body
    return verifyWebhook(body, signature, scenario.secret) && JSON.parse(body).events.length > 0;
  },
});
