// How the programs of this folder talk to pytest: one JSON document a line, commands in, reports out.
import readline from "node:readline";

export function say(report) {
  process.stdout.write(`${JSON.stringify({ t: performance.now(), ...report })}\n`);
}

// Run a command for each line of standard input, in order; the end of input ends the program.
export async function serve(commands) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: name, id, ...rest } = JSON.parse(line);
    try {
      say({ on: "result", id, value: (await commands[name](rest)) ?? null });
    } catch (error) {
      say({ on: "failure", id, error: String(error), status: error.status ?? null, body: error.body ?? null });
    }
  }
  process.exit(0);
}
