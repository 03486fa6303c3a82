// graphql-ws, the reference client of graphql-transport-ws.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { print } from 'graphql';
import { createClient, type Client } from 'graphql-ws';
import WebSocket, { type CloseEvent } from 'ws';
import {
  ArchiveWorkflowDocument, CreateWorkflowDocument, ServerTimeDocument, UpdateWorkflowDocument, WorkflowProgressDocument,
  type WorkflowProgressSubscription,
} from '../generated/graphql.js';
import { made, type World } from './world.js';

export function socket(world: World): void {
  const connect = (connectionParams?: Record<string, unknown>): Client =>
    createClient({
      url: world.socket,
      webSocketImpl: WebSocket,
      retryAttempts: 0,
      ...(connectionParams && { connectionParams }),
    });

  const workflow = async (name: string) => {
    const { createWorkflow } = await world.call(CreateWorkflowDocument, { input: { name, definition: {} } });
    return made(createWorkflow, createWorkflow.workflow);
  };

  const watch = (client: Client, id: string) =>
    client.iterate<WorkflowProgressSubscription>({ query: print(WorkflowProgressDocument), variables: { id } });

  /** How a client without a good credential is shown the door. */
  const refused = async (connectionParams?: Record<string, unknown>): Promise<CloseEvent> => {
    const client = connect(connectionParams);
    const first = watch(client, 'workflow_0').next();
    const thrown: unknown = await first.then(() => assert.fail('let in'), (error: unknown) => error);
    await client.dispose();
    return thrown as CloseEvent;
  };

  describe('graphql-ws', { timeout: 60_000 }, () => {
    test('a subscription tells what is, what changes, and when it is over', async () => {
      const { id, version } = await workflow('Watched');
      const client = connect({ authorization: `Bearer ${world.token}` });
      const progress = watch(client, id);
      const next = async () => {
        const { value } = await progress.next();
        const told = value as { data?: WorkflowProgressSubscription; errors?: unknown } | undefined;
        assert.equal(told?.errors, undefined);
        return told?.data?.workflowProgress;
      };
      assert.deepEqual(await next(), { id, name: 'Watched', state: 'DRAFT' });
      const input = { id, version, name: 'Renamed' };
      const { updateWorkflow } = await world.call(UpdateWorkflowDocument, { input });
      made(updateWorkflow, updateWorkflow.workflow);
      assert.deepEqual(await next(), { id, name: 'Renamed', state: 'DRAFT' });
      const { archiveWorkflow } = await world.call(ArchiveWorkflowDocument, { input: { id } });
      made(archiveWorkflow, archiveWorkflow.workflow);
      assert.deepEqual(await next(), { id, name: 'Renamed', state: 'ARCHIVED' });
      assert.equal((await progress.next()).done, true);
      await client.dispose();
    });

    test('two subscriptions share a socket, and one may stop', async () => {
      const [one, other] = [await workflow('One'), await workflow('Other')];
      const client = connect({ Authorization: `Bearer ${world.token}` });
      const [first, second] = [watch(client, one.id), watch(client, other.id)];
      await Promise.all([first.next(), second.next()]);
      await first.return?.();
      await world.call(ArchiveWorkflowDocument, { input: { id: other.id } });
      assert.equal((await second.next()).done, false);
      assert.equal((await second.next()).done, true);
      await client.dispose();
    });

    test('without a token nobody is let in, nor with a wrong one', async () => {
      for (const params of [undefined, {}, { authorization: 'Bearer wrong' }, { authorization: world.token }]) {
        assert.equal((await refused(params)).code, 4403, JSON.stringify(params));
      }
    });

    test('a document that is not valid ends its subscription with errors', async () => {
      const client = connect({ authorization: `Bearer ${world.token}` });
      const wrong = client.iterate({ query: 'subscription { nothing }' });
      const errors: unknown = await wrong.next().then(() => assert.fail('it ran'), (e: unknown) => e);
      assert.ok(Array.isArray(errors) && errors.length === 1, String(errors));
      const query = client.iterate({ query: print(ServerTimeDocument) });
      await assert.rejects(async () => query.next(), 'queries have HTTP');
      await client.dispose();
    });
  });
}
