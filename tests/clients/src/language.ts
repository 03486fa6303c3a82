// What is a valid request: graphql-js, the specification's reference, judges by the contract what the server is asked.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  buildSchema, getOperationAST, getVariableValues, GraphQLError, parse, validate, type GraphQLSchema,
} from 'graphql';
import { contract } from './server.js';
import type { World } from './world.js';

type Variables = Record<string, unknown>;

/** By the rule they are about; what is not in `AT_ODDS` is judged as graphql-js does. */
const REQUESTS: Record<string, [document: string, variables?: Variables]> = {
  'a shorthand': ['{ serverTime }'],
  'names that are keywords elsewhere': ['{ on: serverTime type: serverTime null: serverTime fragment: serverTime }'],
  'commas, comments and a byte order mark': ['\ufeff,,{,serverTime,}#end'],
  'a block string': ['{ contacts(first: 1, search: """a""") { nodes { id } } }'],
  'an emoji by one escape': ['{ contacts(first: 1, search: "\\u{1F600}") { nodes { id } } }'],
  'an emoji by two escapes': ['{ contacts(first: 1, search: "\\uD83D\\uDE00") { nodes { id } } }'],
  'an escape that is none': ['{ contacts(first: 1, search: "\\x") { nodes { id } } }'],
  'a described operation': ['"what it is for" query A { serverTime }'],
  'a fragment called on': ['{ ...on } fragment on on Query { serverTime }'],
  'a definition of a type': ['type A { a: Int } { serverTime }'],
  'two operations of one name': ['query A { serverTime } query A { serverTime }'],
  'two fragments of one name': ['{ ...F } fragment F on Query { serverTime } fragment F on Query { serverTime }'],
  'a fragment that nobody uses': ['{ serverTime } fragment F on Contact { id }'],
  'a fragment that is not there': ['{ ...F }'],
  'a fragment in itself': ['{ ...F } fragment F on Query { ...F }'],
  'a fragment on a scalar': ['{ serverTime ...F } fragment F on DateTime { a }'],
  'a fragment that never applies': ['{ contacts(first: 1) { nodes { ... on Workflow { id } } } }'],
  'an unknown field': ['{ serverTimes }'],
  'a scalar with fields': ['{ serverTime { a } }'],
  'an object without': ['{ contacts(first: 1) }'],
  'one key for two fields': ['{ a: serverTime a: allWorkflowsPaused }'],
  'one key for two fields, below one that is there twice': ['{ tenant { a: id } tenant { a: name } }'],
  'one key for two types': ['{ node(id: "a") { ... on Contact { a: version } ... on Workflow { a: name } } }'],
  'one field with two arguments': ['{ contacts(first: 1) { nodes { id } } contacts(first: 2) { nodes { id } } }'],
  'one field with two lists, one longer': ['{ nodes(ids: ["a"]) { id } nodes(ids: ["a", "b"]) { id } }'],
  'one field with the same arguments in another order': [
    '{ contacts(first: 1, search: "a") { nodes { id } } contacts(search: "a", first: 1) { nodes { id } } }',
  ],
  'one key for two fields in fragments': [
    '{ ...A ...B } fragment A on Query { tenant { a: id } } fragment B on Query { tenant { a: name } }',
  ],
  'one key for a field of an interface and one of an object': [
    '{ node(id: "a") { a: id ... on Contact { a: email } } }',
  ],
  'one key for one type of two objects': [
    '{ node(id: "a") { ... on Contact { a: version } ... on Workflow { a: version } } }',
  ],
  'an unknown argument': ['{ contacts(limit: 1) { nodes { id } } }'],
  'an argument twice': ['{ contacts(first: 1, first: 2) { nodes { id } } }'],
  'no argument where one must be': ['{ contact { id } }'],
  'null where it must not be': ['{ contact(id: null) { id } }'],
  'a number for an id': ['{ contact(id: 5) { id } }'],
  'a fraction for an id': ['{ contact(id: 5.5) { id } }'],
  'a text for a number': ['{ contacts(first: "1") { nodes { id } } }'],
  'a number that is too large': ['{ contacts(first: 3000000000) { nodes { id } } }'],
  'one for a list of one': ['{ nodes(ids: "a") { id } }'],
  'an unknown field of an input': ['{ contacts(first: 1, filter: { a: 1 }) { nodes { id } } }'],
  'a field of an input twice': ['{ contacts(first: 1, filter: { tag: "a", tag: "b" }) { nodes { id } } }'],
  'an unknown value of an enum': ['{ contacts(first: 1, filter: { state: NONE }) { nodes { id } } }'],
  'a text for a value of an enum': ['{ contacts(first: 1, filter: { state: "ACTIVE" }) { nodes { id } } }'],
  'two of one': ['{ matchingContacts(condition: { tag: "a", and: [] }) { __typename } }'],
  'none of one': ['{ matchingContacts(condition: {}) { __typename } }'],
  'null of one': ['{ matchingContacts(condition: { tag: null }) { __typename } }'],
  'an unknown directive': ['{ serverTime @a }'],
  'a directive in a wrong place': ['query @skip(if: true) { serverTime }'],
  'a directive on a variable': ['query ($a: Int @skip(if: true)) { contacts(first: $a) { nodes { id } } }'],
  'a directive twice': ['{ serverTime @skip(if: false) @skip(if: false) }'],
  'a directive without its argument': ['{ serverTime @skip }'],
  'a variable that is not there': ['{ contacts(first: $a) { nodes { id } } }'],
  'a variable that nobody uses': ['query ($a: Int) { serverTime }'],
  'a variable twice': ['query ($a: Int, $a: Int) { contacts(first: $a) { nodes { id } } }'],
  'a variable of an unknown type': ['query ($a: A) { contacts(first: $a) { nodes { id } } }'],
  'a variable of an object': ['query ($a: Contact) { contacts(first: $a) { nodes { id } } }'],
  'a variable of a wrong default': ['query ($a: Int = "x") { contacts(first: $a) { nodes { id } } }'],
  'a variable in a place of another type': ['query ($a: Int) { contact(id: $a) { id } }', { a: 5 }],
  'a variable that may be null where null may not be': ['query ($a: ID) { contact(id: $a) { id } }', { a: 'a' }],
  'the same with a default': ['query ($a: ID = "a") { contact(id: $a) { id } }'],
  'the same with null for a default': ['query ($a: ID = null) { contact(id: $a) { id } }', { a: 'a' }],
  'the same in a list': ['query ($a: ID) { nodes(ids: [$a]) { id } }', { a: 'a' }],
  'the same in a list, where it may not': ['query ($a: ID!) { nodes(ids: [$a]) { id } }', { a: 'a' }],
  'one variable for a list of one': ['query ($a: ID!) { nodes(ids: $a) { id } }', { a: 'a' }],
  'a variable of another type in an input': [
    'query ($a: Int) { contacts(first: 1, filter: { tag: $a }) { nodes { id } } }', { a: 1 },
  ],
  'a variable that may be null in one of one': [
    'query ($a: String) { matchingContacts(condition: { tag: $a }) { __typename } }', { a: 'a' },
  ],
  'a variable that may be null for a directive': ['query ($a: Boolean) { serverTime @skip(if: $a) }', { a: false }],
  'a text for a value of an enum in a default': [
    'query ($a: ContactFilterInput = { state: "ACTIVE" }) { contacts(first: 1, filter: $a) { nodes { id } } }',
  ],
  'a required variable that is left out': ['query ($a: Int!) { contacts(first: $a) { nodes { id } } }'],
  'a required variable that is null': ['query ($a: Int!) { contacts(first: $a) { nodes { id } } }', { a: null }],
  'a variable of a wrong value': ['query ($a: Int) { contacts(first: $a) { nodes { id } } }', { a: '1' }],
  'a value for no variable': ['{ serverTime }', { a: 1 }],
};

/** Where the server differs from graphql-js, and how: its parser is async-graphql's, and `@oneOf` as specified (5.8.5). */
const AT_ODDS: Record<string, 'runs' | 'refused'> = {
  'an emoji by one escape': 'refused',
  'an emoji by two escapes': 'refused',
  'a described operation': 'refused',
  'a variable that may be null in one of one': 'refused',
};

function isValid(schema: GraphQLSchema, text: string, variables: Variables): boolean {
  try {
    const document = parse(text);
    const operation = getOperationAST(document);
    if (validate(schema, document).length > 0 || !operation) return false;
    return getVariableValues(schema, operation.variableDefinitions ?? [], variables).errors === undefined;
  } catch (error) {
    if (error instanceof GraphQLError) return false;
    throw error;
  }
}

export function language(world: World): void {
  test('what is a valid request, but for what is known to differ', { timeout: 60_000 }, async () => {
    const schema = buildSchema(contract('schema.graphql'));
    const atOdds: typeof AT_ODDS = {};
    for (const [about, [query, variables = {}]] of Object.entries(REQUESTS)) {
      const answer = await fetch(world.graphql, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${world.token}` },
        body: JSON.stringify({ query, variables }),
      });
      const isRun = 'data' in ((await answer.json()) as object);
      if (isRun !== isValid(schema, query, variables)) atOdds[about] = isRun ? 'runs' : 'refused';
    }
    assert.deepEqual(atOdds, AT_ODDS);
  });
}
