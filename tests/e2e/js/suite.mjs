// pusher-js's own integration suite, as its package carries it, against this server. Scenario in argv[2]:
//   {key, secret, appId, host, port, transport}
// The last line of the output is {"on": "suite", passed, failed: [...]}.
import http from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { mkdtempSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { build } from "esbuild";
import { say } from "./lines.mjs";

const require = createRequire(import.meta.url);
const here = path.dirname(fileURLToPath(import.meta.url));
const home = path.join(here, "node_modules", "pusher-js");
const scenario = JSON.parse(process.argv[2]);
const folder = mkdtempSync(path.join(tmpdir(), "pusher-js-suite-"));

// What the suite expects behind its API_URL: authorization, and a way to publish.
const Backend = require("pusher");
const backend = new Backend({ ...scenario, useTLS: false });
const decoded = (value) => Buffer.from(value, "base64").toString();
const api = http.createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  if (url.pathname.startsWith("/v2/send/")) {
    const [channel, event, data] = ["channel", "event", "data"].map((name) => decoded(url.searchParams.get(name)));
    await backend.trigger(channel, event, JSON.parse(data));
    response.end();
    return;
  }
  let body = "";
  for await (const piece of request) body += piece;
  const form = new URLSearchParams(body);
  const id = form.get("socket_id");
  const info = { name: `Integration ${id}`, email: `integration-${id}@example.com` };
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify(backend.authorizeChannel(id, form.get("channel_name"), { user_id: id, user_info: info })));
});
await new Promise((done) => api.listen(0, "127.0.0.1", done));
const apiUrl = `http://127.0.0.1:${api.address().port}`;

// The suite's Pusher: the same class, told where the server is.
writeFileSync(
  path.join(folder, "pusher_integration.js"),
  `const Pusher = require("core/pusher").default || require("core/pusher");
   module.exports = class extends Pusher {
     constructor(key, options) {
       super(${JSON.stringify(scenario.key)}, { ...options, forceTLS: false,
         wsHost: ${JSON.stringify(scenario.host)}, wsPort: ${scenario.port},
         httpHost: ${JSON.stringify(scenario.host)}, httpPort: ${scenario.port} });
     }
   };`,
);
writeFileSync(
  path.join(folder, "integration.js"),
  `module.exports = { ...require("node/integration"), API_URL: ${JSON.stringify(apiUrl)} };`,
);
writeFileSync(
  path.join(folder, "suite_spec.js"),
  `require("core/pusher");
   require(${JSON.stringify(path.join(home, "spec/javascripts/integration/core/pusher_spec/index.js"))})(
     [{ transport: ${JSON.stringify(scenario.transport)}, forceTLS: false }]);`,
);

// Where its build looks for modules.
const roots = ["src/runtimes/node", "src", "src/runtimes", "spec/javascripts/helpers"].map((part) => path.join(home, part));
const own = { pusher_integration: "pusher_integration.js", integration: "integration.js" };
const mocks = { "dom/dependencies": "node/mock-dom-dependencies", "dom/dependency_loader": "node/mock-dom-dependencies" };
function found(name) {
  for (const root of roots) {
    for (const ending of [".ts", ".js", "/index.ts", "/index.js"]) {
      const file = path.join(root, name + ending);
      if (existsSync(file)) return file;
    }
  }
  return null;
}
const resolver = {
  name: "pusher-js",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path: name }) => {
      if (name === "testenv") return { path: name, namespace: "testenv" };
      if (own[name]) return { path: path.join(folder, own[name]) };
      const file = found(mocks[name] ?? name);
      return file ? { path: file } : undefined;
    });
    build.onResolve({ filter: /^\.\.?\// }, ({ path: name, resolveDir }) => {
      const file = path.join(resolveDir, `${name}.ts`); // inside node_modules esbuild would take the .js beside it
      return existsSync(file) ? { path: file } : undefined;
    });
    build.onLoad({ filter: /.*/, namespace: "testenv" }, () => ({ contents: 'module.exports = "node"', loader: "js" }));
  },
};
const bundle = path.join(folder, "bundle.js");
await build({
  entryPoints: [path.join(folder, "suite_spec.js")],
  outfile: bundle,
  bundle: true,
  platform: "node",
  format: "cjs",
  logLevel: "error",
  nodePaths: [path.join(here, "node_modules")],
  plugins: [resolver],
  define: {
    VERSION: '"8.8.8"', CDN_HTTP: '""', CDN_HTTPS: '""', DEPENDENCY_SUFFIX: '""', RUNTIME: '"node"',
  },
  banner: { js: "var Dependencies, testConfig;" },
});

const Jasmine = require("jasmine");
const runner = new Jasmine({ projectBaseDir: folder });
runner.exitOnCompletion = false;
runner.randomizeTests(false);
runner.clearReporters();
const failed = [];
let passed = 0;
runner.addReporter({
  specDone({ fullName, status, failedExpectations }) {
    if (status === "failed") failed.push({ name: fullName, why: failedExpectations.map(({ message }) => message) });
    if (status === "passed") passed += 1;
  },
});
await runner.execute([bundle]);
say({ on: "suite", passed, failed });
process.exit(0);
