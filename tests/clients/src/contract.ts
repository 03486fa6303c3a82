// What the compiler holds of the typed documents: each of these is wrong, and must not compile.
import type { UpsertByInput, CreateTenantMutation, ContactsPageQueryVariables } from '../generated/graphql.js';

// @ts-expect-error one of two, not both (@oneOf)
export const both: UpsertByInput = { email: 'ada@agency.example', externalId: '7' };
// @ts-expect-error nor none of them
export const none: UpsertByInput = {};
// @ts-expect-error what a client must send is required
export const page: ContactsPageQueryVariables = {};
// @ts-expect-error an object of a payload may be null
export const id = (data: CreateTenantMutation): string => data.createTenant.tenant.id;
