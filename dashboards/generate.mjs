// Writes grafana/haldane-*.json. Change generator/*.mjs and run this; never edit what it writes.
// The same sources give the same bytes.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { canary } from './generator/canary.mjs';
import { explore } from './generator/explore.mjs';
import { fleet } from './generator/fleet.mjs';
import { server } from './generator/server.mjs';
import { service } from './generator/service.mjs';
import { verdict } from './generator/verdict.mjs';

export const FOLDER = join(dirname(fileURLToPath(import.meta.url)), 'grafana');

/** What the files hold, by file name. */
export function files() {
  return new Map([fleet, canary, verdict, service, explore, server].map((one) => [`${one.uid}.json`, JSON.stringify(one, null, 2) + '\n']));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(FOLDER, { recursive: true });
  for (const [name, text] of files()) writeFileSync(join(FOLDER, name), text);
}
