// The two calls of the Orga API as @orga-ai/node makes them: fetch, at most ten seconds each, no retry.
// The licence of its npm builds keeps the package itself out of benchmarks; this stands in for it.

const base = process.env.ORGA_BASE_URL;

async function call(method, path, headers) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), 10_000);
  try {
    const response = await fetch(base + path, { method, headers, signal: controller.signal });
    if (!response.ok) throw new Error(`${method} ${path}: status ${response.status}`);
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

export async function sessionConfig(apiKey) {
  const { ephemeral_token: ephemeralToken } = await call("POST", "/v1/realtime/client-secrets", {
    Authorization: `Bearer ${apiKey}`,
    "Content-Type": "application/json",
  });
  const { iceServers } = await call("GET", "/v1/realtime/ice-config", { Authorization: `Bearer ${ephemeralToken}` });
  return { ephemeralToken, iceServers };
}
