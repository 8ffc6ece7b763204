// pusher-js as an app's page would use it. Scenario in argv[2]:
//   {key, secret, appId, host, port, build: "node" | "with-encryption", ws, transport, options, hurry, user, members,
//    spoil}; ws: use the package ws, which offers compression, where the build expects a browser's WebSocket
import { createRequire } from "node:module";
import { serve, say } from "./lines.mjs";

const require = createRequire(import.meta.url);
const scenario = JSON.parse(process.argv[2]);

if (scenario.hurry) {
  // Every timer runs this many times faster, so that a minute of patience passes in seconds.
  for (const name of ["setTimeout", "setInterval"]) {
    const original = globalThis[name];
    globalThis[name] = (callback, delay, ...rest) => original(callback, (delay ?? 0) / scenario.hurry, ...rest);
  }
}

function load(build) {
  if (build === "node") return require("pusher-js");
  globalThis.self = globalThis; // a worker's global object, as the worker build expects it
  if (scenario.ws) globalThis.WebSocket = require("ws").WebSocket;
  globalThis.WebSocket ??= require("ws").WebSocket;
  return require("pusher-js/worker/with-encryption");
}

const Pusher = load(scenario.build ?? "node");
const Backend = require("pusher");
const backend = new Backend({
  appId: scenario.appId,
  key: scenario.key,
  secret: scenario.secret,
  host: scenario.host,
  port: scenario.port,
  useTLS: false,
  ...(scenario.masterKey && { encryptionMasterKeyBase64: scenario.masterKey }),
});

export function authorize({ socketId, channelName }, callback) {
  const member = scenario.members?.[channelName];
  const answer = backend.authorizeChannel(socketId, channelName, member);
  if (scenario.spoil?.includes(channelName)) answer.auth = `${scenario.key}:${"0".repeat(64)}`;
  callback(null, answer);
}

const pusher = new Pusher(scenario.key, {
  wsHost: scenario.host,
  wsPort: scenario.port,
  wssPort: scenario.port,
  forceTLS: false,
  httpHost: scenario.host,
  httpPort: scenario.port,
  enabledTransports: scenario.transport ? [scenario.transport] : ["ws", "wss"],
  cluster: "mt1",
  channelAuthorization: { customHandler: authorize },
  userAuthentication: {
    customHandler: ({ socketId }, callback) => callback(null, backend.authenticateUser(socketId, scenario.user)),
  },
  ...scenario.options,
});

pusher.connection.bind("state_change", ({ previous, current }) => say({ on: "state", previous, current }));
pusher.connection.bind("error", (error) => say({ on: "error", code: error?.data?.code ?? error?.error?.data?.code ?? null }));
pusher.user.bind_global((event, data) => say({ on: "user", event, data }));
pusher.bind("pusher:error", (data) => say({ on: "pusher:error", data }));
for (const name of ["online", "offline"]) pusher.user.watchlist.bind(name, (data) => say({ on: "watchlist", name, data }));

await serve({
  state: () => pusher.connection.state,
  extensions: () => pusher.connection.connection.transport.socket.extensions,
  socketId: () => pusher.connection.socket_id,
  subscribe: ({ channel }) => {
    pusher.subscribe(channel).bind_global((event, data) => say({ on: "event", channel, event, data }));
  },
  unsubscribe: ({ channel }) => pusher.unsubscribe(channel),
  trigger: ({ channel, event, data }) => pusher.channel(channel).trigger(event, data),
  signin: () => pusher.signin(),
  disconnect: () => pusher.disconnect(),
});
