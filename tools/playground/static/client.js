// A client that makes the same calls as Orga's client in a browser, and also reports which step failed, why, and
// what to do about it. The playground's page and the browser checks (tools/browser) share it.

import remedies from "./remedies.js";

/** The steps of a session, in order. */
export const steps = ["config", "gather", "call", "connect", "sound"];

/** Limits in milliseconds; the first two are those of Orga's client. */
export const limits = { gather: 5000, call: 10000, connect: 15000, sound: 5000 };

const keyPrefix = "sk_orga_ai_";
const channelLabel = "orga-realtime-client-events";

/** A failed step, with the `reason` and `advice` on what to do. Neither contains a credential. */
export class StepError extends Error {
  constructor(step, reason, advice, detail = {}) {
    super(reason);
    this.name = "StepError";
    Object.assign(this, { step, reason, advice, ...detail });
  }
}

// Advice by the code of Orga's error.
const callAdvice = {
  token_spent: "A token opens one call. Fetch a new one for each call, and make sure that no cache stores the response.",
  token_expired: "Fetch the token right before the call.",
  invalid_token: "Orga did not issue this token. Check whether something between the endpoint and the page changes it.",
  permanent_key: "Revoke the key, because a browser has seen it. Only the endpoint may hold it.",
};

/**
 * Fetches a session config as Orga's client does: without `init`, it is a bare fetch(url). Resolves to
 * { token, iceServers, expiresAt, ms, timing, warnings }; rejects with a StepError.
 */
export async function fetchConfig(endpoint, init) {
  const started = performance.now();
  let response;
  try {
    response = await fetch(endpoint, init);
  } catch {
    const cross = new URL(endpoint, location.href).origin !== location.origin;
    throw new StepError("config", "The page got no readable response from the endpoint.",
      cross
        ? `Check that it is running, and that ORGA_CORS_ORIGINS lists ${location.origin}. Browsers do not reveal which of the two it is.`
        : "Check that the endpoint is running.");
  }
  const text = await response.text().catch(() => "");
  const ms = performance.now() - started;
  const timing = serverTiming(response.headers.get("Server-Timing"));
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = null;
  }
  if (text.includes(keyPrefix)) {
    throw new StepError("config", "The response contains the permanent API key.",
      "Revoke the key now, and make the endpoint return an ephemeral token.", { ms, timing });
  }
  if (!response.ok) {
    const code = typeof body?.code === "string" ? body.code : "";
    throw new StepError("config", `The endpoint answered ${response.status}${code ? ` (${code})` : ""}.`,
      remedies[code] ?? "Read the endpoint's log.",
      { ms, timing, status: response.status, code, problem: body, retryAfter: response.headers.get("Retry-After") });
  }
  if (!body?.ephemeralToken || !body?.iceServers) {
    throw new StepError("config", body === null ? "The response is not JSON." : "The response lacks ephemeralToken or iceServers.",
      "Check the address: something other than the endpoint answers there.", { ms, timing });
  }
  const warnings = [];
  if (body.iceServers.length === 0) {
    warnings.push("The list of ICE servers is empty: clients behind a NAT will not connect.");
  }
  if (body.expiresIn !== undefined && body.expiresIn < 15) {
    warnings.push(`The token expires in ${body.expiresIn} s; a slow client needs 15 s.`);
  }
  const expiresAt = body.expiresIn === undefined ? null : Date.now() + 1000 * body.expiresIn;
  return { token: body.ephemeralToken, iceServers: body.iceServers, expiresAt, ms, timing, warnings };
}

/**
 * Signs a request for ORGA_AUTH=hmac. Resolves to the value of its Authorization header, which is valid for five
 * minutes. The subject identifies a user, and may be "".
 */
export async function signRequest(key, method, url, subject = "") {
  const ts = Math.floor(Date.now() / 1000);
  const bytes = (text) => new TextEncoder().encode(text);
  if (!key) throw new StepError("config", "The HMAC key is empty.", "Enter the endpoint's HMAC key (ORGA_AUTH_HMAC_KEY_SOURCE).");
  const hmac = await crypto.subtle.importKey("raw", bytes(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const signed = [method, new URL(url).pathname, ts, ...(subject ? [subject] : [])].join("\n");
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", hmac, bytes(signed)));
  const sig = Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `Orga-HMAC ts=${ts},${subject ? `sub=${subject},` : ""}sig=${sig}`;
}

/** Reads a Server-Timing header into [{ name, ms }]. */
export function serverTiming(header) {
  return (header ?? "").split(",").flatMap((entry) => {
    const match = /^\s*([\w-]+)\s*;.*\bdur=([\d.]+)/.exec(entry);
    return match ? [{ name: match[1], ms: Number(match[2]) }] : [];
  });
}

/**
 * Opens a session. `options`:
 *   endpoint   the address of the session endpoint
 *   orga       the base URL of the Orga API
 *   init       the init argument of fetch(endpoint); omit it to fetch as Orga's client does by default
 *   config     a config to use instead of fetching one
 *   relayOnly  connect through TURN only
 *   track      the audio track to send; optional
 *   context    an AudioContext to check that audio arrives; without one, this is not checked
 *   on         called with (name, detail) for each event: step, config, states, warning, event, stream
 *   signal     an AbortSignal that ends the session
 * Resolves to a Session once audio arrives. On failure, closes everything and rejects with a StepError.
 */
export async function openSession(options) {
  const session = new Session(options);
  try {
    await session.open();
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

class Session {
  constructor({ endpoint, orga, init, config, relayOnly = false, track = null, context = null, on = () => {}, signal }) {
    Object.assign(this, { endpoint, orga, init, given: config, relayOnly, track, context, on, signal });
    this.warnings = [];
    this.transcript = [];
    this.iceErrors = [];
  }

  async open() {
    this.config = await this.step("config", async () => this.given ?? (await fetchConfig(this.endpoint, this.init)));
    this.warn(...(this.config.warnings ?? []));
    this.on("config", this.config);
    const candidates = await this.step("gather", () => this.gather());
    const answer = await this.step("call", () => this.call(candidates));
    await this.step("connect", () => this.connect(answer));
    await this.step("sound", () => this.hear());
  }

  async step(name, run) {
    this.signal?.throwIfAborted();
    const started = performance.now();
    this.on("step", { name, state: "running" });
    try {
      const result = await Promise.race([run(), this.aborted()]);
      this.on("step", { name, state: "done", ms: performance.now() - started });
      return result;
    } catch (error) {
      this.on("step", { name, state: this.signal?.aborted ? "stopped" : "failed", ms: performance.now() - started });
      throw error;
    }
  }

  aborted() {
    return new Promise((_, reject) => {
      this.signal?.addEventListener("abort", () => reject(this.signal.reason), { once: true });
    });
  }

  warn(...texts) {
    this.warnings.push(...texts);
    for (const text of texts) this.on("warning", text);
  }

  // Gathers candidates for at most 5 s.
  async gather() {
    try {
      this.pc = new RTCPeerConnection({
        iceServers: this.config.iceServers,
        iceTransportPolicy: this.relayOnly ? "relay" : "all",
        iceCandidatePoolSize: 0,
      });
    } catch (error) {
      throw new StepError("gather", `The browser rejects the ICE servers: ${error.name}.`,
        "Every entry needs urls, and a turn: entry also needs a username and a credential.");
    }
    const pc = this.pc;
    for (const name of ["connectionstatechange", "iceconnectionstatechange", "icegatheringstatechange", "signalingstatechange"]) {
      pc.addEventListener(name, () => this.on("states", this.states()));
    }
    pc.addEventListener("track", (event) => {
      if (event.track.kind === "audio") this.receive(event.streams[0]);
    });
    pc.addEventListener("icecandidateerror", (event) => {
      this.iceErrors.push({ url: event.url, code: event.errorCode });
    });
    const audio = pc.addTransceiver("audio", { direction: "sendrecv" });
    pc.addTransceiver("video", { direction: "sendonly" });
    await audio.sender.replaceTrack(this.track);
    this.openChannel();

    const candidates = [];
    const complete = new Promise((resolve) => {
      pc.addEventListener("icecandidate", ({ candidate }) => {
        if (candidate?.candidate) {
          candidates.push({ candidate: candidate.candidate, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex });
        }
        if (candidate === null) resolve(true);
      });
    });
    await pc.setLocalDescription(await pc.createOffer());
    if (!(await within(limits.gather, complete))) {
      this.warn("Gathering took the whole 5 s: a STUN or TURN server does not answer.");
    }
    const refused = this.iceErrors.find(({ code }) => code === 401);
    if (this.relayOnly && !candidates.some(({ candidate }) => / typ relay /.test(candidate))) throw this.noRelay(refused);
    if (refused) this.warn(`${refused.url} refuses the credential.`);
    return candidates;
  }

  noRelay(refused) {
    const turn = this.config.iceServers.some(({ urls }) => [urls].flat().some((url) => /^turns?:/.test(url)));
    if (!turn) {
      return new StepError("gather", "There is no TURN server to relay through.",
        "Orga's list has none. Without one, clients behind strict NATs cannot connect.");
    }
    if (refused) {
      return new StepError("gather", "The TURN server refuses the credential.",
        "It is wrong or has expired. Fetch a new config right before the call, and make sure that no cache stores it.");
    }
    return new StepError("gather", "No TURN server answers.",
      "A firewall may block UDP. Check that the list also has TURN over TCP or TLS, and run the probe (make probe URL=…).");
  }

  openChannel() {
    this.channel = this.pc.createDataChannel(channelLabel);
    this.channel.addEventListener("message", ({ data }) => {
      let event;
      try {
        event = JSON.parse(data);
      } catch {
        return;
      }
      if (event.type === "conversation.item.input_audio_transcription.completed") {
        this.transcript.push({ who: "you", text: event.transcript });
      } else if (event.type === "response.output_item.done") {
        this.transcript.push({ who: "orga", text: event.text });
      }
      this.on("event", event);
    });
  }

  // Sends the offer to Orga with the token, and returns the SDP answer.
  async call(candidates) {
    const { sdp, type } = this.pc.localDescription;
    let response, body;
    try {
      response = await fetch(`${this.orga}/v1/realtime/calls`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.config.token}` },
        body: JSON.stringify({
          offer: { sdp, type, candidates },
          params: {
            voice: "alloy", model: "orga-1-beta", temperature: 0.5, return_transcription: true,
            instructions: null, modalities: ["audio"], history: true,
          },
        }),
        signal: AbortSignal.timeout(limits.call),
      });
      body = await response.json().catch(() => null);
    } catch (error) {
      if (error.name === "TimeoutError") {
        throw new StepError("call", "Orga did not answer the call within 10 s.", "Try again; Orga may be overloaded.");
      }
      throw new StepError("call", "The page got no readable response from Orga.",
        `Check the network, that ${this.orga} is correct, and that it allows pages of other origins.`);
    }
    if (!response.ok) {
      const code = body?.error?.code ?? "";
      throw new StepError("call", `Orga refused the call: ${response.status}${code ? ` (${code})` : ""}.`,
        callAdvice[code] ?? (response.status === 401 ? "Orga does not accept the token." : "Try again, and check Orga's status page."),
        { status: response.status, code });
    }
    if (!body?.answer?.sdp || !body?.conversation_id) {
      throw new StepError("call", "Orga's response lacks the SDP or conversation_id.",
        "Check the address: something other than Orga answers there.");
    }
    this.conversation = body.conversation_id;
    return body.answer;
  }

  async connect(answer) {
    const pc = this.pc;
    const settled = new Promise((resolve) => {
      pc.addEventListener("connectionstatechange", () => {
        if (["connected", "failed"].includes(pc.connectionState)) resolve(pc.connectionState);
      });
    });
    await pc.setRemoteDescription(answer);
    if ((await within(limits.connect, settled)) !== "connected") {
      throw new StepError("connect", "The connection to Orga failed: no path works.",
        this.warnings.at(-1) ?? "A firewall may block it. Try relay only, and run the probe (make probe URL=…).");
    }
  }

  receive(stream) {
    this.stream = stream;
    this.on("stream", stream);
    if (!this.context || !stream) return;
    // Chromium feeds remote audio to Web Audio only while a media element plays it; muted suffices.
    this.sink = Object.assign(new Audio(), { muted: true, srcObject: stream });
    this.sink.play().catch(() => {}); // fails if the session was closed meanwhile
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 8192;
    this.analyser.smoothingTimeConstant = 0.5;
    this.context.createMediaStreamSource(stream).connect(this.analyser);
  }

  // Waits for audio. Orga's client reports "connected" even if no media flows.
  async hear() {
    if (!this.context) return;
    const until = performance.now() + limits.sound;
    while (performance.now() < until) {
      if (this.level() > 0.01) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
      this.signal?.throwIfAborted();
    }
    throw new StepError("sound", "Connected, but no audio arrives.",
      this.stream ? "Orga is silent, or its packets are lost. Run the probe (make probe URL=…): it sends a packet through each relay."
        : "The SDP answer has no audio stream.");
  }

  /** Current level of the remote audio, 0 to 1 (RMS). */
  level() {
    if (!this.analyser) return 0;
    const wave = new Float32Array(1024);
    this.analyser.getFloatTimeDomainData(wave);
    return Math.sqrt(wave.reduce((sum, v) => sum + v * v, 0) / wave.length);
  }

  /** Currently loudest frequency of the remote audio in hertz; 0 if silent. */
  frequency() {
    if (!this.analyser || this.level() < 0.005) return 0;
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    let top = 1;
    bins.forEach((v, i) => {
      if (i > 0 && v > bins[top]) top = i;
    });
    // The peak lies between bins: interpolate with a parabola through the loudest bin and its neighbors.
    const [a, b, c] = [bins[top - 1], bins[top], bins[top + 1] ?? bins[top]];
    const shift = a + c === 2 * b ? 0 : (a - c) / (2 * (a - 2 * b + c));
    return ((top + shift) * this.context.sampleRate) / this.analyser.fftSize;
  }

  states() {
    const { connectionState, iceConnectionState, iceGatheringState, signalingState } = this.pc;
    return { connection: connectionState, ice: iceConnectionState, gathering: iceGatheringState, signaling: signalingState };
  }

  /** The selected path: { local, remote, protocol, relayProtocol, url, sent, received }, or null. */
  async path() {
    const stats = await this.pc.getStats();
    const transport = [...stats.values()].find(({ type }) => type === "transport");
    const pair = stats.get(transport?.selectedCandidatePairId);
    if (!pair) return null;
    const local = stats.get(pair.localCandidateId);
    const remote = stats.get(pair.remoteCandidateId);
    return {
      local: local?.candidateType, remote: remote?.candidateType, protocol: local?.protocol,
      relayProtocol: local?.relayProtocol, url: local?.url, sent: transport.bytesSent, received: transport.bytesReceived,
    };
  }

  /** Sends session.update; false if the channel is not open. */
  update(data) {
    if (this.channel?.readyState !== "open") return false;
    this.channel.send(JSON.stringify({ event: "session.update", data }));
    return true;
  }

  close() {
    this.analyser?.disconnect();
    if (this.sink) this.sink.srcObject = null;
    this.channel?.close();
    this.pc?.close();
  }
}

// within resolves to what the promise resolves to, or to undefined after ms milliseconds.
function within(ms, promise) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}

/** Returns a silent audio track, for use without a microphone. */
export function silentTrack(context) {
  const source = context.createConstantSource();
  const gain = context.createGain();
  gain.gain.value = 0;
  const destination = context.createMediaStreamDestination();
  source.connect(gain).connect(destination);
  source.start();
  return destination.stream.getAudioTracks()[0];
}

/** Abbreviates a token or credential for display: enough to tell two apart. */
export function redact(secret) {
  const text = String(secret ?? "");
  return text.length < 24 ? "•".repeat(Math.min(8, text.length)) : `${text.slice(0, 6)}…${text.slice(-4)} (${text.length} characters)`;
}
