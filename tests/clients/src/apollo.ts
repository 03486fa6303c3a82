// Apollo Client: queries, mutations with refusals, its normalised cache, its pagination.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApolloClient, CombinedGraphQLErrors, HttpLink, InMemoryCache } from '@apollo/client';
import { relayStylePagination } from '@apollo/client/utilities';
import { buildSchema } from 'graphql';
import {
  ContactCardFragmentDoc, ContactEdgesDocument, ContactsPageDocument, CreateContactDocument, NodeByIdDocument,
  ServerTimeDocument, UpdateContactDocument,
} from '../generated/graphql.js';
import { useFragment as unmask } from '../generated/fragment-masking.js';
import { contract } from './server.js';
import { made, type World } from './world.js';

/** Which types implement which interfaces, as Apollo's documentation says to read it from the schema. */
function possibleTypes(): Record<string, string[]> {
  const schema = buildSchema(contract('schema.graphql'));
  const abstract = Object.values(schema.getTypeMap()).filter((type) => 'resolveType' in type);
  return Object.fromEntries(abstract.map((type) => [
    type.name,
    schema.getPossibleTypes(type as Parameters<typeof schema.getPossibleTypes>[0]).map(({ name }) => name),
  ]));
}

export function apollo(world: World): void {
  const client = () => new ApolloClient({
    link: new HttpLink({ uri: world.graphql, headers: { authorization: `Bearer ${world.token}` } }),
    cache: new InMemoryCache({
      possibleTypes: possibleTypes(),
      typePolicies: { Query: { fields: { contacts: relayStylePagination() } } },
    }),
  });

  describe('Apollo Client', { timeout: 60_000 }, () => {
    test('a mutation changes what queries of the same node show', async () => {
      const apollo = client();
      const created = await apollo.mutate({
        mutation: CreateContactDocument,
        variables: { input: { email: 'apollo@contacts.example', firstName: 'Old' } },
      });
      const payload = created.data?.createContact;
      assert.ok(payload);
      const contact = unmask(ContactCardFragmentDoc, made(payload, payload.contact));
      await apollo.query({ query: NodeByIdDocument, variables: { id: contact.id } });
      const renamed = await apollo.mutate({
        mutation: UpdateContactDocument,
        variables: { input: { id: contact.id, version: contact.version, firstName: 'New' } },
      });
      assert.deepEqual(renamed.data?.updateContact.userErrors, []);
      // Read of the cache alone: by type and id it knows that this is the same contact.
      const read = { query: NodeByIdDocument, variables: { id: contact.id }, fetchPolicy: 'cache-only' } as const;
      const { data } = await apollo.query(read);
      assert.equal(data?.node?.__typename, 'Contact');
      assert.equal(unmask(ContactCardFragmentDoc, data.node).firstName, 'New');
    });

    test('a refusal is data', async () => {
      const { data, error } = await client().mutate({
        mutation: CreateContactDocument,
        variables: { input: { email: 'no address' } },
      });
      assert.equal(error, undefined);
      assert.equal(data?.createContact.contact, null);
      assert.deepEqual(data?.createContact.userErrors.map(({ field }) => field), [['email']]);
    });

    test('an error has a code, and so has a request without a credential', async () => {
      const stranger = new ApolloClient({ link: new HttpLink({ uri: world.graphql }), cache: new InMemoryCache() });
      const asked = stranger.query({ query: ContactsPageDocument, variables: { first: 1 } });
      const error: unknown = await asked.then(() => assert.fail('it was answered'), (thrown: unknown) => thrown);
      assert.ok(CombinedGraphQLErrors.is(error), String(error));
      assert.equal(error.errors[0]?.extensions?.['code'], 'UNAUTHENTICATED');
      const { data } = await stranger.query({ query: ServerTimeDocument });
      assert.ok(Date.parse(data?.serverTime ?? '') > 0);
    });

    test('relayStylePagination joins pages to one list', async () => {
      const watched = client().watchQuery({ query: ContactEdgesDocument, variables: { first: 2 } });
      const first = await watched.refetch();
      const after = first.data?.contacts.pageInfo.endCursor;
      assert.ok(first.data?.contacts.pageInfo.hasNextPage && after);
      await watched.fetchMore({ variables: { first: 2, after } });
      const { data, dataState } = watched.getCurrentResult();
      assert.equal(dataState, 'complete');
      const ids = data?.contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id);
      const { contacts } = await world.call(ContactEdgesDocument, { first: 4 });
      assert.deepEqual(ids, contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id));
      assert.equal(new Set(ids).size, 4);
    });
  });
}
