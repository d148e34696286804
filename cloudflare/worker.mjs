// The entry of the Worker, as wrangler uploads it with the modules beside it.
import "./wasm_exec.js";
import module from "./orga-session.wasm";
import { endpoint } from "./host.mjs";

export default endpoint(module);
