// What clients generate of the contract, into generated/: typed documents by graphql-codegen's client preset, of the
// operations of frontend-contract and those of documents.graphql; the same as persisted documents, with the manifest to
// register; and Relay's artifacts, with their texts and without them, which are then in a manifest of Relay's.
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { codegen } from '@graphql-codegen/core';
import { addTypenameSelectionDocumentTransform, preset } from '@graphql-codegen/client-preset';
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
const sdl = await readFile(new URL('schema.graphql', contract), 'utf8');
const schemaAst = buildSchema(sdl);
const typed = async (folder, documents, presetConfig) => {
  await mkdir(folder, { recursive: true });
  const outputs = await preset.buildGeneratesSection({
    baseOutputDir: folder.pathname,
    schema: parse(sdl),
    schemaAst,
    documents,
    plugins: [],
    pluginMap: {},
    presetConfig,
    config: {
      strictScalars: true,
      scalars: { DateTime: 'string', NaiveDate: 'string', JSON: 'unknown' },
      useTypeImports: true,
      importExtension: '.js',
    },
  });
  for (const output of outputs) await writeFile(output.filename, await codegen(output));
};

await rm(into, { recursive: true, force: true });
await typed(into, documents, {});
// Clients that normalise ask for __typename everywhere, so what is registered has to as well.
const whole = addTypenameSelectionDocumentTransform.transform({ documents });
await typed(new URL('persisted/', into), whole, { persistedDocuments: { hashAlgorithm: 'sha256' } });

const quietly = { cwd: here.pathname, stdio: ['ignore', 'ignore', 'inherit'] };
// Relay adds to a manifest, so there has to be one.
await writeFile(new URL('relay-persisted.json', into), '{}');
for (const [config, folder] of [['relay.config.json', 'relay/'], ['relay.persisted.config.json', 'relay-persisted/']]) {
  const artifacts = new URL(folder, into);
  await mkdir(artifacts, { recursive: true });
  execFileSync(relayCompiler, [config, '--noWatchman'], quietly);
  // Relay writes for bundlers, which add the extension that Node wants.
  for (const name of await readdir(artifacts)) {
    const text = await readFile(new URL(name, artifacts), 'utf8');
    await writeFile(new URL(name, artifacts), text.replace(/(from '\.\/\w+\.graphql)'/g, "$1.js'"));
  }
}
