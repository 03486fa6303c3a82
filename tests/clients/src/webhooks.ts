// standardwebhooks, the reference library: what is delivered verifies, and nothing that was tampered with does (C-228).
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, test } from 'node:test';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import {
  CreateContactDocument, CreateWebhookEndpointDocument, DeleteWebhookEndpointDocument,
  RotateWebhookEndpointSecretDocument, TestWebhookEndpointDocument,
} from '../generated/graphql.js';
import { until } from './server.js';
import { made, type World } from './world.js';

interface Received {
  headers: Record<string, string>;
  body: string;
}

interface Event {
  type: string;
  timestamp: string;
  data: Record<string, unknown>;
}

const single = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

/** Where webhooks go: refuses the first request, and keeps all. */
async function sink() {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      received.push({ headers: single(request.headers), body: Buffer.concat(parts).toString('utf8') });
      response.writeHead(received.length === 1 ? 500 : 204).end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const end = async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
  return { url: `http://127.0.0.1:${port}/hook`, received, end };
}

export function webhooks(world: World): void {
  describe('standardwebhooks', { timeout: 60_000 }, () => {
    test('what is delivered verifies, with both secrets while one is changed, and nothing else does', async () => {
      const { url, received, end } = await sink();
      const { createWebhookEndpoint } = await world.call(CreateWebhookEndpointDocument, {
        input: { url, eventTypes: ['CONTACT_CREATED'] },
      });
      const { id } = made(createWebhookEndpoint, createWebhookEndpoint.webhookEndpoint);
      const secret = made(createWebhookEndpoint, createWebhookEndpoint.secret);
      const nth = (n: number) => until(`request ${n + 1}`, async () => received[n]);

      const { testWebhookEndpoint } = await world.call(TestWebhookEndpointDocument, { input: { id } });
      made(testWebhookEndpoint, testWebhookEndpoint.webhookDelivery);
      const [refused, again] = [await nth(0), await nth(1)];
      const webhook = new Webhook(secret);
      const event = webhook.verify(refused.body, refused.headers) as Event;
      assert.deepEqual([event.type, event.data], ['webhook.test', { endpointId: id }]);
      assert.deepEqual(webhook.verify(again.body, again.headers), event);
      assert.equal(again.headers['webhook-id'], refused.headers['webhook-id']);
      assert.ok(Math.abs(Date.parse(event.timestamp) - Date.now()) < 60_000, event.timestamp);

      const tampered: [string, Record<string, string>][] = [
        [again.body.replace('test', 'tast'), again.headers],
        [again.body, { ...again.headers, 'webhook-id': 'whevent_00000000000000000000000000' }],
        [again.body, { ...again.headers, 'webhook-timestamp': String(Number(again.headers['webhook-timestamp']) - 1) }],
        [again.body, { ...again.headers, 'webhook-signature': 'v1,AAAA' }],
      ];
      for (const [body, headers] of tampered) {
        assert.throws(() => webhook.verify(body, headers), WebhookVerificationError);
      }

      const { rotateWebhookEndpointSecret } = await world.call(RotateWebhookEndpointSecretDocument, { input: { id } });
      const newer = made(rotateWebhookEndpointSecret, rotateWebhookEndpointSecret.secret);
      const { createContact } = await world.call(CreateContactDocument, { input: { email: 'hook@contacts.example' } });
      made(createContact, createContact.contact);
      const told = await nth(2);
      for (const each of [secret, newer]) {
        const { type, data } = new Webhook(each).verify(told.body, told.headers) as Event;
        assert.equal(type, 'contact.created');
        assert.deepEqual([String(data['contactId']).split('_')[0], data['change']], ['contact', 'created']);
      }
      assert.doesNotMatch(told.body, /contacts\.example/);

      const { deleteWebhookEndpoint } = await world.call(DeleteWebhookEndpointDocument, { input: { id } });
      made(deleteWebhookEndpoint, deleteWebhookEndpoint.webhookEndpoint);
      await end();
    });
  });
}
