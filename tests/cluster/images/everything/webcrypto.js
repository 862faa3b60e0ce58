// Preloaded (node -r): Debian's Node.js 18 has no global `crypto`, which the MCP server library expects.
globalThis.crypto ??= require('node:crypto').webcrypto;
