// Checks in a real browser that a session works, and that each simulated fault is reported by name.
//
//   node check.mjs --page http://127.0.0.1:8787/ [--foreign http://localhost:9000] [--shots FOLDER]
//
// --page     the playground's page, with the local cloud and ORGA_RATE_LIMIT=off
// --foreign  an origin listed in ORGA_CORS_ORIGINS whose port is free on this machine
// --shots    folder for screenshots
//
// Prints a line for each check. Exit status: 0 if all pass, 1 if one fails, 2 if they could not run. run.mjs starts
// the playground and runs this.

import { createHmac } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const { values: args } = parseArgs({ options: { page: { type: "string" }, foreign: { type: "string" }, shots: { type: "string" } } });
if (!args.page) {
  console.error("--page is missing: node check.mjs --page http://127.0.0.1:8787/ (or: node run.mjs)");
  process.exit(2);
}
const home = new URL(args.page).href;
const settings = await (await fetch(new URL("playground/settings", home))).json();
const endpoint = new URL(settings.endpoint, home).href;
if (!settings.local) {
  console.error("The page uses the real Orga. These checks simulate faults and need the local cloud.");
  process.exit(2);
}
if (args.shots) await mkdir(args.shots, { recursive: true });

const tone = 440; // hertz: orgacloud.Tone
const permanentKey = "sk_orga_ai_test0000000000000000";

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: [
    ...(process.geteuid?.() === 0 ? ["--no-sandbox"] : []), // Chromium's sandbox refuses root
    "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--allow-loopback-in-peer-connection", // where loopback is the only network
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
  ],
}).catch((error) => {
  console.error(`Chromium does not start: ${error.message.split("\n")[0]}\nOn Debian: apt-get install chromium`);
  process.exit(2);
});

// --- helpers ------------------------------------------------------------------------------------

let failed = 0, passed = 0;

async function check(name, run) {
  const started = performance.now();
  try {
    await setKnobs({});
    await run();
    passed++;
    console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}\n      ${String(error.message ?? error).split("\n").slice(0, 4).join("\n      ")}`);
  }
}

function must(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

async function setKnobs(knobs) {
  const response = await fetch(new URL("playground/knobs", home), {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(knobs),
  });
  must(response.ok, `the knobs were refused: ${await response.text()}`);
}

const stats = async () => (await fetch(new URL("playground/stats", home))).json();

// withPage opens the page in a new browser profile. It fails if a script throws, a policy is violated, or the page
// sends a request to a third party.
async function withPage(options, run) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(`a script failed: ${error.message}`));
  page.on("console", (message) => {
    if (/Content Security Policy|Uncaught/.test(message.text())) wrong.push(message.text());
  });
  const own = [new URL(home).origin, new URL(settings.orga).origin];
  page.on("request", (request) => {
    if (/^https?:/.test(request.url()) && !own.includes(new URL(request.url()).origin) && !request.redirectedFrom()) {
      wrong.push(`a request to ${request.url()}`);
    }
  });
  try {
    await page.goto(home);
    await page.waitForSelector('body[data-session="idle"]');
    await run(page);
    // The simulated redirect violates the page's policy, as intended.
    const unexpected = wrong.filter((text) => !text.includes("/elsewhere"));
    must(unexpected.length === 0, unexpected.join("; "));
  } finally {
    await context.close();
  }
}

// hangUp ends the session that is open, if one is.
async function hangUp(page) {
  if (!(await page.$('body[data-session="idle"]'))) await page.click("#start");
  await page.waitForSelector('body[data-session="idle"]');
}

// press starts a session on the page and waits until it opens or fails.
async function press(page) {
  await hangUp(page);
  await page.click("#start");
  await page.waitForSelector('body[data-session="open"], [data-failed]', { timeout: 40_000 });
}

// sessionWorks checks that a session opens over the requested path, that the tone arrives, that the transcript is
// shown, and that there are no warnings.
async function sessionWorks(page, { relay = false } = {}) {
  await page.setChecked("#relay", relay);
  await press(page);
  const why = await page.textContent("#outcome");
  must(await page.$('body[data-session="open"]'), `no session: ${why}`);
  must(!(await page.$("#outcome .notice")), `not without a warning: ${why}`);

  await heard(page);
  await page.waitForSelector("#transcript .you", { timeout: 10_000 });
  const transcript = await page.textContent("#transcript");
  must(/local Orga Cloud/.test(transcript) && /reached the cloud/.test(transcript), `the transcript is ${transcript}`);

  await page.waitForSelector(relay ? '#path[data-local="relay"]' : '#path:is([data-local="host"], [data-local="srflx"], [data-local="prflx"])',
    { timeout: 5000, state: "attached" });
  const { token, username } = await page.evaluate(() => ({
    token: playground.session.config.token,
    username: playground.session.config.iceServers.find((s) => s.username).username,
  }));
  if (relay) {
    const before = (await stats()).relay;
    must(before.active.some((a) => a.username === username), "no allocation was made with this token's credential");
    await page.waitForTimeout(500);
    must((await stats()).relay.bytesIn > before.bytesIn, "nothing flows through the relay");
  }
  must(!(await page.content()).includes(token), "the page shows the token in full");
}

// heard waits until an AnalyserNode measures the tone's frequency.
async function heard(page) {
  const hertz = await page.waitForFunction((wanted) => {
    const f = playground.session?.frequency() ?? 0;
    return Math.abs(f - wanted) < 3 && playground.session.level() > 0.02;
  }, tone, { timeout: 8000 }).catch(() => null);
  must(hertz, `the tone of ${tone} Hz is not heard`);
}

// failsAt starts a session that must fail at the step, with a matching reason and with advice.
async function failsAt(page, step, reason) {
  await press(page);
  const box = await page.$("[data-failed]");
  must(box, "the session opened");
  const at = await box.getAttribute("data-failed");
  const text = await box.textContent();
  must(at === step && reason.test(text), `it failed at ${at}: ${text}`);
  must(/What to do:\s*\S/.test(text), "there is no advice");
  must((await page.getAttribute(`[data-step="${step}"]`, "data-state")) === "failed", "the step is not marked");
}

// mustFail is a negative control: the check itself must fail with a matching message.
async function mustFail(run, reason) {
  const error = await run().then(() => null, (error) => error);
  must(error, "the check passed");
  must(reason.test(error.message), `the check failed for another reason: ${error.message}`);
}

async function shot(page, name) {
  if (args.shots) await page.screenshot({ path: join(args.shots, `${name}.png`), fullPage: true });
}

const hmacOf = (text) => createHmac("sha256", "k".repeat(32)).update(text).digest("hex");

// --- sessions that work ---------------------------------------------------------------------------

await check("direct", () => withPage({}, (page) => sessionWorks(page)));
await check("relay only: the selected pair is relayed, with this token's credential", () =>
  withPage({}, (page) => sessionWorks(page, { relay: true })));
await check("with a microphone", () => withPage({ permissions: ["microphone"] }, async (page) => {
  await page.check("#microphone");
  await sessionWorks(page);
}));
await check("two sessions on one page, each with its own token", () => withPage({}, async (page) => {
  const tokens = [];
  for (const _ of [1, 2]) {
    await sessionWorks(page);
    tokens.push(await page.evaluate(() => playground.session.config.token));
  }
  must(tokens[0] !== tokens[1], "the same token twice");
}));
await check("session.update is acknowledged", () => withPage({}, async (page) => {
  await sessionWorks(page);
  const updated = await page.evaluate(() => new Promise((resolve) => {
    playground.session.on = (name, event) => name === "event" && event.type === "session.updated" && resolve(event.session);
    playground.session.update({ temperature: 0.25 });
    setTimeout(resolve, 3000);
  }));
  must(updated?.temperature === 0.25, `session.updated: ${JSON.stringify(updated)}`);
}));
await check("stop hangs up", () => withPage({}, async (page) => {
  await sessionWorks(page);
  const open = (await stats()).callsOpen;
  await hangUp(page);
  for (let i = 0; i < 50 && (await stats()).callsOpen >= open; i++) await page.waitForTimeout(100);
  must((await stats()).callsOpen < open, "the cloud still has the call");
}));
await check("by keyboard alone", () => withPage({}, async (page) => {
  await page.keyboard.press("Tab");
  must((await page.evaluate(() => document.activeElement.id)) === "start", "the first focus is not the start button");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Space");
  must(await page.isChecked("#relay"), "the space bar does not toggle the switch");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  await page.waitForSelector('body[data-session="open"]');
  await page.keyboard.press("Enter");
  await page.waitForSelector('body[data-session="idle"]');
}));
await check("every control has a label, and the page fits into 360 pixels", () =>
  withPage({ viewport: { width: 360, height: 740 } }, async (page) => {
    const nameless = await page.$$eval("input, select", (all) => all.filter((c) => c.labels.length === 0).map((c) => c.name || c.id));
    must(nameless.length === 0, `without a label: ${nameless}`);
    await sessionWorks(page);
    must(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the page is wider than the screen");
  }));

for (const [name, kind, fields, wanted] of [
  ["the Authorization field is sent as typed", "header", { "#auth-header": "Bearer abc.def.ghi" }, () => "Bearer abc.def.ghi"],
  ["a request is signed, with the subject", "hmac", { "#auth-key": "k".repeat(32), "#auth-subject": "user-42" }, (ts) =>
    `Orga-HMAC ts=${ts},sub=user-42,sig=${hmacOf(`GET\n${new URL(endpoint).pathname}\n${ts}\nuser-42`)}`],
  ["a request is signed, without a subject", "hmac", { "#auth-key": "k".repeat(32) }, (ts) =>
    `Orga-HMAC ts=${ts},sig=${hmacOf(`GET\n${new URL(endpoint).pathname}\n${ts}`)}`],
]) {
  await check(name, () => withPage({}, async (page) => {
    await page.click("#auth summary");
    await page.selectOption("#auth-kind", kind);
    for (const [field, text] of Object.entries(fields)) await page.fill(field, text);
    const sent = page.waitForRequest(endpoint);
    await sessionWorks(page);
    const { authorization = "none" } = await (await sent).allHeaders();
    must(authorization === wanted(/ts=(\d+)/.exec(authorization)?.[1]), `Authorization: ${authorization}`);
    must((await page.textContent("#snippet")).includes("fetchSessionConfig"), "no snippet");
  }));
}

// --- each simulated fault, and the message on the page --------------------------------------------

const byEndpoint = (code) => new RegExp(`\\(${code}\\)`);
const failed502 = byEndpoint("upstream_error");
const silence = /no readable response from Orga/;
const noAnswerInIt = /lacks the SDP or conversation_id/;
// The page's message if the mint, the ICE call or the call itself has the fault.
const faults = {
  "401": [byEndpoint("upstream_auth_failed"), failed502, /refused the call: 401/],
  "403": [byEndpoint("upstream_auth_failed"), failed502, /refused the call: 403/],
  "422": [failed502, failed502, /refused the call: 422/],
  "500": [failed502, failed502, /refused the call: 500/],
  "502": [failed502, failed502, /refused the call: 502/],
  "503": [failed502, failed502, /refused the call: 503/],
  "429, try in 1 second": [byEndpoint("upstream_rate_limited"), byEndpoint("upstream_rate_limited"), /refused the call: 429/],
  "429, try in 20 seconds": [/\(upstream_rate_limited\).*Retry-After: 20 s/, byEndpoint("upstream_rate_limited"), /refused the call: 429/],
  "a page instead of JSON": [failed502, failed502, noAnswerInIt],
  "JSON cut short": [failed502, failed502, noAnswerInIt],
  "JSON without its content": [failed502, failed502, noAnswerInIt],
  "100 MB of JSON": [failed502, failed502, noAnswerInIt],
  "redirect elsewhere": [failed502, failed502, silence],
  "credential repeated in a 401": [byEndpoint("upstream_auth_failed"), failed502, /refused the call: 401/],
  "connection closed": [failed502, failed502, silence],
  "connection reset": [failed502, failed502, silence],
  "no answer at all": [byEndpoint("timeout"), byEndpoint("timeout"), /did not answer the call within 10 s/],
};
// All faults use one page: a failure must not affect the next session.
await check("the page survives every fault", () => withPage({}, async (page) => {
  for (const name of settings.choices.fault) {
    const [mint, ice, call] = faults[name] ?? [];
    for (const [knob, step, reason] of [["mint", "config", mint], ["ice", "config", ice], ["call", "call", call]]) {
      await check(`${knob}: ${name}`, async () => {
        must(reason, "no check is written for this fault");
        await setKnobs({ [knob]: { fault: name } });
        await failsAt(page, step, reason);
        if (name === "502" && knob === "mint") await shot(page, "failure-light");
      });
    }
  }
  for (const fault of ["503", "429, try in 1 second", "connection reset"]) {
    for (const knob of ["mint", "ice"]) {
      await check(`${knob}: ${fault}, once: the endpoint retries`, async () => {
        await setKnobs({ [knob]: { fault, times: 1 } });
        await sessionWorks(page);
      });
    }
  }
  await check("latency is shown for the slow call", async () => {
    await setKnobs({ ice: { latencyMs: 700 } });
    await sessionWorks(page);
    const legend = await page.textContent("#legend .t-ice");
    must(Number(/([\d.]+) ms/.exec(legend)?.[1]) >= 700, `the legend has ${legend}`);
  });
  for (const shape of settings.choices.tokenShape) {
    await check(`token written as ${shape}`, async () => {
      await setKnobs({ tokenShape: shape });
      await sessionWorks(page);
    });
  }
}));
const badShapes = { "null list": failed502, "server without urls": failed502 };
for (const shape of settings.choices.iceShape) {
  await check(`ICE list written as ${shape}`, () => withPage({}, async (page) => {
    await setKnobs({ iceShape: shape });
    if (shape === "empty list") {
      await press(page);
      must(/list of ICE servers is empty/.test(await page.textContent("#outcome")), "no warning");
    } else if (badShapes[shape]) {
      await failsAt(page, "config", badShapes[shape]);
    } else {
      await sessionWorks(page, { relay: true });
    }
  }));
}
// The message with relay only, and the warning of a direct session.
const relays = {
  "STUN does not answer": [null, /does not answer/],
  "TURN does not answer over UDP": [null, /does not answer/],
  "nothing answers": [/No TURN server answers/, /does not answer/],
  "wrong credential": [/refuses the credential/, /refuses the credential/],
  "expired credential": [/refuses the credential/, /refuses the credential/],
};
for (const fault of settings.choices.relay) {
  const [alone, warning] = relays[fault] ?? [];
  await check(`${fault}: direct connects, with a warning`, () => withPage({}, async (page) => {
    must(warning, "no check is written for this fault");
    await setKnobs({ relay: fault });
    await press(page);
    must(await page.$('body[data-session="open"]'), await page.textContent("#outcome"));
    must(warning.test(await page.textContent("#outcome .warn")), "the warning is another");
    await heard(page);
  }));
  await check(`${fault}: relay only`, () => withPage({}, async (page) => {
    await setKnobs({ relay: fault });
    await page.check("#relay");
    if (alone) return failsAt(page, "gather", alone);
    await press(page);
    must(await page.$('body[data-session="open"]'), await page.textContent("#outcome"));
    await heard(page);
  }));
}
await check("a token that expires before the call", () => withPage({}, async (page) => {
  await setKnobs({ tokenTTLSeconds: 3, relay: "nothing answers" });
  await failsAt(page, "call", /token_expired/);
  must(/expires in \d s/.test(await page.textContent("#outcome")), "no warning of a short lifetime");
}));
await check("a clock skew of an hour", () => withPage({}, async (page) => {
  await setKnobs({ clockSkewSeconds: -3600 });
  await press(page);
  must(/expires in -?\d+ s/.test(await page.textContent("#outcome")), "no warning");
}));
await check("connected, but no audio", () => withPage({}, async (page) => {
  await setKnobs({ silent: true });
  await failsAt(page, "sound", /no audio arrives/);
}));

// --- negative controls: manipulations that must fail the check ------------------------------------

// tamper changes the endpoint's response on its way to the page.
const tamper = (page, change) => page.route(endpoint, async (route) => {
  const response = await route.fetch();
  await route.fulfill({ response, json: change(await response.json()) });
});
await check("control: a wrong token fails the check", () => withPage({}, async (page) => {
  await tamper(page, (config) => ({ ...config, ephemeralToken: `${config.ephemeralToken}x` }));
  await mustFail(() => sessionWorks(page), /no session.*invalid_token/s);
}));
await check("control: a spent token fails the check", () => withPage({}, async (page) => {
  let first;
  await tamper(page, (config) => (first ??= config)); // as a cache in between would
  await sessionWorks(page);
  await mustFail(() => sessionWorks(page), /no session.*token_spent/s);
}));
await check("control: the permanent key as the token fails the check", () => withPage({}, async (page) => {
  await tamper(page, (config) => ({ ...config, ephemeralToken: permanentKey }));
  await mustFail(() => sessionWorks(page), /no session.*permanent API key/s);
}));
await check("control: the permanent key next to the token fails the check", () => withPage({}, async (page) => {
  await tamper(page, (config) => ({ ...config, debug: { key: permanentKey } }));
  await mustFail(() => sessionWorks(page), /no session.*permanent API key/s);
}));
for (const relay of [false, true]) {
  await check(`control: no ICE servers fails the check${relay ? ", relay only" : ""}`, () => withPage({}, async (page) => {
    await tamper(page, (config) => ({ ...config, iceServers: [] }));
    await mustFail(() => sessionWorks(page, { relay }), relay ? /no TURN server to relay/ : /ICE servers is empty/);
  }));
}
await check("control: the permanent key is refused by Orga as a token", async () => {
  const response = await fetch(`${settings.orga}/v1/realtime/calls`, {
    method: "POST", headers: { Authorization: `Bearer ${permanentKey}`, "Content-Type": "application/json" }, body: "{}",
  });
  must(response.status === 401 && (await response.json()).error.code === "permanent_key", `status ${response.status}`);
});

// --- across origins -------------------------------------------------------------------------------

// serve serves a page of another site that has nothing but the client.
function serve(origin) {
  const server = createServer((request, response) => {
    const script = { "/client.js": "../playground/static/client.js", "/remedies.js": "../remedy/remedies.js" }[request.url];
    if (script) {
      response.setHeader("Content-Type", "text/javascript");
      createReadStream(new URL(script, import.meta.url)).pipe(response);
    } else {
      response.setHeader("Content-Type", "text/html");
      response.end('<!doctype html><title>Another site</title><link rel="icon" href="data:,">');
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(new URL(origin).port), "localhost", () => resolve(server));
  });
}

// fromAnotherSite opens a session from a page of another origin, and returns the outcome.
async function fromAnotherSite(origin, init) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    await page.goto(origin);
    return await page.evaluate(async ({ endpoint, orga, init, tone }) => {
      const { openSession, silentTrack } = await import("/client.js");
      const context = new AudioContext();
      try {
        const session = await openSession({ endpoint, orga, init, context, track: silentTrack(context) });
        let hertz = 0;
        for (let i = 0; i < 60 && Math.abs(hertz - tone) > 3; i++) {
          await new Promise((resolve) => setTimeout(resolve, 50));
          hertz = session.frequency();
        }
        session.close();
        return { hertz, timing: session.config.timing.map(({ name }) => name), warnings: session.warnings };
      } catch (error) {
        return { step: error.step, reason: error.reason ?? String(error), advice: error.advice };
      }
    }, { endpoint, orga: settings.orga, init, tone });
  } finally {
    await context.close();
  }
}

if (args.foreign) {
  const server = await serve(args.foreign);
  const works = async (init) => {
    const result = await fromAnotherSite(args.foreign, init);
    must(Math.abs(result.hertz - tone) < 3 && result.warnings.length === 0, JSON.stringify(result));
    must(result.timing.join() === "secret,token,ice", `Server-Timing reads ${result.timing}`);
  };
  await check("across origins: a bare GET", () => works());
  await check("across origins: preflighted, with Authorization", () => works({ headers: { Authorization: "Bearer of-the-app" } }));
  await check("across origins: preflighted, JSON by POST", () =>
    works({ method: "POST", headers: { "Content-Type": "application/json" }, body: '{"user":1}' }));
  server.close();

  const unlisted = await serve("http://localhost:0");
  const origin = `http://localhost:${unlisted.address().port}`;
  for (const [name, init] of [["a bare GET", undefined], ["preflighted", { headers: { Authorization: "Bearer of-the-app" } }]]) {
    await check(`across origins: an unlisted origin is refused, ${name}`, async () => {
      const before = (await stats()).minted;
      const result = await fromAnotherSite(origin, init);
      must(result.step === "config" && result.advice.includes(`ORGA_CORS_ORIGINS lists ${origin}`), JSON.stringify(result));
      must((await stats()).minted === before, "a token was minted for it");
    });
  }
  unlisted.close();
}

// --- screenshots ----------------------------------------------------------------------------------

if (args.shots) {
  for (const colorScheme of ["light", "dark"]) {
    for (const [size, width] of [["desktop", 1100], ["phone", 390]]) {
      await check(`screenshot: ${size}, ${colorScheme}`, () => withPage({ colorScheme, viewport: { width, height: 900 } }, async (page) => {
        await sessionWorks(page, { relay: colorScheme === "dark" });
        await shot(page, `session-${size}-${colorScheme}`);
      }));
    }
  }
}

await setKnobs({});
await browser.close();
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;
