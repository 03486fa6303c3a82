// urql with its normalised cache, which checks what it stores against the schema.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client, fetchExchange } from '@urql/core';
import { cacheExchange, type CacheExchangeOpts } from '@urql/exchange-graphcache';
import { relayPagination } from '@urql/exchange-graphcache/extras';
import { buildSchema, introspectionFromSchema } from 'graphql';
import {
  ContactCardFragmentDoc, ContactEdgesDocument, ContactsPageDocument, CreateContactDocument, NodeByIdDocument,
  UpdateContactDocument,
} from '../generated/graphql.js';
import { useFragment as unmask } from '../generated/fragment-masking.js';
import { contract } from './server.js';
import { made, type World } from './world.js';

export function urql(world: World): void {
  const warnings: string[] = [];
  const introspected = introspectionFromSchema(buildSchema(contract('schema.graphql')));
  const schema = introspected as unknown as CacheExchangeOpts['schema'];
  const client = (token: string | undefined, preferGetMethod: boolean | 'force' = false) => new Client({
    url: world.graphql,
    preferGetMethod,
    fetchOptions: token ? { headers: { authorization: `Bearer ${token}` } } : {},
    exchanges: [
      cacheExchange({
        schema,
        resolvers: { Query: { contacts: relayPagination() } },
        logger: (severity, message) => void (severity === 'debug' || warnings.push(message)),
      }),
      fetchExchange,
    ],
  });

  describe('urql', { timeout: 60_000 }, () => {
    test('a mutation changes what queries of the same node show', async () => {
      const urql = client(world.token);
      const created = await urql.mutation(CreateContactDocument, { input: { email: 'urql@contacts.example' } });
      const payload = created.data?.createContact;
      assert.ok(payload, String(created.error));
      const contact = unmask(ContactCardFragmentDoc, made(payload, payload.contact));
      await urql.query(NodeByIdDocument, { id: contact.id });
      const input = { id: contact.id, version: contact.version, firstName: 'New' };
      const renamed = await urql.mutation(UpdateContactDocument, { input });
      assert.deepEqual(renamed.data?.updateContact.userErrors, []);
      const { data } = await urql.query(NodeByIdDocument, { id: contact.id }, { requestPolicy: 'cache-only' });
      assert.equal(data?.node?.__typename, 'Contact');
      assert.equal(unmask(ContactCardFragmentDoc, data.node).firstName, 'New');
    });

    test('queries run by GET, and mutations do not', async () => {
      const urql = client(world.token, 'force');
      const { data, error } = await urql.query(ContactEdgesDocument, { first: 1 });
      assert.equal(error, undefined);
      assert.equal(data?.contacts.edges.length, 1);
      const address = new URL(world.graphql);
      address.searchParams.set('query', 'mutation { signOut { userErrors { code } } }');
      assert.equal((await fetch(address)).status, 405);
    });

    test('an error has a code', async () => {
      const { error } = await client(undefined).query(ContactsPageDocument, { first: 1 });
      assert.deepEqual(error?.graphQLErrors.map(({ extensions }) => extensions['code']), ['UNAUTHENTICATED']);
      assert.equal((error?.response as Response | undefined)?.status, 401);
    });

    test('its pagination joins pages to one list', async () => {
      const urql = client(world.token);
      const { data: first } = await urql.query(ContactEdgesDocument, { first: 2 });
      const after = first?.contacts.pageInfo.endCursor;
      assert.ok(after);
      const { data } = await urql.query(ContactEdgesDocument, { first: 2, after });
      const ids = data?.contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id);
      const { contacts } = await world.call(ContactEdgesDocument, { first: 4 });
      assert.deepEqual(ids, contacts.edges.map(({ node }) => unmask(ContactCardFragmentDoc, node).id));
    });

    test('its cache finds nothing strange in the schema or the answers', () => assert.deepEqual(warnings, []));
  });
}
