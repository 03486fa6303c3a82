// What a client of the last release would stumble over in this schema.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { buildSchema, findBreakingChanges } from 'graphql';
import { contract } from './server.js';

/** What of `before` is gone or differs in `after`, but for what `told` tells clients. */
function broken(before: string, after: string, told: string): string[] {
  const changes = findBreakingChanges(buildSchema(before), buildSchema(after));
  return changes.map((change) => change.description).filter((description) => !told.includes(description));
}

/** What git says; nothing where it has nothing to say. */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return undefined;
  }
}

const told = (): string => contract('CHANGES.md').replace(/\s+/g, ' ');

export function breaking(): void {
  test('the schema breaks nothing that was released, but for what CHANGES.md tells', (t) => {
    const tag = git('describe', '--tags', '--abbrev=0')?.trim();
    const released = tag && git('show', `${tag}:frontend-contract/schema.graphql`);
    if (!released) {
      t.skip('there is no tag with a schema');
      return;
    }
    assert.deepEqual(broken(released, contract('schema.graphql'), told()), [], `since ${tag}`);
  });

  test('what is removed or narrowed is found, what is told is not', () => {
    const before = 'type Query { a(b: Int): Int c: Int } enum D { E F }';
    assert.deepEqual(broken(before, 'type Query { a(b: Int, g: Int): Int c: Int! h: Int } enum D { E F G }', ''), []);
    const narrow = 'type Query { a(b: Int!): Int } enum D { E }';
    const found = broken(before, narrow, '');
    assert.equal(found.length, 3, found.join('\n'));
    assert.ok(found.includes('Query.c was removed.'), found.join('\n'));
    assert.deepEqual(broken(before, narrow, found.join(' ')), []);
    const field = /\n\t"""\n[^"]*"""\n\tviewer: Viewer\n/;
    const schema = contract('schema.graphql');
    assert.match(schema, field);
    assert.deepEqual(broken(schema, schema.replace(field, '\n'), ''), ['Query.viewer was removed.']);
  });
}
