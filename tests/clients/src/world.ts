// An agency with a tenant, made through the public API with the operations of the contract.
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { print } from 'graphql';
import * as documents from '../generated/graphql.js';
import { until } from './server.js';

/** Whom the checks are. */
export interface World {
  /** Where GraphQL is. */
  graphql: string;
  socket: string;
  /** Good inside the tenant. */
  token: string;
  /** A call as the tenant's owner, without any client. */
  call: Call;
}

export type Call = <Data, Variables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
) => Promise<Data>;

interface UserError {
  code: string;
}

function caller(graphql: string, token?: string): Call {
  return async <Data, Variables>(document: TypedDocumentNode<Data, Variables>, variables: Variables) => {
    const answer = await fetch(graphql, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json',
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query: print(document), variables }),
    });
    const { data, errors } = (await answer.json()) as { data?: Data; errors?: unknown };
    if (!data || errors) throw new Error(`${answer.status} ${JSON.stringify(errors)}`);
    return data;
  };
}

/** What a mutation made; throws what it refused. */
export function made<T>(payload: { userErrors: UserError[] }, object: T | null | undefined): T {
  if (payload.userErrors.length > 0 || object == null) throw new Error(JSON.stringify(payload));
  return object;
}

export async function settle(url: string): Promise<World> {
  const graphql = `${url}/graphql`;
  const [email, password] = ['ada@agency.example', 'correct horse battery staple'];
  const anybody = caller(graphql);
  const { signUp } = await anybody(documents.SignUpDocument, {
    input: { email, password, name: 'Ada', accountName: 'Agency' },
  });
  made(signUp, true);
  const token = await until('the mail of the sign-up', async () => {
    const { caughtMails } = await anybody(documents.MailToDocument, { to: email });
    return caughtMails.nodes[0]?.text?.match(/token=([\w-]+)/)?.[1];
  });
  const { verifyEmail } = await anybody(documents.VerifyEmailDocument, { input: { token, password } });
  made(verifyEmail, true);
  const { signIn } = await anybody(documents.SignInDocument, { input: { email, password } });
  const owner = caller(graphql, made(signIn, signIn.session).accessToken);
  const { viewer } = await owner(documents.AccountsDocument, {});
  const accountId = viewer?.accounts.nodes[0]?.account.id ?? '';
  const { createTenant } = await owner(documents.CreateTenantDocument, {
    input: { accountId, name: 'Tenant', defaultZone: 'Europe/Vienna', defaultLocale: 'de-AT', defaultCountry: 'AT' },
  });
  const tenantId = made(createTenant, createTenant.tenant).id;
  const { enterTenant } = await owner(documents.EnterTenantDocument, { input: { tenantId } });
  const inside = made(enterTenant, enterTenant.session).accessToken;
  return { graphql, socket: graphql.replace('http', 'ws'), token: inside, call: caller(graphql, inside) };
}
