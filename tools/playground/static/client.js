// A client of our own that does, call by call, what Orga's client does in a browser, and that says what
// Orga's does not: which step failed, why, and what to do about it. The playground's page and the
// browser checks (tools/browser) both use it, so that what is checked is what a person sees.

/** The steps of a session, in their order. */
export const steps = ["config", "gather", "call", "connect", "sound"];

/** Limits in milliseconds; the first two are those of Orga's client. */
export const limits = { gather: 5000, call: 10000, connect: 15000, sound: 5000 };

const keyPrefix = "sk_orga_ai_";
const channelLabel = "orga-realtime-client-events";

/** A step that failed: `reason` says why, `advice` what to do. Neither repeats a credential. */
export class StepError extends Error {
  constructor(step, reason, advice, detail = {}) {
    super(reason);
    this.name = "StepError";
    Object.assign(this, { step, reason, advice, ...detail });
  }
}

// What to do, by the code of the endpoint's problem body.
const endpointAdvice = {
  unauthenticated: "Send the caller's credential with the request (fetchSessionConfig), or set ORGA_AUTH.",
  forbidden: "List this page's origin in ORGA_CORS_ORIGINS, and check that the tenant exists and lets this caller in.",
  not_found: "Check the address: /api/orga-client-secrets.",
  method_not_allowed: "Ask with GET or POST.",
  rate_limited: "Wait for as long as Retry-After says; ORGA_RATE_LIMIT sets the limit.",
  misconfigured: "Read the endpoint's log: it names each setting that is wrong.",
  internal: "Read the endpoint's log and report it: this is a bug.",
  upstream_auth_failed: "Orga refuses the API key. Check ORGA_API_KEY_SOURCE, and that the key was not revoked.",
  upstream_error: "Orga failed, or answered something that is no token or no ICE list. Try again; the endpoint's log has the call.",
  upstream_rate_limited: "Orga limits this account. Wait for as long as Retry-After says.",
  secret_unavailable: "The store that keeps the API key does not answer. Check its permissions and the network.",
  limiter_unavailable: "The store of the rate limit does not answer. Check ORGA_RATE_LIMIT_STORE.",
  auth_unavailable: "The issuer's keys cannot be fetched. Check ORGA_AUTH_ISSUER.",
  timeout: "Orga took too long. Try again; ORGA_TIMEOUT is the endpoint's budget.",
};

// What to do, by the code of Orga's error.
const callAdvice = {
  token_spent: "A token opens one call: ask the endpoint for a new one each time, and let nothing cache its answer.",
  token_expired: "Ask for the token right before the call; a page that waits lets it expire.",
  invalid_token: "The token is not Orga's. Check that nothing between the endpoint and the page changes it.",
  permanent_key: "Revoke the key: it has been in a browser. Only the endpoint may hold it.",
};

/**
 * Asks the endpoint for a session config, as Orga's client does: with `init` left out it is a bare
 * fetch(url). Resolves to { token, iceServers, expiresAt, ms, timing, warnings }; rejects with a
 * StepError.
 */
export async function fetchConfig(endpoint, init) {
  const started = performance.now();
  let response;
  try {
    response = await fetch(endpoint, init);
  } catch {
    const cross = new URL(endpoint, location.href).origin !== location.origin;
    throw new StepError("config", "No answer from the endpoint that this page may read.",
      cross
        ? `Check that it runs, and that ORGA_CORS_ORIGINS has ${location.origin}: a browser says no more than this.`
        : "Check that the endpoint runs.");
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
    throw new StepError("config", "The answer holds the permanent API key.",
      "Revoke the key now, and have the endpoint answer with an ephemeral token.", { ms, timing });
  }
  if (!response.ok) {
    const code = typeof body?.code === "string" ? body.code : "";
    throw new StepError("config", `The endpoint answered ${response.status}${code ? ` (${code})` : ""}.`,
      endpointAdvice[code] ?? "Read the endpoint's log.",
      { ms, timing, status: response.status, code, problem: body, retryAfter: response.headers.get("Retry-After") });
  }
  if (!body?.ephemeralToken || !body?.iceServers) {
    throw new StepError("config", body === null ? "The answer is no JSON." : "The answer has no ephemeralToken or no iceServers.",
      "Check that the address is the endpoint's: something else answers there.", { ms, timing });
  }
  const warnings = [];
  if (body.iceServers.length === 0) {
    warnings.push("The list of ICE servers is empty: clients behind a NAT will not connect.");
  }
  if (body.expiresIn !== undefined && body.expiresIn < 15) {
    warnings.push(`The token lives for ${body.expiresIn} s more: a slow client needs 15.`);
  }
  const expiresAt = body.expiresIn === undefined ? null : Date.now() + 1000 * body.expiresIn;
  return { token: body.ephemeralToken, iceServers: body.iceServers, expiresAt, ms, timing, warnings };
}

/**
 * Signs a request for ORGA_AUTH=hmac and resolves to the value of its Authorization header, which is good for five
 * minutes. The subject, a user of the caller's, may be "".
 */
export async function signRequest(key, method, url, subject = "") {
  const ts = Math.floor(Date.now() / 1000);
  const bytes = (text) => new TextEncoder().encode(text);
  if (!key) throw new StepError("config", "The HMAC key is empty.", "Type the key that the endpoint has (ORGA_AUTH_HMAC_KEY_SOURCE).");
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
 *   init       for fetch(endpoint); leave it out for what Orga's client does by itself
 *   config     a config to use in place of fetching one
 *   relayOnly  connect through TURN only
 *   track      the audio track to send; none sends nothing
 *   context    an AudioContext that listens in; without one, nobody checks that there is sound
 *   on         called with (name, detail) of what happens: step, config, states, event, stream
 *   signal     an AbortSignal that ends it
 * Resolves to a Session once there is sound; rejects with a StepError, everything closed.
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

  // Gathers candidates until they are complete, or 5 s have passed.
  async gather() {
    try {
      this.pc = new RTCPeerConnection({
        iceServers: this.config.iceServers,
        iceTransportPolicy: this.relayOnly ? "relay" : "all",
        iceCandidatePoolSize: 0,
      });
    } catch (error) {
      throw new StepError("gather", `The browser refuses the ICE servers: ${error.name}.`,
        "A turn: entry needs a username and a credential, and every entry a urls member.");
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
        "Orga's list has none; without one, clients behind strict NATs cannot connect.");
    }
    if (refused) {
      return new StepError("gather", "The TURN server refuses the credential.",
        "It is wrong or has expired. Ask for a new config right before the call, and let nothing cache it.");
    }
    return new StepError("gather", "No TURN server answers.",
      "A firewall may block UDP; check that the list has TURN over TCP or TLS too, and run the probe (make probe URL=…).");
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

  // Sends the offer to Orga, with the token, and takes the answer.
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
      throw new StepError("call", "No answer from Orga that this page may read.",
        `Check the network, that ${this.orga} is right, and that it lets pages of other origins in.`);
    }
    if (!response.ok) {
      const code = body?.error?.code ?? "";
      throw new StepError("call", `Orga refused the call: ${response.status}${code ? ` (${code})` : ""}.`,
        callAdvice[code] ?? (response.status === 401 ? "Orga does not accept the token." : "Try again; Orga's status page may say more."),
        { status: response.status, code });
    }
    if (!body?.answer?.sdp || !body?.conversation_id) {
      throw new StepError("call", "Orga's answer has no SDP or no conversation_id.",
        "Check that the address is Orga's: something else answers there.");
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
      throw new StepError("connect", "No path to Orga was found.",
        this.warnings.at(-1) ?? "A firewall blocks it. Try relay only, and run the probe (make probe URL=…).");
    }
  }

  receive(stream) {
    this.stream = stream;
    this.on("stream", stream);
    if (!this.context || !stream) return;
    // Chromium hands remote sound to Web Audio only while an element plays it, be it muted.
    this.sink = Object.assign(new Audio(), { muted: true, srcObject: stream });
    this.sink.play().catch(() => {}); // closed meanwhile
    this.analyser = this.context.createAnalyser();
    this.analyser.fftSize = 8192;
    this.analyser.smoothingTimeConstant = 0.5;
    this.context.createMediaStreamSource(stream).connect(this.analyser);
  }

  // Waits until something is heard. Orga's client says "connected" whether or not anything flows.
  async hear() {
    if (!this.context) return;
    const until = performance.now() + limits.sound;
    while (performance.now() < until) {
      if (this.level() > 0.01) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
      this.signal?.throwIfAborted();
    }
    throw new StepError("sound", "Connected, but no sound arrives.",
      this.stream ? "Orga is silent, or its packets do not get through. Run the probe (make probe URL=…): it sends a packet through each relay."
        : "The answer has no audio stream.");
  }

  /** How loud the other side is now, 0 to 1 (RMS). */
  level() {
    if (!this.analyser) return 0;
    const wave = new Float32Array(1024);
    this.analyser.getFloatTimeDomainData(wave);
    return Math.sqrt(wave.reduce((sum, v) => sum + v * v, 0) / wave.length);
  }

  /** The loudest frequency now, in hertz; 0 in silence. */
  frequency() {
    if (!this.analyser || this.level() < 0.005) return 0;
    const bins = new Float32Array(this.analyser.frequencyBinCount);
    this.analyser.getFloatFrequencyData(bins);
    let top = 1;
    bins.forEach((v, i) => {
      if (i > 0 && v > bins[top]) top = i;
    });
    // The peak lies between bins: a parabola through the loudest three finds it.
    const [a, b, c] = [bins[top - 1], bins[top], bins[top + 1] ?? bins[top]];
    const shift = a + c === 2 * b ? 0 : (a - c) / (2 * (a - 2 * b + c));
    return ((top + shift) * this.context.sampleRate) / this.analyser.fftSize;
  }

  states() {
    const { connectionState, iceConnectionState, iceGatheringState, signalingState } = this.pc;
    return { connection: connectionState, ice: iceConnectionState, gathering: iceGatheringState, signaling: signalingState };
  }

  /** The path that is used: { local, remote, protocol, relayProtocol, url, sent, received }, or null. */
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

  /** Sends session.update, once the channel is open. */
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

// within is what the promise resolves to, or undefined once the time is over.
function within(ms, promise) {
  let timer;
  const over = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}

/** A track that sends silence, for whoever gives no microphone. */
export function silentTrack(context) {
  const source = context.createConstantSource();
  const gain = context.createGain();
  gain.gain.value = 0;
  const destination = context.createMediaStreamDestination();
  source.connect(gain).connect(destination);
  source.start();
  return destination.stream.getAudioTracks()[0];
}

/** A token or credential as it may be shown: enough to tell two apart. */
export function redact(secret) {
  const text = String(secret ?? "");
  return text.length < 24 ? "•".repeat(Math.min(8, text.length)) : `${text.slice(0, 6)}…${text.slice(-4)} (${text.length} characters)`;
}
