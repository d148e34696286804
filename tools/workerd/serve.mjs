// Serves a Worker's modules in workerd, through miniflare, until its standard input ends. The first line of the input has
// the options (see Start in workerd.go); the first line of the output is the address.
import { createInterface } from "node:readline";
import { readFile, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const options = JSON.parse((await input.next()).value);
const secrets = Object.entries(options.secrets ?? {});
const { Miniflare } = createRequire(join(options.npm, "package.json"))("miniflare");

const names = (await readdir(options.dir)).filter((name) => /\.(mjs|js|wasm)$/.test(name));
names.sort((a, b) => (b === options.entry) - (a === options.entry)); // miniflare's entry is the first
const modules = await Promise.all(
  names.map(async (name) => ({
    type: name.endsWith(".wasm") ? "CompiledWasm" : "ESModule",
    path: join(options.dir, name),
    contents: await readFile(join(options.dir, name)),
  })),
);
const miniflare = new Miniflare({
  modules,
  modulesRoot: options.dir,
  host: "127.0.0.1",
  port: 0,
  bindings: options.vars,
  compatibilityDate: options.compatibility_date,
  compatibilityFlags: options.compatibility_flags,
  secretsStoreSecrets: Object.fromEntries(
    secrets.map(([name]) => [name, { store_id: "store", secret_name: name }]),
  ),
});
for (const [name, value] of secrets) {
  if (value !== "") await (await miniflare.getSecretsStoreSecretAPI(name))().create(value);
}
console.log(String(await miniflare.ready));
for await (const _ of input);
await miniflare.dispose();
process.exit(0);
