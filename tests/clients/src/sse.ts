// graphql-sse, the reference client of GraphQL over Server-Sent Events, with a connection for each operation.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { print } from 'graphql';
import { createClient, NetworkError, type Client } from 'graphql-sse';
import {
  ArchiveWorkflowDocument, CreateWorkflowDocument, ServerTimeDocument, UpdateWorkflowDocument, WorkflowProgressDocument,
  type ServerTimeQuery, type WorkflowProgressSubscription,
} from '../generated/graphql.js';
import { made, type World } from './world.js';

export function sse(world: World): void {
  const connect = (authorization?: string): Client =>
    createClient({ url: world.graphql, retryAttempts: 0, headers: authorization ? { authorization } : {} });

  const watch = (client: Client, id: string) =>
    client.iterate<WorkflowProgressSubscription>({ query: print(WorkflowProgressDocument), variables: { id } });

  describe('graphql-sse', { timeout: 60_000 }, () => {
    test('a subscription tells what is, what changes, and when it is over', async () => {
      const { createWorkflow } = await world.call(CreateWorkflowDocument, { input: { name: 'Told by events', definition: {} } });
      const { id, version } = made(createWorkflow, createWorkflow.workflow);
      const client = connect(`Bearer ${world.token}`);
      const progress = watch(client, id);
      const next = async () => {
        const { value } = await progress.next();
        const told = value as { data?: WorkflowProgressSubscription; errors?: unknown } | undefined;
        assert.equal(told?.errors, undefined);
        return told?.data?.workflowProgress;
      };
      assert.deepEqual(await next(), { id, name: 'Told by events', state: 'DRAFT' });
      const { updateWorkflow } = await world.call(UpdateWorkflowDocument, { input: { id, version, name: 'Renamed' } });
      made(updateWorkflow, updateWorkflow.workflow);
      assert.deepEqual(await next(), { id, name: 'Renamed', state: 'DRAFT' });
      const { archiveWorkflow } = await world.call(ArchiveWorkflowDocument, { input: { id } });
      made(archiveWorkflow, archiveWorkflow.workflow);
      assert.deepEqual(await next(), { id, name: 'Renamed', state: 'ARCHIVED' });
      assert.equal((await progress.next()).done, true);
      client.dispose();
    });

    test('a query is one answer, and a document that is not valid one with errors', async () => {
      const client = connect(`Bearer ${world.token}`);
      const time = client.iterate<ServerTimeQuery>({ query: print(ServerTimeDocument) });
      const { value } = await time.next();
      assert.ok((value as { data?: ServerTimeQuery }).data?.serverTime);
      assert.equal((await time.next()).done, true);
      const wrong = client.iterate({ query: 'subscription { nothing }' });
      const told = (await wrong.next()).value as { data?: unknown; errors?: unknown[] };
      assert.deepEqual([told.data, told.errors?.length], [undefined, 1]);
      assert.equal((await wrong.next()).done, true);
      client.dispose();
    });

    test('without a token nobody is let in, nor with a wrong one', async () => {
      for (const authorization of [undefined, 'Bearer wrong', world.token]) {
        const client = connect(authorization);
        const first = watch(client, 'workflow_0').next();
        const thrown: unknown = await first.then(() => assert.fail('let in'), (error: unknown) => error);
        assert.ok(thrown instanceof NetworkError, String(thrown));
        assert.equal(thrown.response?.status, 401, String(authorization));
        client.dispose();
      }
    });
  });
}
