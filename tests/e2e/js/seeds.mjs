// What receivers in JavaScript do with a request, after the samples in the documents that this server has to satisfy.
// In: a JSON list of {verifier, headers (lower-case names), body (text), secret}; out: a list of true, false or a text.
import { createHmac, timingSafeEqual } from "node:crypto";

const hex = (secret, content) => createHmac("sha256", secret).update(content, "utf8").digest("hex");
const same = (a, b, encoding) => timingSafeEqual(Buffer.from(a, encoding), Buffer.from(b, encoding));
const fresh = (timestamp) => Math.abs(Math.floor(Date.now() / 1000) - timestamp) <= 300;
const again = (body) => JSON.stringify(JSON.parse(body)); // what a JSON body parser and JSON.stringify make of it

const verifiers = {
  sockudo: ({ headers, body, secret }) => same(hex(secret, body), headers["x-pusher-signature"].replace("sha256=", ""), "hex"),
  sockudoExpress: ({ headers, body, secret }) =>
    headers["content-type"] === "application/json" &&
    same(hex(secret, Buffer.from(body)), headers["x-pusher-signature"].replace("sha256=", ""), "hex"),
  pulseRaw: ({ headers, body, secret }) => same(headers["x-webhook-signature"], `sha256=${hex(secret, body)}`),
  pulseParsed: ({ headers, body, secret }) => same(headers["x-webhook-signature"], `sha256=${hex(secret, again(body))}`),
  realcast: ({ headers, body, secret }) => same(headers["x-realcast-signature"], `sha256=${hex(secret, again(body))}`),
  remotedevai: ({ headers, body, secret }) => {
    const timestamp = parseInt(headers["x-webhook-timestamp"]);
    return fresh(timestamp) && same(headers["x-webhook-signature"], hex(secret, `${timestamp}.${again(body)}`), "hex");
  },
  irisx: ({ headers, body, secret }) => {
    const timestamp = headers["x-irisx-timestamp"];
    const expected = `sha256=${hex(secret, `${timestamp}.${again(body)}`)}`;
    return fresh(parseInt(timestamp)) && same(expected, headers["x-irisx-signature"]);
  },
};

let text = "";
for await (const chunk of process.stdin.setEncoding("utf8")) text += chunk;
const answers = JSON.parse(text).map((one) => {
  try {
    return verifiers[one.verifier](one);
  } catch (error) {
    return String(error);
  }
});
console.log(JSON.stringify(answers));
