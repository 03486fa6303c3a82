// The server under test: an embedded one with a folder of its own, which goes with this process however it ends.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** The server, once it is ready. */
export interface Server {
  url: string;
  /** Tells it to stop and waits until it has; its exit status. */
  stop(): Promise<number | null>;
}

/** Asks again until there is an answer; what is waited for is another process. */
export async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  for (const end = Date.now() + 30_000; Date.now() < end; await pause(50)) {
    const found = await ask();
    if (found !== undefined) return found;
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Taken and given back: the number is needed before anybody listens. */
async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  await once(listener, 'close');
  return port;
}

export async function start(): Promise<Server> {
  const binary = process.env['CARILLON_BIN'];
  if (!binary) throw new Error('CARILLON_BIN names no executable');
  const folder = mkdtempSync(join(tmpdir(), 'carillon-clients-'));
  let server: ChildProcess | undefined;
  process.once('exit', () => {
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  for (const [signal, status] of [['SIGHUP', 129], ['SIGINT', 130], ['SIGTERM', 143]] as const) {
    process.once(signal, () => process.exit(status));
  }
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  // No setting of whoever runs this reaches it.
  const env = {
    CARILLON_MODE: 'embedded',
    CARILLON_DATA: join(folder, 'data'),
    CARILLON_BIND: `127.0.0.1:${port}`,
    CARILLON_PUBLIC_URL: url,
    CARILLON_DRAIN_SECONDS: '5',
    CARILLON_LOG: 'warn',
  };
  const running = spawn(binary, ['serve'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  server = running;
  const ended = once(running, 'exit').then(([status]: (number | null)[]) => status ?? null);
  const spawned = new Promise<never>((_, reject) => running.once('error', reject));
  const isReady = async () => {
    if (running.exitCode !== null) throw new Error(`the server ended with ${running.exitCode}`);
    const answer = await fetch(`${url}/health/ready`).catch(() => undefined);
    return answer?.ok ? true : undefined;
  };
  await Promise.race([until('readiness', isReady), spawned]);
  return {
    url,
    stop: async () => {
      running.kill('SIGTERM');
      return ended;
    },
  };
}

/** A file of the contract. */
export const contract = (name: string): string =>
  readFileSync(new URL(`../../../../frontend-contract/${name}`, import.meta.url), 'utf8');
