// The audit suite of graphql-http, as a report that is compared with the committed one.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { serverAudits, type AuditResult } from 'graphql-http';
import { contract } from './server.js';
import type { World } from './world.js';

const NAME = 'graphql-http-audit.md';
const LEVELS = ['MUST', 'SHOULD', 'MAY'] as const;
/** What does not apply, by id of the audit, and why. */
const NOT_APPLICABLE: Record<string, string> = {};

function version(): string {
  const text = readFileSync(new URL('../../node_modules/graphql-http/package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const outcome = (result: AuditResult): string => {
  if (result.status === 'ok') return 'ok';
  const reason = NOT_APPLICABLE[result.id];
  return reason ? `does not apply: ${reason}` : `**${result.status}**: ${result.reason}`;
};

export function report(results: AuditResult[]): string {
  const ok = results.filter(({ status }) => status === 'ok').length;
  const sections = LEVELS.map((level) => {
    const mine = results.filter(({ name }) => name.startsWith(`${level} `));
    const rows = mine.map((result) => `| ${result.id} | ${result.name.slice(level.length + 1)} | ${outcome(result)} |`);
    return [`## ${level} (${mine.length})`, '', '| id | audit | result |', '|---|---|---|', ...rows].join('\n');
  });
  return `# Audit of GraphQL over HTTP

What the audits of \`graphql-http\` ${version()} say of \`/graphql\`: ${ok} of ${results.length} hold. The part
\`clients\` of \`make test\` runs them, compares with this file, and fails if one fails that applies; \`make audit\` writes it.
${Object.keys(NOT_APPLICABLE).length === 0 ? 'All of them apply. ' : ''}\
Where the suite and the newest draft of the specification differ, the suite is followed: 400, not 422; 200, not 294. \`Prefer: handling=strict\` asks for the others.

${sections.join('\n\n')}
`;
}

export function audit(world: World): void {
  test('graphql-http: every audit that applies holds, as the report says', { timeout: 60_000 }, async () => {
    const results: AuditResult[] = [];
    for (const { fn } of serverAudits({ url: world.graphql })) results.push(await fn());
    const fresh = report(results);
    if (process.env['AUDIT'] === 'write') {
      writeFileSync(new URL(`../../../../frontend-contract/${NAME}`, import.meta.url), fresh);
    }
    const failed = results.filter(({ id, status }) => status !== 'ok' && !(id in NOT_APPLICABLE));
    assert.deepEqual(failed.map(outcome), []);
    assert.deepEqual(fresh.split('\n'), contract(NAME).split('\n'));
  });
}
