// Python's gql, in a process of its own.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { World } from './world.js';

export function python(world: World): void {
  const name = 'gql (Python): queries and mutations over aiohttp, a subscription over websockets';
  test(name, { timeout: 60_000 }, async () => {
    const script = new URL('../../python/check.py', import.meta.url).pathname;
    const env = { CARILLON_GRAPHQL: world.graphql, CARILLON_SOCKET: world.socket, CARILLON_TOKEN: world.token };
    const check = spawn(process.env['PYTHON'] ?? 'python3', ['-B', script], { env, stdio: 'inherit' });
    process.once('exit', () => check.kill('SIGKILL'));
    assert.deepEqual(await once(check, 'exit'), [0, null]);
  });
}
