// The Worker's entry module. wrangler uploads it with the modules in the same folder.
import "./wasm_exec.js";
import module from "./orga-session.wasm";
import { endpoint } from "./host.mjs";

export default endpoint(module);
