// What clients generate of the contract, into generated/: typed documents by graphql-codegen's client preset, of the
// operations of frontend-contract and those of documents.graphql; and Relay's artifacts.
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { codegen } from '@graphql-codegen/core';
import { preset } from '@graphql-codegen/client-preset';
import { buildSchema, parse } from 'graphql';
import relayCompiler from 'relay-compiler';

const here = new URL('./', import.meta.url);
const contract = new URL('../../frontend-contract/', here);
const into = new URL('generated/', here);

const read = async (url) => ({ location: url.pathname, rawSDL: await readFile(url, 'utf8') });
const operations = (await readdir(new URL('operations/', contract))).sort();
const files = operations.map((name) => new URL(`operations/${name}`, contract));
files.push(new URL('documents.graphql', here));
const documents = (await Promise.all(files.map(read))).map((file) => ({ ...file, document: parse(file.rawSDL) }));

// Without assumeValid: the SDL itself is checked by the specification's rules.
const schemaAst = buildSchema(await readFile(new URL('schema.graphql', contract), 'utf8'));
const outputs = await preset.buildGeneratesSection({
  baseOutputDir: into.pathname,
  schema: parse(await readFile(new URL('schema.graphql', contract), 'utf8')),
  schemaAst,
  documents,
  plugins: [],
  pluginMap: {},
  presetConfig: {},
  config: {
    strictScalars: true,
    scalars: { DateTime: 'string', NaiveDate: 'string', JSON: 'unknown' },
    useTypeImports: true,
    importExtension: '.js',
  },
});

await rm(into, { recursive: true, force: true });
await mkdir(new URL('relay/', into), { recursive: true });
for (const output of outputs) await writeFile(output.filename, await codegen(output));

const quietly = { cwd: here.pathname, stdio: ['ignore', 'ignore', 'inherit'] };
execFileSync(relayCompiler, ['relay.config.json', '--noWatchman'], quietly);
// Relay writes for bundlers, which add the extension that Node wants.
const artifacts = new URL('relay/', into);
for (const name of await readdir(artifacts)) {
  const text = await readFile(new URL(name, artifacts), 'utf8');
  await writeFile(new URL(name, artifacts), text.replace(/(from '\.\/\w+\.graphql)'/g, "$1.js'"));
}
