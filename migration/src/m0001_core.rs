//! The first schema: everything issue-level features stand on.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::*;

use crate::{alone, render, roles, schema};

/// The migration.
#[derive(Debug)]
pub struct Core;

impl MigrationName for Core {
    fn name(&self) -> &'static str {
        "m0001_core"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Core {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for ddl in ddl(manager.get_database_backend()) {
            connection.execute_unprepared(&ddl).await?;
        }
        Ok(())
    }
}

/// Every statement of the migration on a database.
pub fn ddl(backend: DbBackend) -> Vec<String> {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    if backend == DbBackend::Postgres {
        let mut ddl = owned(&[roles::CREATE_ROLES]);
        ddl.extend(owned(&roles::BEFORE_TABLES));
        ddl.extend(schema::tables().flat_map(render::postgres));
        ddl.extend(owned(&roles::AFTER_TABLES));
        ddl.extend(alone::functions());
        ddl.extend(owned(&roles::APPLICATION_READS));
        ddl.extend(owned(&roles::DISPATCH_POLICIES));
        ddl.extend(owned(&roles::HOT_TABLES));
        ddl
    } else {
        let mut ddl: Vec<String> = schema::tables().flat_map(render::sqlite).collect();
        ddl.extend(owned(&roles::SQLITE_ATTEMPT_TRIGGERS));
        ddl
    }
}
