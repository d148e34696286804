// The two calls to the Orga API, like @orga-ai/node's: fetch, at most ten seconds each, no retry. The license of its npm
// builds does not allow the package itself in benchmarks.

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
