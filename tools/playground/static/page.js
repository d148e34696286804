import { fetchConfig, limits, openSession, redact, signRequest, silentTrack } from "./client.js";

const $ = (id) => document.getElementById(id);
const make = (tag, text = "", className = "") => Object.assign(document.createElement(tag), { textContent: text, className });

const settings = await (await fetch("playground/settings")).json();
const endpoint = new URL(settings.endpoint, location.href).href;

let running = null; // the AbortController of the current session, from its first step on
let session = null;
let expiresAt = null;
let lifetime = 0;
let context = null; // one AudioContext for the page: browsers allow few

$("where").replaceChildren(
  "Endpoint ", make("code", endpoint), ", backed by ",
  settings.local ? "a local Orga Cloud at " : "Orga at ", make("code", settings.orga),
);

// --- a session ------------------------------------------------------------------------------------

$("start").addEventListener("click", () => (running ? running.abort() : start()));

async function start() {
  reset();
  running = new AbortController();
  const { signal } = running;
  $("start").textContent = "Stop";
  for (const id of ["relay", "microphone"]) $(id).disabled = true;
  let track = null;
  try {
    context ??= new AudioContext();
    await context.resume();
    track = await soundToSend();
    session = await openSession({
      endpoint, init: await credential(), orga: settings.orga, relayOnly: $("relay").checked, track, context, signal, on,
    });
    say("good", "Connected: you are hearing audio from Orga.");
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    say("", "Stopped.");
  } catch (error) {
    if (signal.aborted) say("", "Stopped.");
    else explain(error);
  } finally {
    session?.close();
    track?.stop();
    session = running = null;
    document.body.dataset.session = "idle";
    $("start").textContent = "Start a session";
    for (const id of ["relay", "microphone"]) $(id).disabled = false;
    $("audio").srcObject = null;
    refresh();
  }
}

// --- authorization ----------------------------------------------------------------------------------

// credential returns the init argument of fetch; undefined without Authorization, as in Orga's client.
async function credential() {
  const kind = $("auth-kind").value;
  if (kind === "none") return undefined;
  const Authorization = kind === "header"
    ? $("auth-header").value.trim()
    : await signRequest($("auth-key").value.trim(), "GET", endpoint, $("auth-subject").value.trim());
  return { headers: { Authorization } };
}

function showAuth() {
  const kind = $("auth-kind").value;
  for (const item of document.querySelectorAll("#auth [data-kind]")) item.hidden = item.dataset.kind !== kind;
  $("auth-said").textContent = { none: "none", header: "a header", hmac: "a signed request" }[kind];
  $("snippet").textContent = snippet(kind);
  $("copied").textContent = "";
}

// snippet returns the snippet of docs/use.md with this endpoint's address.
function snippet(kind) {
  if (kind === "hmac") {
    return `// In the app: call your own backend, which knows the user.
OrgaAI.init({
  fetchSessionConfig: () => fetch("/api/session").then((response) => response.json()),
});

// In the backend: sign the request to ${endpoint}
// (docs/use.md has the route for Next.js, Express, Fastify and edge runtimes).`;
  }
  const init = kind === "header" ? `, {
      headers: { Authorization: \`Bearer \${await getAccessToken()}\` },
    }` : "";
  return `OrgaAI.init({
  fetchSessionConfig: async () => {
    const response = await fetch("${endpoint}"${init});
    if (!response.ok) throw new Error(\`No session: \${response.status}\`);
    return response.json();
  },
});`;
}

$("auth-kind").addEventListener("change", showAuth);
$("copy").addEventListener("click", async () => {
  const copied = await navigator.clipboard.writeText($("snippet").textContent).then(() => true, () => false);
  $("copied").textContent = copied ? "Copied." : "The browser blocked the clipboard: select and copy the text.";
});
$("auth-kind").value = settings.auth.includes("hmac") ? "hmac" : settings.auth.includes("oidc") ? "header" : "none";
$("auth").open = $("auth-kind").value !== "none";
showAuth();

// soundToSend returns the microphone's track if it is selected and allowed, else a silent track.
async function soundToSend() {
  if ($("microphone").checked) {
    try {
      return (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks()[0];
    } catch {
      warn("The microphone is not available; sending silence instead.");
    }
  }
  return silentTrack(context);
}

function on(name, detail) {
  if (name === "step") showStep(detail);
  if (name === "config") showConfig(detail);
  if (name === "states") showStates(detail);
  if (name === "stream") $("audio").srcObject = detail;
  if (name === "warning") warn(detail);
  if (name === "event") showEvent(detail);
}

function reset() {
  document.body.dataset.session = "opening";
  for (const item of document.querySelectorAll("[data-step]")) {
    delete item.dataset.state;
    item.querySelector(".result").textContent = "";
  }
  $("outcome").replaceChildren();
  $("transcript").replaceChildren(make("li", "No speech yet.", "quiet"));
  $("answer").hidden = $("timing").hidden = $("problem").hidden = true;
  $("answer-empty").hidden = false;
  $("path").textContent = "none yet";
  for (const dd of document.querySelectorAll("#states [data-state]")) dd.textContent = "new";
  expiresAt = null;
}

function showStep({ name, state, ms }) {
  const item = document.querySelector(`[data-step="${name}"]`);
  item.dataset.state = state;
  item.querySelector(".result").textContent =
    { running: "…", stopped: "stopped", failed: `failed, ${duration(ms)}`, done: duration(ms) }[state];
  if (name === "sound" && state === "done") document.body.dataset.session = "open";
}

const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

function showStates(states) {
  for (const [key, value] of Object.entries(states)) {
    const shown = document.querySelector(`#states [data-state="${key}"]`);
    if (shown) shown.textContent = value;
  }
  if (session && states.connection === "failed") {
    warn("The connection was lost: Orga closed it, or the network failed.");
    running.abort();
  }
}

function showConfig(config) {
  $("answer-empty").hidden = true;
  $("answer").hidden = false;
  $("token").textContent = redact(config.token);
  expiresAt = config.expiresAt;
  lifetime = expiresAt ? expiresAt - Date.now() : 0;
  $("servers").replaceChildren(...config.iceServers.map(({ urls, username, credential }) => {
    const item = make("li");
    item.append(...[urls].flat().map((url) => make("code", url)));
    if (credential) {
      const line = make("span", "user ", "quiet");
      line.append(make("code", username), ", credential ", make("code", redact(credential)));
      item.append(line);
    }
    return item;
  }));
  if (config.iceServers.length === 0) $("servers").replaceChildren(make("li", "none", "quiet"));
  showTiming(config.timing, config.ms);
}

// showTiming draws the phases that the endpoint reports (Server-Timing), and the rest: the network and the
// endpoint's own work.
function showTiming(timing, ms) {
  const titles = { secret: "fetch the key", token: "mint", ice: "ICE servers" };
  const reported = timing.reduce((sum, part) => sum + part.ms, 0);
  const parts = [...timing, { name: "rest", ms: Math.max(0, ms - reported) }];
  $("timing").hidden = false;
  $("bar").replaceChildren(...parts.map(({ name, ms }) => {
    const piece = make("i", "", `t-${name}`);
    piece.style.flexGrow = String(ms);
    return piece;
  }));
  $("legend").replaceChildren(...parts.map(({ name, ms }) =>
    make("li", `${titles[name] ?? "network and the rest"} ${ms.toFixed(1)} ms`, `t-${name}`)));
  $("bar").ariaLabel = `${ms.toFixed(0)} ms in all: ${[...$("legend").children].map((item) => item.textContent).join(", ")}`;
}

function showEvent(event) {
  const texts = {
    "conversation.item.input_audio_transcription.completed": ["you", "You", event.transcript],
    "response.output_item.done": ["orga", "Orga", event.text],
  };
  const known = texts[event.type];
  if (!known) return;
  $("transcript").querySelector(".quiet")?.remove();
  const item = make("li", "", known[0]);
  item.append(make("b", known[1]), make("span", known[2]));
  $("transcript").append(item);
}

function say(kind, text) {
  document.querySelector("#outcome .said")?.remove();
  if (text) $("outcome").prepend(make("p", text, `said ${kind || "quiet"}`));
}

function warn(text) {
  const box = make("div", "", "notice warn");
  box.append(make("p", text));
  $("outcome").append(box);
}

function explain(error) {
  say("", "");
  const names = Object.fromEntries([...document.querySelectorAll("[data-step]")].map((item) =>
    [item.dataset.step, item.querySelector(".name").textContent]));
  const box = make("div", "", "notice bad");
  const line = (label, text) => {
    const p = make("p");
    p.append(make("strong", `${label} `), text);
    box.append(p);
  };
  if (error.name === "StepError") {
    box.dataset.failed = error.step;
    line("Failed step:", names[error.step]);
    line("Reason:", error.reason + (error.retryAfter ? ` Retry-After: ${error.retryAfter} s.` : ""));
    line("What to do:", error.advice);
    if (error.status === 401) $("auth").open = true;
    if (error.timing) showTiming(error.timing, error.ms);
    if (error.problem) {
      $("answer-empty").hidden = true;
      $("problem").hidden = false;
      $("problem").textContent = JSON.stringify(error.problem, null, 1);
    }
  } else {
    line("Unexpected error:", String(error));
  }
  $("outcome").prepend(box);
}

// --- live displays ----------------------------------------------------------------------------------

const canvas = $("wave");
const pen = canvas.getContext("2d");
const wave = new Float32Array(2048);

function draw() {
  requestAnimationFrame(draw);
  const width = (canvas.width = canvas.clientWidth * devicePixelRatio);
  const height = (canvas.height = canvas.clientHeight * devicePixelRatio);
  canvas.classList.toggle("live", session !== null);
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.lineWidth = 2 * devicePixelRatio;
  pen.lineJoin = "round";
  if (session?.analyser) session.analyser.getFloatTimeDomainData(wave);
  else wave.fill(0);
  // Start at a rising zero crossing, so that a steady tone does not jump.
  let from = 0;
  while (from < 512 && !(wave[from] <= 0 && wave[from + 1] > 0)) from++;
  pen.beginPath();
  for (let i = 0; i < 1024; i++) pen.lineTo((i / 1023) * width, height / 2 - wave[(from % 512) + i] * height * 1.2);
  pen.stroke();
}
requestAnimationFrame(draw);

setInterval(() => {
  const level = session?.level() ?? 0;
  // Show the top 60 dB below full scale: perceived loudness is logarithmic.
  const shown = level > 0.001 ? Math.min(100, 100 + (20 * Math.log10(level) * 100) / 60) : 0;
  $("meter").firstElementChild.style.width = `${shown}%`;
  $("meter").ariaValueNow = String(Math.round(shown));
  const hertz = session?.frequency() ?? 0;
  $("heard").textContent = hertz > 0 ? `Loudest at ${Math.round(hertz)} Hz` : "Silence";
}, 150);

setInterval(async () => {
  if (expiresAt) {
    const left = Math.max(0, (expiresAt - Date.now()) / 1000);
    $("expiry").textContent = left > 0 ? `in ${Math.ceil(left)} s` : "expired";
    $("countdown").style.width = `${Math.min(100, (100000 * left) / lifetime)}%`;
    $("countdown").className = left === 0 ? "over" : left < 15 ? "short" : "";
  } else {
    $("expiry").textContent = "unknown: Orga did not send it";
  }
  const path = await session?.path().catch(() => null);
  if (path) {
    const relayed = path.local === "relay" ? `relayed over ${(path.relayProtocol ?? path.protocol).toUpperCase()}` : `direct, ${path.protocol.toUpperCase()}`;
    $("path").textContent = `${relayed}, ${Math.round(path.received / 1024)} KiB in`;
    $("path").dataset.local = path.local;
  }
}, 500);

// --- the knobs --------------------------------------------------------------------------------------

if (settings.local) {
  const form = $("knobs-form");
  const titles = { mint: "Mint a token", ice: "List the ICE servers", call: "Open a call" };
  for (const box of form.querySelectorAll(".fault")) {
    box.append($("fault-template").content.cloneNode(true));
    box.querySelector(".title").textContent = titles[box.dataset.call];
    fill(box.querySelector('[data-knob="fault"]'), settings.choices.fault, (name) => (/^\d+$/.test(name) ? `answers ${name}` : name));
  }
  for (const name of ["tokenShape", "iceShape", "relay"]) {
    form[name].append(new Option(form[name].dataset.none, ""));
    fill(form[name], settings.choices[name], (text) => text);
  }
  form.addEventListener("change", () => send(read()));
  form.addEventListener("reset", () => setTimeout(() => send({})));
  form.addEventListener("submit", (event) => event.preventDefault());
  show(settings.knobs);
  $("knobs").hidden = false;
  setInterval(refresh, 2000);
  refresh();
}

function fill(select, names, title) {
  select.append(...names.map((name) => new Option(title(name), name)));
}

function read() {
  const form = $("knobs-form");
  const knobs = {
    tokenShape: form.tokenShape.value, iceShape: form.iceShape.value, relay: form.relay.value,
    tokenTTLSeconds: Number(form.tokenTTLSeconds.value), clockSkewSeconds: Number(form.clockSkewSeconds.value),
    silent: form.silent.checked,
  };
  for (const box of form.querySelectorAll(".fault")) {
    const knob = (name) => box.querySelector(`[data-knob="${name}"]`).value;
    knobs[box.dataset.call] = { fault: knob("fault"), times: Number(knob("times")), latencyMs: Number(knob("latencyMs")) };
  }
  return knobs;
}

function show(knobs) {
  const form = $("knobs-form");
  for (const name of ["tokenShape", "iceShape", "relay"]) form[name].value = knobs[name];
  for (const name of ["tokenTTLSeconds", "clockSkewSeconds"]) form[name].value = knobs[name] || "";
  form.silent.checked = knobs.silent;
  for (const box of form.querySelectorAll(".fault")) {
    const { fault, times, latencyMs } = knobs[box.dataset.call];
    box.querySelector('[data-knob="fault"]').value = fault;
    box.querySelector('[data-knob="times"]').value = String(times);
    box.querySelector('[data-knob="latencyMs"]').value = latencyMs || "";
  }
}

async function send(knobs) {
  const response = await fetch("playground/knobs", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(knobs),
  }).catch(() => null);
  const answer = await response?.json().catch(() => null);
  if (response?.ok) show(answer.knobs);
  $("knobs-said").textContent = response?.ok ? "Set for the next session." : answer?.error.message ?? "The playground does not answer.";
}

// refresh shows the cloud's counters, and its knobs: one that was set for a number of requests resets itself.
async function refresh() {
  if (!settings.local || document.hidden) return;
  const stats = await fetch("playground/stats").then((response) => response.json()).catch(() => null);
  if (!stats) return;
  if (!$("knobs-form").contains(document.activeElement)) show(stats.knobs);
  const refused = Object.values(stats.refused).reduce((sum, n) => sum + n, 0);
  const rows = {
    "Tokens minted": stats.minted, "Calls opened": stats.calls, "Requests refused": refused,
    "TURN allocations": stats.relay.allocations, "KiB relayed": Math.round((stats.relay.bytesIn + stats.relay.bytesOut) / 1024),
  };
  $("stats").replaceChildren(...Object.entries(rows).map(([title, n]) => {
    const row = make("div");
    row.append(make("dt", title), make("dd", String(n)));
    return row;
  }));
}

document.body.dataset.session = "idle";
// For the browser's console and the browser checks.
window.playground = { fetchConfig, openSession, limits, settings, endpoint, get session() { return session; } };
