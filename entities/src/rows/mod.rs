//! Rows, one file per aggregate: the shape of the tables and nothing else.
//!
//! A row type is read and written in a `store.rs` and never leaves it.

pub mod campaigns;
pub mod consent;
pub mod contacts;
pub mod messaging;
pub mod persisted;
pub mod service;
pub mod tenancy;
pub mod webhooks;
pub mod workflows;

mod prelude {
    pub use crate::ids::*;
    pub use sea_orm::entity::prelude::*;
}

/// Declares one table's entity in a module of the table's name, and the space it lies in.
macro_rules! row {
    (
        $(#[$doc:meta])*
        $table:ident $name:tt ($space:ident) { $($field:tt)* }
    ) => {
        $crate::rows::row!(@fields [$(#[$doc])*] $table $name $space [] $($field)*);
    };
    (@fields $doc:tt $table:ident $name:tt $space:ident [$($done:tt)*] key $field:ident : $type:ty, $($rest:tt)*) => {
        $crate::rows::row!(@fields $doc $table $name $space
            [$($done)* #[sea_orm(primary_key, auto_increment = false)] pub $field: $type,] $($rest)*);
    };
    (@fields $doc:tt $table:ident $name:tt $space:ident [$($done:tt)*] $field:ident : $type:ty, $($rest:tt)*) => {
        $crate::rows::row!(@fields $doc $table $name $space [$($done)* pub $field: $type,] $($rest)*);
    };
    (@fields [$(#[$doc:meta])*] $table:ident $name:tt $space:ident [$($fields:tt)*]) => {
        $(#[$doc])*
        pub mod $table {
            use crate::rows::prelude::*;

            #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
            #[sea_orm(table_name = $name)]
            pub struct Model { $($fields)* }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}

            $crate::rows::row!(@space $space);
        }
    };
    (@space Tenant) => {
        impl $crate::wall::Belongs<$crate::wall::Tenant> for Entity {
            const TENANT: Option<Column> = Some(Column::TenantId);
        }
    };
    (@space Identity) => {
        impl $crate::wall::Belongs<$crate::wall::Identity> for Entity {
            const TENANT: Option<Column> = None;
        }
    };
}
pub(crate) use row;
