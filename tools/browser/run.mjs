// Builds the playground, starts it on free ports, runs check.mjs against it, and stops it.
//
//   node run.mjs [--shots FOLDER]
//
// Needs Go, Node.js 20 and Chromium (Debian's package "chromium", or $CHROMIUM). Exits with the status of the
// checks, or 2 if they could not run.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const chromium = process.env.CHROMIUM ?? "/usr/bin/chromium";

function stop(message) {
  console.error(message);
  process.exit(2);
}

if (!existsSync(chromium)) {
  stop(`There is no Chromium at ${chromium}. On Debian: apt-get install chromium. Elsewhere, set CHROMIUM to its path.`);
}
if (!existsSync(join(here, "node_modules", "playwright-core"))) {
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: here, stdio: "inherit" });
  if (status !== 0) stop("npm ci failed in tools/browser.");
}

const folder = mkdtempSync(join(tmpdir(), "playground-"));
const binary = join(folder, "playground");
let status = 2;
try {
  if (spawnSync("go", ["build", "-o", binary, "./playground"], { cwd: join(here, ".."), stdio: "inherit" }).status !== 0) {
    throw new Error("The playground does not build.");
  }
  // The origin of a page of another site, listed in ORGA_CORS_ORIGINS.
  const foreign = `http://localhost:${await freePort()}`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ORGA_")));
  const playground = spawn(binary, ["-port", "0"], {
    env: { ...env, ORGA_CORS_ORIGINS: foreign, ORGA_RATE_LIMIT: "off" }, stdio: ["ignore", "pipe", "pipe"],
  });
  let log = ""; // the endpoint's log, printed only after a failure
  playground.stderr.on("data", (chunk) => {
    log = (log + chunk).slice(-20_000);
  });
  const ended = new Promise((resolve) => playground.once("exit", resolve));
  try {
    const page = await address(playground, ended);
    const check = spawn(process.execPath, [join(here, "check.mjs"), "--page", page, "--foreign", foreign, ...process.argv.slice(2)],
      { env: { ...process.env, CHROMIUM: chromium }, stdio: "inherit" });
    status = await new Promise((resolve) => check.once("exit", (code) => resolve(code ?? 2)));
  } finally {
    playground.kill("SIGINT");
    const code = await ended;
    if (code !== 0) {
      console.error(`The playground ended with status ${code}.`);
      status ||= 1;
    }
    if (status !== 0) console.error(`\nThe end of the endpoint's log:\n${log.split("\n").slice(-15).join("\n")}`);
  }
} catch (error) {
  console.error(error.message);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(status);

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// address resolves to the page's address once the playground is up.
function address(playground, ended) {
  const said = new Promise((resolve) => {
    let text = "";
    playground.stdout.on("data", (chunk) => {
      text += chunk;
      if (text.includes("Press Ctrl-C")) resolve(/Page\s+(\S+)/.exec(text)[1]);
    });
  });
  return Promise.race([said, ended.then((code) => Promise.reject(new Error(`The playground ended with status ${code}.`)))]);
}
