// Relay's runtime over what relay-compiler made of contactList.ts: connections, node, refetch.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import relay, { type ConcreteRequest, type GraphQLResponse, type OperationType } from 'relay-runtime';
import paginationQuery from '../generated/relay/contactListPaginationQuery.graphql.js';
import listQuery, { type contactListQuery } from '../generated/relay/contactListQuery.graphql.js';
import pageFragment, { type contactList_page$data } from '../generated/relay/contactList_page.graphql.js';
import rowFragment, { type contactList_row$data } from '../generated/relay/contactList_row.graphql.js';
import rowQuery, { type contactListRowQuery } from '../generated/relay/contactListRowQuery.graphql.js';
import updateMutation, {
  type contactListUpdateMutation,
} from '../generated/relay/contactListUpdateMutation.graphql.js';
import { ContactEdgesDocument, ContactCardFragmentDoc } from '../generated/graphql.js';
import { useFragment as unmask } from '../generated/fragment-masking.js';
import type { World } from './world.js';

export function relayRuntime(world: World): void {
  const open = () => new relay.Environment({
    store: new relay.Store(new relay.RecordSource()),
    network: relay.Network.create(async ({ text }, variables) => {
      const answer = await fetch(world.graphql, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${world.token}` },
        body: JSON.stringify({ query: text, variables }),
      });
      return (await answer.json()) as GraphQLResponse;
    }),
  });
  type Environment = ReturnType<typeof open>;

  const fetched = async <Q extends OperationType>(to: Environment, query: ConcreteRequest, variables: Q['variables']) =>
    relay.fetchQuery<Q>(to, query, variables).toPromise();

  /** What a component with the list would be given. */
  function list(environment: Environment, first: number) {
    const operation = relay.createOperationDescriptor(listQuery, { first });
    const selector = relay.getSingularSelector(pageFragment, environment.lookup(operation.fragment).data);
    assert.ok(selector);
    const seen = environment.lookup(selector);
    assert.equal(seen.isMissingData, false);
    const { contacts } = seen.data as unknown as contactList_page$data;
    return { ids: contacts.edges.map(({ node }) => node.id), pageInfo: contacts.pageInfo, edges: contacts.edges };
  }

  const row = (environment: Environment, reference: unknown) => {
    const selector = relay.getSingularSelector(rowFragment, reference);
    assert.ok(selector);
    return environment.lookup(selector).data as unknown as contactList_row$data;
  };

  describe('Relay', { timeout: 60_000 }, () => {
    test('a pagination container reads on behind its cursor', async () => {
      const environment = open();
      await fetched<contactListQuery>(environment, listQuery, { first: 2 });
      const { pageInfo } = list(environment, 2);
      assert.equal(pageInfo.hasNextPage, true);
      await fetched(environment, paginationQuery, { first: 2, after: pageInfo.endCursor });
      const { contacts } = await world.call(ContactEdgesDocument, { first: 4 });
      const all = contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id);
      assert.deepEqual(list(environment, 2).ids, all);
    });

    test('a row is refetched by node and changed by a mutation', async () => {
      const environment = open();
      await fetched<contactListQuery>(environment, listQuery, { first: 1 });
      const [edge] = list(environment, 1).edges;
      assert.ok(edge);
      const { contacts } = await world.call(ContactEdgesDocument, { first: 1 });
      const [card] = contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node));
      assert.equal(card?.id, edge.node.id);
      const refetched = await fetched<contactListRowQuery>(environment, rowQuery, { id: edge.node.id });
      assert.equal(row(environment, refetched?.node).email, card.email);
      const input = { id: card.id, version: card.version, firstName: 'Relay' };
      await new Promise<void>((resolve, reject) => {
        relay.commitMutation<contactListUpdateMutation>(environment, {
          mutation: updateMutation,
          variables: { input },
          onError: reject,
          onCompleted: ({ updateContact }) => {
            assert.deepEqual(updateContact.userErrors, []);
            resolve();
          },
        });
      });
      assert.equal(row(environment, edge.node).firstName, 'Relay');
    });
  });
}
