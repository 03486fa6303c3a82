// The feed of events, resumed from a cursor as whoever builds on it does: with graphql-ws, and with graphql-sse.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { print } from 'graphql';
import { createClient as overSse } from 'graphql-sse';
import { createClient as overSocket } from 'graphql-ws';
import WebSocket from 'ws';
import {
  CreateSenderDocument, CreateTemplateDocument, DefaultBrandDocument, MessageEventsDocument,
  PublishTemplateVersionDocument, SendMessagesDocument, VerifySenderDocument, type MessageEventsSubscription,
} from '../generated/graphql.js';
import { made, type World } from './world.js';

type Page = MessageEventsSubscription['messageEvents'];

interface Told {
  data?: MessageEventsSubscription | null | undefined;
  errors?: unknown;
}

interface Listening {
  events: AsyncIterable<Told>;
  hangUp: () => unknown;
}

/** One who builds on events: remembers what came of messages, and how far they are. */
class Reader {
  readonly kinds = new Map<string, string>();
  readonly ids = new Set<string>();
  after: string | undefined;

  take(page: Page): void {
    for (const event of page.events) {
      this.ids.add(event.id);
      this.kinds.set(event.messageId, event.kind);
      this.after = event.cursor;
    }
    this.after = page.cursor;
  }
}

export function feed(world: World): void {
  const authorization = `Bearer ${world.token}`;

  const listen = (transport: 'socket' | 'sse', after: string | undefined): Listening => {
    const payload = { query: print(MessageEventsDocument), variables: { after: after ?? null } };
    if (transport === 'sse') {
      const client = overSse({ url: world.graphql, retryAttempts: 0, headers: { authorization } });
      return { events: client.iterate<MessageEventsSubscription>(payload), hangUp: () => client.dispose() };
    }
    const connectionParams = { authorization };
    const client = overSocket({ url: world.socket, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams });
    return { events: client.iterate<MessageEventsSubscription>(payload), hangUp: () => client.dispose() };
  };

  /** Follows from where the reader is until there is nothing more to wait for, then hangs up. */
  const follow = async (transport: 'socket' | 'sse', reader: Reader, enough: () => boolean): Promise<void> => {
    const { events, hangUp } = listen(transport, reader.after);
    for await (const { data, errors } of events) {
      assert.ok(data && !errors, JSON.stringify(errors));
      reader.take(data.messageEvents);
      if (enough()) break;
    }
    await hangUp();
  };

  describe('the feed of events', { timeout: 60_000 }, () => {
    test('who comes again with a cursor misses nothing of what happened meanwhile', async () => {
      const { brands } = await world.call(DefaultBrandDocument, {});
      const { createSender } = await world.call(CreateSenderDocument, {
        input: {
          brandId: brands.nodes[0]?.id ?? '', fromName: 'Post', fromEmail: 'post@feed.example',
          postalAddress: 'Graben 2, 1010 Wien',
        },
      });
      const senderId = made(createSender, createSender.sender).id;
      made((await world.call(VerifySenderDocument, { input: { id: senderId } })).verifySender, true);
      const { createTemplate } = await world.call(CreateTemplateDocument, {
        input: { name: 'Receipt for the feed', class: 'TRANSACTIONAL' },
      });
      const templateId = made(createTemplate, createTemplate.template).id;
      const { publishTemplateVersion } = await world.call(PublishTemplateVersionDocument, {
        input: { templateId, locale: 'en', subject: 'Receipt', html: '<p>Thanks</p>', text: 'Thanks' },
      });
      const templateVersionId = made(publishTemplateVersion, publishTemplateVersion.templateVersion).id;
      const send = async (n: number): Promise<string> => {
        const { sendMessages } = await world.call(SendMessagesDocument, {
          input: {
            messages: [{
              idempotencyKey: `feed-${n}`, class: 'TRANSACTIONAL', senderId, templateVersionId,
              to: { email: `reader${n}@feed.example` },
            }],
          },
        });
        return made(sendMessages, sendMessages.results[0]?.messageId);
      };

      const reader = new Reader();
      await follow('socket', reader, () => true);
      assert.ok(reader.after, 'a cursor before anything happened');
      const beginning = reader.after;
      const first = await send(1);
      await follow('socket', reader, () => reader.kinds.has(first));
      // Nobody listens meanwhile.
      const away = [await send(2), await send(3)];
      await follow('sse', reader, () => away.every((id) => reader.kinds.has(id)));
      const last = await send(4);
      await follow('socket', reader, () => reader.kinds.has(last));
      assert.deepEqual([...reader.kinds.values()], ['ACCEPTED', 'ACCEPTED', 'ACCEPTED', 'ACCEPTED']);

      // Whoever lost all they had begins where they were, and is told the same under the same ids.
      const again = new Reader();
      again.after = beginning;
      await follow('sse', again, () => again.ids.size >= reader.ids.size);
      assert.deepEqual([...again.ids], [...reader.ids]);
    });
  });
}
