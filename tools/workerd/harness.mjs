// The entry module that tests put before the Worker's own. It can stop the clock between I/O operations, as Cloudflare does
// but workerd does not, report the Go program's memory, and crash the program.
import worker from "./worker.mjs";

const now = Date.now.bind(Date);
let frozen = 0;
const tick = () => (frozen = now());

function freeze() {
  Date.now = performance.now = () => frozen;
  globalThis.Date = class extends Date {
    constructor(...args) {
      super(...(args.length > 0 ? args : [frozen]));
    }
  };
  const { fetch, setTimeout, setInterval } = globalThis;
  globalThis.fetch = async (...args) => {
    const response = await fetch(...args);
    tick();
    return response;
  };
  globalThis.setTimeout = (call, ms) => setTimeout(() => (tick(), call()), ms);
  globalThis.setInterval = (call, ms) => setInterval(() => (tick(), call()), ms);
}

let memory = { buffer: new ArrayBuffer() };
WebAssembly.Instance = class extends WebAssembly.Instance {
  constructor(...args) {
    super(...args);
    memory = this.exports.mem;
  }
};

let ready = false;
export default {
  fetch(request, env, ctx) {
    if (!ready && env.HARNESS_FROZEN) freeze();
    ready = true;
    tick();
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/harness/memory") return Response.json(memory.buffer.byteLength);
    if (pathname !== "/harness/crash") return worker.fetch(request, env, ctx);
    globalThis.orgaCrash(searchParams.get("how")); // of testdata/crash.go
    return new Response();
  },
};
