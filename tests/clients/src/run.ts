// Everything, against one server.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, test } from 'node:test';
import { apollo } from './apollo.js';
import { audit } from './audit.js';
import { breaking } from './breaking.js';
import { feed } from './feed.js';
import { language } from './language.js';
import { persisted } from './persisted.js';
import { attack, python } from './python.js';
import { relayRuntime } from './relay.js';
import { relayPersisted } from './relayPersisted.js';
import { start } from './server.js';
import { socket } from './socket.js';
import { sse } from './sse.js';
import { urql } from './urql.js';
import { webhooks } from './webhooks.js';
import { CreateContactDocument } from '../generated/graphql.js';
import { settle } from './world.js';

const server = await start();
const world = await settle(server.url);
for (const n of [1, 2, 3, 4, 5]) {
  await world.call(CreateContactDocument, { input: { email: `page${n}@contacts.example` } });
}

test('no type of the contract or of a client is any', () => {
  const here = new URL('../../', import.meta.url);
  const sources = readdirSync(new URL('src/', here)).map((name) => `src/${name}`);
  for (const name of ['generated/graphql.ts', 'generated/persisted/graphql.ts', ...sources]) {
    const code = readFileSync(new URL(name, here), 'utf8').replace(/\/\*[^]*?\*\/|\/\/.*|'[^']*'|`[^`]*`/g, '');
    assert.doesNotMatch(code, /\bany\b/, name);
  }
});
breaking();
audit(world);
language(world);
apollo(world);
urql(world);
persisted(world);
relayRuntime(world);
relayPersisted(world);
socket(world);
sse(world);
feed(world);
webhooks(world);
python(world);
attack(world);
after(async () => assert.equal(await server.stop(), 0));
