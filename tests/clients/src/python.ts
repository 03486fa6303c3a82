// Python's gql, and tools of Python that attack, each in a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { World } from './world.js';

function script(world: World, file: string, name: string, timeout: number): void {
  test(name, { timeout }, async () => {
    const path = new URL(`../../python/${file}`, import.meta.url).pathname;
    const env = { CARILLON_GRAPHQL: world.graphql, CARILLON_SOCKET: world.socket, CARILLON_TOKEN: world.token };
    const check = spawn(process.env['PYTHON'] ?? 'python3', ['-B', path], { env, stdio: 'inherit' });
    process.once('exit', () => check.kill('SIGKILL'));
    assert.deepEqual(await once(check, 'exit'), [0, null]);
  });
}

export function python(world: World): void {
  const name = 'gql (Python): queries and mutations over aiohttp, a subscription over websockets';
  script(world, 'check.py', name, 60_000);
}

/** Comes last: it spends what the tenant may ask for in a minute, and changes whatever it can. */
export function attack(world: World): void {
  const name = 'schemathesis and clairvoyance: no fault of the server, and no schema for strangers';
  script(world, 'attack.py', name, 120_000);
}
