// Persisted documents: the manifest that codegen's client preset writes is registered and put into a set, and a key that is
// held to the set runs it by its ids, through Apollo's link, urql's exchange, graphql-ws and graphql-sse.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { Client, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient as createEvents } from 'graphql-sse';
import { createClient as createSocket } from 'graphql-ws';
import WebSocket from 'ws';
import {
  CreateApiKeyDocument, CreateDocumentSetDocument, CreateWorkflowDocument, PublishDocumentSetVersionDocument,
  RegisterDocumentsDocument, type WorkflowProgressSubscription,
} from '../generated/graphql.js';
import {
  ContactEdgesDocument, CreateContactDocument, ServerTimeDocument, SignInDocument, WorkflowProgressDocument,
} from '../generated/persisted/graphql.js';
import { until } from './server.js';
import { made, type World } from './world.js';

/** Texts by their ids. */
const manifest = JSON.parse(
  readFileSync(new URL('../../generated/persisted/persisted-documents.json', import.meta.url), 'utf8'),
) as Record<string, string>;

/** The id that the preset embedded in a document. */
function idOf(document: object): string {
  const { __meta__: meta } = document as { __meta__?: { hash?: string } };
  assert.ok(meta?.hash && manifest[meta.hash], 'the manifest has it');
  return meta.hash;
}

/** A document by its id alone, as clients write it that have no field for one. */
const byId = (document: object) => ({
  query: '',
  extensions: { persistedQuery: { version: 1, sha256Hash: idOf(document) } },
});

export function persisted(world: World): void {
  let key = '';
  let set = '';
  const sent: string[] = [];
  /** Keeps what was sent, to see that no text was. */
  const watched: typeof fetch = (input, init) => {
    sent.push(`${init?.method ?? 'GET'} ${String(input)} ${typeof init?.body === 'string' ? init.body : ''}`);
    return fetch(input, init);
  };
  const withoutTexts = () => {
    assert.ok(sent.length > 0);
    for (const request of sent.splice(0)) assert.doesNotMatch(request, /contacts|createContact|"query"|[?&]query=/, request);
  };
  const headers = () => ({ authorization: `Bearer ${key}` });

  const apollo = () => new ApolloClient({
    link: new PersistedQueryLink({ generateHash: idOf, useGETForHashedQueries: true }).concat(
      new HttpLink({ uri: world.graphql, headers: headers(), fetch: watched }),
    ),
    cache: new InMemoryCache(),
  });

  const urql = () => new Client({
    url: world.graphql,
    preferGetMethod: false,
    fetch: watched,
    fetchOptions: { headers: headers() },
    exchanges: [
      persistedExchange({
        enforcePersistedQueries: true,
        enableForMutation: true,
        preferGetForPersistedQueries: 'force',
        generateHash: async (_, document) => idOf(document),
      }),
      fetchExchange,
    ],
  });

  describe('persisted documents', { timeout: 60_000 }, () => {
    before(async () => {
      const documents = Object.entries(manifest).map(([documentId, text]) => ({ documentId, text }));
      const { registerDocuments } = await world.call(RegisterDocumentsDocument, { input: { documents } });
      made(registerDocuments, true);
      for (const [n, result] of registerDocuments.results.entries()) {
        assert.deepEqual([result.documentId, result.userErrors], [documents[n]?.documentId, []]);
      }
      const { createDocumentSet } = await world.call(CreateDocumentSetDocument, { input: { name: 'Shop' } });
      set = made(createDocumentSet, createDocumentSet.documentSet).id;
      // What signs people in is registered, and none of the shop's.
      const documentIds = Object.keys(manifest).filter((id) => id !== idOf(SignInDocument));
      const { publishDocumentSetVersion } = await world.call(PublishDocumentSetVersionDocument, {
        input: { documentSetId: set, documentIds },
      });
      assert.equal(made(publishDocumentSetVersion, publishDocumentSetVersion.documentSet).activeNumber, 1);
      const scopes = ['contacts.read', 'contacts.read_personal', 'contacts.write', 'workflows.read'];
      const { createApiKey } = await world.call(CreateApiKeyDocument, {
        input: { name: 'Shop', role: 'MARKETER', scopes, documentSetId: set },
      });
      key = made(createApiKey, createApiKey.secret);
    });

    test('a text is refused, whatever it is', async () => {
      for (const query of ['{ __typename }', '{ __schema { queryType { name } } }', manifest[idOf(ServerTimeDocument)]]) {
        const answer = await fetch(world.graphql, {
          method: 'POST',
          headers: { ...headers(), 'content-type': 'application/json', accept: 'application/graphql-response+json' },
          body: JSON.stringify({ query }),
        });
        const { errors } = (await answer.json()) as { errors?: { extensions: { code: string } }[] };
        assert.deepEqual([answer.status, errors?.[0]?.extensions.code], [400, 'PERSISTED_DOCUMENT_REQUIRED']);
      }
    });

    test("Apollo's link asks by GET and changes by POST, without a text", async () => {
      const client = apollo();
      const created = await client.mutate({
        mutation: CreateContactDocument,
        variables: { input: { email: 'apollo@persisted.example' } },
      });
      assert.deepEqual(created.data?.createContact.userErrors, []);
      const { data } = await client.query({ query: ContactEdgesDocument, variables: { first: 2 } });
      assert.equal(data?.contacts.edges.length, 2);
      assert.deepEqual(sent.map((request) => request.split(' ')[0]), ['POST', 'GET']);
      withoutTexts();
    });

    test('what is not in the set is an error at once, and no text follows', async () => {
      const asked = apollo().mutate({
        mutation: SignInDocument,
        variables: { input: { email: 'ada@agency.example', password: 'x' } },
      });
      const error: unknown = await asked.then(() => assert.fail('it was answered'), (thrown: unknown) => thrown);
      assert.ok(CombinedGraphQLErrors.is(error), String(error));
      assert.equal(error.errors[0]?.extensions?.['code'], 'PERSISTED_DOCUMENT_NOT_FOUND');
      assert.equal(sent.length, 1);
      withoutTexts();
    });

    test("urql's exchange does the same", async () => {
      const client = urql();
      const created = await client.mutation(CreateContactDocument, { input: { email: 'urql@persisted.example' } });
      assert.deepEqual(created.data?.createContact.userErrors, [], String(created.error));
      const { data, error } = await client.query(ContactEdgesDocument, { first: 2 });
      assert.equal(error, undefined);
      assert.equal(data?.contacts.edges.length, 2);
      assert.deepEqual(sent.map((request) => request.split(' ')[0]), ['POST', 'GET']);
      withoutTexts();
    });

    test('graphql-ws and graphql-sse subscribe by id', async () => {
      const { createWorkflow } = await world.call(CreateWorkflowDocument, { input: { name: 'Persisted', definition: {} } });
      const { id } = made(createWorkflow, createWorkflow.workflow);
      const request = { ...byId(WorkflowProgressDocument), variables: { id } };
      const socket = createSocket({
        url: world.socket, webSocketImpl: WebSocket, retryAttempts: 0, connectionParams: headers(),
      });
      const events = createEvents({ url: world.graphql, retryAttempts: 0, headers: headers() });
      for (const progress of [
        socket.iterate<WorkflowProgressSubscription>(request),
        events.iterate<WorkflowProgressSubscription>(request),
      ]) {
        const { value } = await progress.next();
        const told = value as { data?: WorkflowProgressSubscription; errors?: unknown } | undefined;
        assert.deepEqual([told?.errors, told?.data?.workflowProgress?.state], [undefined, 'DRAFT']);
        await progress.return?.();
      }
      await socket.dispose();
      events.dispose();
    });

    test('an answer by GET is kept and asked about', async () => {
      const address = new URL(world.graphql);
      address.searchParams.set('documentId', idOf(ContactEdgesDocument));
      address.searchParams.set('variables', JSON.stringify({ first: 2 }));
      const first = await fetch(address, { headers: headers() });
      const tag = first.headers.get('etag');
      assert.ok(first.ok && tag, String(first.status));
      assert.equal(first.headers.get('cache-control'), 'private, no-cache');
      await first.arrayBuffer();
      const again = await fetch(address, { headers: { ...headers(), 'if-none-match': tag } });
      assert.deepEqual([again.status, await again.text()], [304, '']);
    });

    test('an empty version ends it all within five seconds', async () => {
      const { publishDocumentSetVersion } = await world.call(PublishDocumentSetVersionDocument, {
        input: { documentSetId: set, documentIds: [] },
      });
      assert.equal(made(publishDocumentSetVersion, publishDocumentSetVersion.documentSet).activeNumber, 2);
      const published = Date.now();
      const code = await until('the refusal', async () => {
        const { error } = await urql().query(ServerTimeDocument, {});
        return error?.graphQLErrors[0]?.extensions['code'];
      });
      assert.equal(code, 'PERSISTED_DOCUMENT_NOT_FOUND');
      assert.ok(Date.now() - published < 5_000);
    });

    after(() => sent.splice(0));
  });
}
