// Laravel Echo as a page would use it. Scenario in argv[2]: {broadcaster, key, secret, appId, host, port, members, spoil}
import { createRequire } from "node:module";
import Echo from "laravel-echo";
import { serve, say } from "./lines.mjs";

const require = createRequire(import.meta.url);
const scenario = JSON.parse(process.argv[2]);
const Backend = require("pusher");
const backend = new Backend({ appId: scenario.appId, key: scenario.key, secret: scenario.secret, cluster: "mt1" });

const echo = new Echo({
  broadcaster: scenario.broadcaster,
  Pusher: require("pusher-js"),
  key: scenario.key,
  wsHost: scenario.host,
  wsPort: scenario.port,
  forceTLS: false,
  enabledTransports: ["ws", "wss"],
  ...(scenario.broadcaster === "pusher" && { cluster: "mt1" }),
  channelAuthorization: {
    customHandler: ({ socketId, channelName }, callback) => {
      const answer = backend.authorizeChannel(socketId, channelName, scenario.members?.[channelName]);
      if (scenario.spoil?.includes(channelName)) answer.auth = `${scenario.key}:${"0".repeat(64)}`;
      callback(null, answer);
    },
  },
});
const channels = {};

function watch(channel, name) {
  channels[name] = channel;
  channel.subscribed(() => say({ on: "subscribed", name }));
  channel.error((error) => say({ on: "error", name, error }));
  channel.listenToAll((event, data) => say({ on: "event", name, event, data }));
  return channel;
}

await serve({
  socketId: () => echo.socketId(),
  channel: ({ name }) => void watch(echo.channel(name), name),
  private: ({ name }) => void watch(echo.private(name), name),
  join: ({ name }) =>
    void watch(echo.join(name), name)
      .here((users) => say({ on: "here", name, users }))
      .joining((user) => say({ on: "joining", name, user }))
      .leaving((user) => say({ on: "leaving", name, user })),
  listen: ({ name, event }) => void channels[name].listen(event, (data) => say({ on: "heard", name, event, data })),
  listenForWhisper: ({ name, event }) =>
    void channels[name].listenForWhisper(event, (data) => say({ on: "whisper", name, event, data })),
  whisper: ({ name, event, data }) => void channels[name].whisper(event, data),
  leave: ({ name }) => echo.leave(name),
});
