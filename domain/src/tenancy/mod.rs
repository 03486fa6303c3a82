//! Accounts, tenants, users, roles and how a request enters a tenant.
