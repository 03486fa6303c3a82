// Relay with the documents that its compiler persisted (`persistConfig`): the manifest is registered, and a key that is held
// to it runs each by its id. The artifacts have no texts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { createClient } from 'graphql-sse';
import relay, { type ConcreteRequest, type GraphQLResponse, type OperationType, type Variables } from 'relay-runtime';
import paginationQuery from '../generated/relay-persisted/contactListPaginationQuery.graphql.js';
import listQuery, { type contactListQuery } from '../generated/relay-persisted/contactListQuery.graphql.js';
import pageFragment, { type contactList_page$data } from '../generated/relay-persisted/contactList_page.graphql.js';
import updateMutation, {
  type contactListUpdateMutation,
} from '../generated/relay-persisted/contactListUpdateMutation.graphql.js';
import workflowSubscription, {
  type contactListWorkflowSubscription,
} from '../generated/relay-persisted/contactListWorkflowSubscription.graphql.js';
import {
  ContactCardFragmentDoc, ContactEdgesDocument, CreateApiKeyDocument, CreateDocumentSetDocument, CreateWorkflowDocument,
  PublishDocumentSetVersionDocument, RegisterDocumentsDocument,
} from '../generated/graphql.js';
import { useFragment as unmask } from '../generated/fragment-masking.js';
import { made, type World } from './world.js';

/** Texts by their ids. */
const manifest = JSON.parse(
  readFileSync(new URL('../../generated/relay-persisted.json', import.meta.url), 'utf8'),
) as Record<string, string>;

/** Relay's ids are bare, the server's say what they are. */
const idOf = (id: string) => `sha256:${id}`;

export function relayPersisted(world: World): void {
  let authorization = '';

  /** A request by its id; a document of these has no text. */
  const post = async (id: string | null, variables: Variables) => {
    assert.ok(id && manifest[id], 'the manifest has it');
    const answer = await fetch(world.graphql, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization },
      body: JSON.stringify({ documentId: idOf(id), variables }),
    });
    return (await answer.json()) as GraphQLResponse;
  };

  const open = () => new relay.Environment({
    store: new relay.Store(new relay.RecordSource()),
    network: relay.Network.create(
      ({ id }, variables) => post(id, variables),
      ({ id }, variables) => relay.Observable.create<GraphQLResponse>((sink) => {
        const client = createClient({ url: world.graphql, retryAttempts: 0, headers: { authorization } });
        const extensions = { persistedQuery: { version: 1, sha256Hash: id } };
        const end = client.subscribe({ query: '', variables, extensions }, {
          next: (answer) => sink.next(answer as GraphQLResponse),
          error: (error) => sink.error(error instanceof Error ? error : new Error(String(error))),
          complete: () => sink.complete(),
        });
        return () => {
          end();
          client.dispose();
        };
      }),
    ),
  });
  type Environment = ReturnType<typeof open>;

  const fetched = async <Q extends OperationType>(to: Environment, query: ConcreteRequest, variables: Q['variables']) =>
    relay.fetchQuery<Q>(to, query, variables).toPromise();

  describe('Relay, persisted', { timeout: 60_000 }, () => {
    before(async () => {
      const documents = Object.entries(manifest).map(([id, text]) => ({ documentId: idOf(id), text }));
      assert.equal(documents.length, 5);
      const { registerDocuments } = await world.call(RegisterDocumentsDocument, { input: { documents } });
      made(registerDocuments, true);
      assert.deepEqual(
        registerDocuments.results.map(({ documentId, userErrors }) => [documentId, userErrors]),
        documents.map(({ documentId }) => [documentId, []]),
      );
      const { createDocumentSet } = await world.call(CreateDocumentSetDocument, { input: { name: 'Relay' } });
      const documentSetId = made(createDocumentSet, createDocumentSet.documentSet).id;
      const { publishDocumentSetVersion } = await world.call(PublishDocumentSetVersionDocument, {
        input: { documentSetId, documentIds: documents.map(({ documentId }) => documentId) },
      });
      made(publishDocumentSetVersion, publishDocumentSetVersion.documentSet);
      const scopes = ['contacts.read', 'contacts.read_personal', 'contacts.write', 'workflows.read'];
      const { createApiKey } = await world.call(CreateApiKeyDocument, {
        input: { name: 'Relay', role: 'MARKETER', scopes, documentSetId },
      });
      authorization = `Bearer ${made(createApiKey, createApiKey.secret)}`;
    });

    test('a pagination container reads on by ids', async () => {
      const environment = open();
      await fetched<contactListQuery>(environment, listQuery, { first: 2 });
      const operation = relay.createOperationDescriptor(listQuery, { first: 2 });
      const list = () => {
        const selector = relay.getSingularSelector(pageFragment, environment.lookup(operation.fragment).data);
        assert.ok(selector);
        return (environment.lookup(selector).data as unknown as contactList_page$data).contacts;
      };
      const { endCursor } = list().pageInfo;
      await fetched(environment, paginationQuery, { first: 2, after: endCursor });
      const { contacts } = await world.call(ContactEdgesDocument, { first: 4 });
      const all = contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id);
      assert.deepEqual(list().edges.map(({ node }) => node.id), all);
    });

    test('a mutation changes, and a subscription tells, by ids', async () => {
      const environment = open();
      const { contacts } = await world.call(ContactEdgesDocument, { first: 1 });
      const [card] = contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node));
      assert.ok(card);
      await new Promise<void>((resolve, reject) => {
        relay.commitMutation<contactListUpdateMutation>(environment, {
          mutation: updateMutation,
          variables: { input: { id: card.id, version: card.version, firstName: 'Persisted' } },
          onError: reject,
          onCompleted: ({ updateContact }) => {
            assert.deepEqual(updateContact.userErrors, []);
            resolve();
          },
        });
      });
      const { createWorkflow } = await world.call(CreateWorkflowDocument, { input: { name: 'By Relay', definition: {} } });
      const { id } = made(createWorkflow, createWorkflow.workflow);
      const told = await new Promise<contactListWorkflowSubscription['response'] | null | undefined>((resolve, reject) => {
        const watching = relay.requestSubscription<contactListWorkflowSubscription>(environment, {
          subscription: workflowSubscription,
          variables: { id },
          onError: reject,
          onNext: (response) => {
            watching.dispose();
            resolve(response);
          },
        });
      });
      assert.equal(told?.workflowProgress.name, 'By Relay');
    });
  });
}
