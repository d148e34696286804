// Connects the Workers runtime with the Go program. It has no routes and no policy; the only answer that it writes itself
// is the 500 for a program that has ended.
//
// On Workers, all I/O and timers belong to the request that started them, and no other request may wait for them. But
// Go's scheduler runs goroutines of all requests in the context of any request. So Go does no I/O here. It queues a job
// for the request whose ID its context carries, and that request runs the job in its own context (Instance.run).
// docs/architecture.md has the design and the alternatives that failed.

const PULSE = 1000; // ms
const PIECE = 64 * 1024; // maximum bytes of a body that Go gets at once

// endpoint returns a Worker's default export: { fetch(request, env, ctx) }. module is the compiled Go program. An isolate
// runs one instance of it, started by the first request because random numbers are not available in the global scope.
// After an exit or a panic, the next request starts another.
export function endpoint(module) {
  let instance = null;
  return {
    fetch(request, env, ctx) {
      if (instance === null || instance.dead) instance = new Instance(module, env);
      const invocation = new Invocation(request, env);
      // Other requests may wait for a fetch of this one, which must continue if the caller disconnects.
      ctx.waitUntil(instance.run(invocation));
      return invocation.response;
    },
  };
}

// Invocation is one request with its queued tasks.
class Invocation {
  constructor(request, env) {
    this.request = request;
    this.env = env;
    this.tasks = [];
    this.wake = () => {}; // runs the tasks; any request may call it
    this.jobs = new Map(); // id → { abort } or { abort, reader }
    this.begun = false;
    this.answered = false;
    const { promise, resolve } = Promise.withResolvers();
    this.response = promise;
    this.resolve = resolve;
  }

  post(task) {
    this.tasks.push(task);
    this.wake();
  }

  answer(response) {
    this.answered = true;
    this.resolve(response);
  }
}

// Instance is a running Go program, and its host object.
class Instance {
  constructor(module, env) {
    this.module = module;
    this.env = env; // source of Go's settings
    this.starter = 0; // the id of the invocation that started the program
    this.go = null;
    this.settle = null; // Go's function that takes the result of a job
    this.calls = null; // Go's functions for requests, once it serves
    this.dead = false;
    this.invocations = new Map(); // id → Invocation
    this.lastID = 0;
    this.owners = new Map(); // job id → the Invocation that does it
    this.orphans = []; // jobs queued while there was no request; the next request runs them
    this.timer = null; // Go's pending timer: { id, due, owner }
    this.time = 0; // ms; see now
  }

  // run returns a promise that resolves when the request is answered and all of its jobs are done. Until then, everything
  // happens in the request's context.
  run(invocation) {
    const { promise, resolve } = Promise.withResolvers();
    invocation.id = ++this.lastID;
    this.invocations.set(invocation.id, invocation);
    // The runtime cancels a request as hung if it waits without its own I/O, so this interval timer is that I/O. It
    // also recovers from a lost wake-up, and takes over Go's timer from a request that has ended.
    const pulse = setInterval(() => this.work(invocation), PULSE);
    invocation.end = () => {
      clearInterval(pulse);
      clearTimeout(invocation.timeout);
      this.invocations.delete(invocation.id);
      if (!invocation.answered) invocation.answer(internal(invocation.request));
      if (this.timer?.owner === invocation) {
        this.timer.owner = null;
        this.anyone()?.wake(); // to arm it
      }
      resolve();
    };
    invocation.request.signal?.addEventListener("abort", () => {
      if (invocation.begun) this.enter(invocation, () => this.calls.cancel(invocation.id));
    });
    if (this.go === null) this.enter(invocation, () => this.start(invocation));
    if (this.calls !== null) this.begin(invocation);
    for (const job of this.orphans.splice(0)) invocation.post(job);
    this.work(invocation);
    return promise;
  }

  // work runs an invocation's tasks, and waits for more.
  work(invocation) {
    if (!this.invocations.has(invocation.id)) return; // it has ended
    try {
      for (let task; (task = invocation.tasks.shift()) !== undefined; ) this[task.kind](invocation, task);
    } catch (error) {
      this.die(error);
    }
    this.arm(invocation);
    if (this.dead || (invocation.answered && invocation.jobs.size === 0)) invocation.end();
    else this.listen(invocation);
  }

  // listen waits for one wake-up. Any request may resolve the promise; the runtime runs the reaction in the context of the
  // request that created it. It must come from withResolvers: once V8 has optimized code around `new Promise`, promises
  // created there lose their context (the runtime patches V8 for it), and after some thousand requests, reactions run in
  // the wrong one.
  listen(invocation) {
    const { promise, resolve } = Promise.withResolvers();
    invocation.wake = resolve;
    promise.then(() => {
      if (invocation.wake === resolve) this.work(invocation);
    });
  }

  // start starts the program, and returns when it waits for something.
  start(invocation) {
    this.starter = invocation.id;
    this.go = new globalThis.Go();
    this.go.exit = (code) => this.die(`exit code ${code}`);
    this.replaceClock(this.go);
    globalThis.orgaHost = this;
    this.go.run(new WebAssembly.Instance(this.module, this.go.importObject)).catch((error) => this.die(error));
    delete globalThis.orgaHost;
  }

  // enter runs Go in the context of an invocation.
  enter(invocation, call) {
    if (this.dead) return;
    try {
      call();
    } catch (error) {
      this.die(error);
    }
    this.arm(invocation);
  }

  die(cause) {
    if (this.dead) return;
    this.dead = true;
    console.error(JSON.stringify({ time: new Date(), level: "ERROR", msg: "program ended", cause: String(cause) }));
    for (const invocation of this.invocations.values()) invocation.wake();
  }

  anyone() {
    return this.invocations.values().next().value;
  }

  // Called by Go.

  // serve registers Go's functions for requests: request and cancel.
  serve(calls) {
    this.calls = calls;
    for (const invocation of this.invocations.values()) invocation.post({ kind: "begin" });
  }

  // post queues a task that only this request can run.
  post(id, task) {
    this.invocations.get(id)?.post(task);
  }

  // delegate queues a job for the request with this ID or, if it has ended, for any other.
  delegate(id, job) {
    const invocation = this.owners.get(job.of) ?? this.invocations.get(id) ?? this.anyone();
    if (invocation === undefined) this.orphans.push(job);
    else invocation.post(job);
  }

  // stop ends a job, or closes the body of its result.
  stop(id) {
    this.owners.get(id)?.post({ kind: "end", id });
  }

  // Tasks. They run in the invocation's context.

  begin(invocation) {
    if (invocation.begun) return;
    invocation.begun = true;
    const { method, url, headers, body, signal } = invocation.request;
    this.enter(invocation, () => {
      this.calls.request(invocation.id, method, url, join(headers), body !== null);
      if (signal?.aborted) this.calls.cancel(invocation.id);
    });
  }

  reply(invocation, { status, headers, body }) {
    invocation.answer(new Response(body.length > 0 ? body : null, { status, headers: split(headers) }));
  }

  // fetch settles with the header and the first piece of the body. Go asks for the rest with read.
  fetch(invocation, { id, url, method, headers, body }) {
    const job = new AbortController(); // created here, because one from another request's context cannot abort this fetch
    this.job(invocation, id, job, async () => {
      const response = await fetch(url, {
        method,
        headers: split(headers),
        body: body ?? undefined,
        redirect: "manual", // a redirect would receive the key
        signal: job.signal,
      });
      job.reader = response.body?.getReader();
      const { data, done } = await piece(job.reader);
      job.open = !done;
      return { status: response.status, headers: join(response.headers), data, done };
    });
  }

  read(invocation, { id, of }) {
    const reader = invocation.jobs.get(of)?.reader;
    this.job(invocation, id, {}, () => piece(reader));
  }

  // body reads more of the request's own body.
  body(invocation, { id }) {
    invocation.reader ??= invocation.request.body.getReader();
    this.job(invocation, id, {}, () => piece(invocation.reader));
  }

  // secret reads a Secrets Store binding.
  secret(invocation, { id, name }) {
    this.job(invocation, id, {}, async () => ({ text: await invocation.env[name].get() }));
  }

  end(invocation, { id }) {
    invocation.jobs.get(id)?.abort?.();
    this.forget(invocation, id);
  }

  async job(invocation, id, job, work) {
    invocation.jobs.set(id, job);
    this.owners.set(id, invocation);
    let result;
    try {
      result = await work();
    } catch (error) {
      result = { error: String(error?.message ?? error) };
    }
    if (!job.open) this.forget(invocation, id);
    this.enter(invocation, () => this.settle(id, result));
    this.work(invocation); // it may have been the last
  }

  forget(invocation, id) {
    invocation.jobs.delete(id);
    this.owners.delete(id);
  }

  // Time. In wasm_exec.js, Go's timer would belong to the request that is running when it is set, and be lost with it.
  // Here, it moves to another request when its owner ends.

  replaceClock(go) {
    const { gojs } = go.importObject;
    let lastID = 0;
    gojs["runtime.scheduleTimeoutEvent"] = (sp) => {
      sp >>>= 0;
      const delay = go.mem.getUint32(sp + 8, true) + go.mem.getInt32(sp + 12, true) * 2 ** 32;
      this.timer = { id: ++lastID, due: this.now() + delay, owner: null };
      go.mem.setInt32(sp + 16, lastID, true);
    };
    gojs["runtime.clearTimeoutEvent"] = (sp) => {
      sp >>>= 0;
      if (this.timer?.id === go.mem.getInt32(sp + 8, true)) this.timer = null;
    };
    gojs["runtime.nanotime1"] = (sp) => {
      sp >>>= 0;
      const nanoseconds = this.now() * 1e6;
      go.mem.setUint32(sp + 8, nanoseconds, true);
      go.mem.setUint32(sp + 12, Math.floor(nanoseconds / 2 ** 32), true);
    };
  }

  // now returns a time in milliseconds that never decreases. The runtime's clock stands still between I/O operations, so a
  // timer may fire before the clock has reached its time, which then counts as now (see fire).
  now() {
    return (this.time = Math.max(this.time, performance.now()));
  }

  arm(invocation) {
    const { timer } = this;
    if (timer === null || timer.owner !== null || !this.invocations.has(invocation.id)) return;
    timer.owner = invocation;
    clearTimeout(invocation.timeout); // replaces an earlier timer of Go
    invocation.timeout = setTimeout(() => this.fire(invocation, timer), Math.max(0, timer.due - this.now()));
  }

  fire(invocation, timer) {
    if (this.timer !== timer) return;
    this.time = Math.max(this.time, timer.due);
    timer.owner = null;
    this.enter(invocation, () => this.go._resume());
  }
}

// piece reads a body up to the size of one piece.
async function piece(reader) {
  const parts = [];
  let size = 0;
  let done = reader === undefined;
  while (!done && size < PIECE) {
    const part = await reader.read();
    done = part.done;
    if (!done) {
      parts.push(part.value);
      size += part.value.length;
    }
  }
  const data = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return { data, done };
}

// Headers cross between Go and JavaScript as one text, with a line for each name and each value.

function join(headers) {
  let text = "";
  for (const [name, value] of headers) text += `${name}\n${value}\n`;
  return text;
}

function split(text) {
  const lines = text.split("\n");
  const headers = [];
  for (let i = 0; i + 1 < lines.length; i += 2) headers.push([lines[i], lines[i + 1]]);
  return headers;
}

// internal returns the answer for a program that has ended, like core/internal/problem's.
function internal(request) {
  const given = request.headers.get("X-Request-Id") ?? "";
  const requestId = /^[\w.-]{1,128}$/.test(given) ? given : (request.headers.get("CF-Ray") ?? crypto.randomUUID());
  const detail = "Something went wrong here.";
  const problem = { type: "about:blank#internal", title: "Internal Server Error", status: 500, detail, error: detail };
  return new Response(JSON.stringify({ ...problem, code: "internal", retryable: false, requestId }) + "\n", {
    status: 500,
    headers: {
      "Content-Type": "application/problem+json",
      "Cache-Control": "no-store",
      "CDN-Cache-Control": "no-store",
      Pragma: "no-cache",
      Vary: "Origin",
      "X-Content-Type-Options": "nosniff",
      "X-Request-Id": requestId,
    },
  });
}
