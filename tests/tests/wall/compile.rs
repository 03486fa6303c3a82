//! What does not compile; the other half stands as `compile_fail` examples on the wall itself.

use carillon_entities::rows::{contacts, tenancy};
use carillon_entities::wall::{Belongs, Identity, IdentityTx, Tenant, TenantTx};
use static_assertions::{assert_impl_all, assert_not_impl_any};

// An unscoped query needs a connection, and neither transaction is one.
assert_not_impl_any!(TenantTx: sea_orm::ConnectionTrait, sea_orm::TransactionTrait, Clone);
assert_not_impl_any!(IdentityTx: sea_orm::ConnectionTrait, sea_orm::TransactionTrait, Clone);

// A query in the other space does not compile.
assert_impl_all!(contacts::contacts::Entity: Belongs<Tenant>);
assert_not_impl_any!(contacts::contacts::Entity: Belongs<Identity>);
assert_impl_all!(tenancy::users::Entity: Belongs<Identity>);
assert_not_impl_any!(tenancy::users::Entity: Belongs<Tenant>);
assert_not_impl_any!(tenancy::tenants::Entity: Belongs<Tenant>);
