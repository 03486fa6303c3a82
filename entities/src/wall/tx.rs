//! Transactions: typed queries that already carry the tenant predicate, and registered statements.
//!
//! A [`Tx`] gives out no connection and takes no free expression, so a query without the tenant cannot be written.
//! Dropping it rolls back.

use std::marker::PhantomData;

use sea_orm::sea_query::{
    ColumnRef, Cond, Expr, ExprTrait, IntoCondition, Order, QueryStatementBuilder, SelectStatement,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ColumnTrait, DbBackend, EntityName, EntityTrait, FromQueryResult, Iden, Iterable,
    QueryResult, Statement, Value,
};

use super::WallError;
use super::alone::Rows;
use super::fragment::Fragment;
use super::late::Link;
use super::space::{Belongs, Identity, Space, Tenant};
use super::sql::{Args, IdentityBatch, IdentitySql, Query, Sql};
use crate::dialect::{self, Kind};
use crate::ids::TenantId;
use crate::seeded_bugs;

/// A transaction in one tenant.
pub type TenantTx = Tx<Tenant>;
/// A transaction on the tables without a tenant.
pub type IdentityTx = Tx<Identity>;

/// An open transaction in a space.
#[derive(Debug)]
pub struct Tx<S> {
    pub(super) link: Link,
    space: S,
}

/// What an insert does when a unique key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// The insert fails with [`WallError::Conflict`].
    Fail,
    /// The row that was there first stays.
    Keep,
}

impl<S: Space> Tx<S> {
    pub(super) fn new(link: Link, space: S) -> Self {
        Self { link, space }
    }

    /// Rows of one entity.
    pub fn select<E: Belongs<S>>(&mut self) -> Select<'_, S, E> {
        let filter = Filter::new(&self.space);
        Select { tx: self, filter, order: Vec::new(), limit: None, lock: false }
    }

    /// Changes rows of one entity.
    pub fn update<E: Belongs<S>>(&mut self) -> Update<'_, S, E> {
        let filter = Filter::new(&self.space);
        Update { tx: self, filter, values: Vec::new(), moves: false }
    }

    /// Deletes rows of one entity.
    pub fn delete<E: Belongs<S>>(&mut self) -> Delete<'_, S, E> {
        let filter = Filter::new(&self.space);
        Delete { tx: self, filter }
    }

    /// Inserts one row; the wall sets the tenant.
    pub async fn insert<A>(&mut self, row: A) -> Result<(), WallError>
    where
        A: ActiveModelTrait,
        A::Entity: Belongs<S>,
    {
        self.insert_many(vec![row], OnConflict::Fail).await.map(drop)
    }

    /// Inserts rows, all with the same columns set (anything else is an error), in as few statements as the database allows; returns how many
    /// were inserted. The wall sets the tenant.
    pub async fn insert_many<A>(&mut self, mut rows: Vec<A>, on_conflict: OnConflict) -> Result<u64, WallError>
    where
        A: ActiveModelTrait,
        A::Entity: Belongs<S>,
    {
        let tenant = <A::Entity as Belongs<S>>::TENANT;
        if let (Some(column), Some(tenant)) = (tenant, self.space.tenant()) {
            for row in &mut rows {
                row.set(column, tenant.0.into());
            }
        }
        let Some(first) = rows.first() else { return Ok(0) };
        let columns: Vec<<A::Entity as EntityTrait>::Column> =
            <A::Entity as EntityTrait>::Column::iter().filter(|column| is_set(first, *column)).collect();
        for column in <A::Entity as EntityTrait>::Column::iter() {
            if rows.iter().any(|row| is_set(row, column) != is_set(first, column)) {
                return Err(WallError::Row(format!("rows differ in column {}", column.unquoted())));
            }
        }
        let names: Vec<String> = columns.iter().map(|column| column.unquoted().to_owned()).collect();
        let kinds = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| {
                let kind = Kind::of(column.def().get_column_type());
                Ok((name.as_str(), kind.ok_or_else(|| WallError::Row(format!("column {name} has no kind")))?))
            })
            .collect::<Result<Vec<_>, WallError>>()?;
        let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let conflict = if on_conflict == OnConflict::Keep { " ON CONFLICT DO NOTHING" } else { "" };
        let table = A::Entity::default().table_name().to_owned();
        let text = format!("INSERT INTO \"{table}\" ({list}) {{batch}}{conflict}");
        let backend = self.link.backend();
        let mut inserted = 0;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk = rows
                .by_ref()
                .take(dialect::max_rows(backend, columns.len()))
                .map(|row| cells(&row, &columns))
                .collect::<Result<Vec<_>, _>>()?;
            let bound = dialect::bind(backend, &text, Vec::new(), &kinds, chunk)?;
            inserted += self.link.begun().await?.batch_execute(bound).await?;
        }
        Ok(inserted)
    }

    /// Commits; refused after a failed statement.
    pub async fn commit(self) -> Result<(), WallError> {
        self.link.commit().await
    }

    /// Rolls back and waits for it.
    pub async fn rollback(self) -> Result<(), WallError> {
        self.link.rollback().await
    }

    async fn run(&mut self, select: &impl QueryStatementBuilder) -> Result<Vec<QueryResult>, WallError> {
        let statement = self.build(select);
        self.link.begun().await?.query_all(statement).await
    }

    fn build(&self, builder: &impl QueryStatementBuilder) -> Statement {
        let backend = self.link.backend();
        let (sql, values) = match backend {
            DbBackend::Postgres => builder.build_any(&sea_orm::sea_query::PostgresQueryBuilder),
            _ => builder.build_any(&sea_orm::sea_query::SqliteQueryBuilder),
        };
        Statement { sql, values: Some(values), db_backend: backend }
    }
}

impl TenantTx {
    /// The tenant this transaction sees.
    pub fn tenant(&self) -> TenantId {
        self.space.0
    }

    /// A registered statement, with the tenant bound as `$1` by the wall.
    pub fn sql(&mut self, sql: &'static Sql, args: Args) -> Result<Query<'_, Tenant>, WallError> {
        let mut scalars = Vec::with_capacity(args.scalars.len() + 1);
        scalars.push(Value::from(self.space.0.0));
        scalars.extend(args.scalars);
        let backend = self.link.backend();
        let text = dialect::expand(sql.text, backend);
        let bound = dialect::bind(backend, &text, scalars, sql.batch, args.batch)?;
        Ok(Query { tx: self, bound })
    }

    /// A registered statement with a compiled condition where its text says `{condition}`.
    pub fn sql_where(
        &mut self,
        sql: &'static Sql,
        args: Args,
        condition: &Fragment,
    ) -> Result<Query<'_, Tenant>, WallError> {
        let mut scalars = vec![Value::from(self.space.0.0)];
        scalars.extend(args.scalars);
        let condition = condition.render(&mut scalars);
        let backend = self.link.backend();
        let text = dialect::expand_where(sql.text, &condition, backend);
        let bound = dialect::bind(backend, &text, scalars, sql.batch, args.batch)?;
        Ok(Query { tx: self, bound })
    }

    /// How many rows one batch of a statement may have on this database; a store cuts its input by it.
    pub fn max_batch(&self, sql: &'static Sql) -> usize {
        dialect::max_rows(self.link.backend(), sql.batch.len())
    }
}

impl IdentityTx {
    /// A registered statement on the tables without a tenant.
    pub fn sql(&mut self, sql: &'static IdentitySql, args: Vec<Value>) -> Result<Query<'_, Identity>, WallError> {
        let backend = self.link.backend();
        let bound = dialect::bind(backend, &sql.text(backend), args, &[], Vec::new())?;
        Ok(Query { tx: self, bound })
    }

    /// A registered statement over a batch, on the tables without a tenant.
    pub fn sql_batch(&mut self, sql: &'static IdentityBatch, args: Args) -> Result<Query<'_, Identity>, WallError> {
        let backend = self.link.backend();
        let text = dialect::expand(sql.text, backend);
        let bound = dialect::bind(backend, &text, args.scalars, sql.batch, args.batch)?;
        Ok(Query { tx: self, bound })
    }

    /// How many rows one batch of a statement may have on this database.
    pub fn max_batch(&self, sql: &'static IdentityBatch) -> usize {
        dialect::max_rows(self.link.backend(), sql.batch.len())
    }
}

impl<S: Space> Query<'_, S> {
    /// Runs it and returns how many rows it changed.
    pub async fn execute(self) -> Result<u64, WallError> {
        self.tx.link.begun().await?.batch_execute(self.bound).await
    }

    /// Runs it and reads all rows.
    pub async fn all<M: FromQueryResult>(self) -> Result<Vec<M>, WallError> {
        self.rows().await?.read()
    }

    /// Runs it; its rows are read later.
    pub(super) async fn rows(self) -> Result<Rows, WallError> {
        Ok(Rows(self.tx.link.begun().await?.batch_query(self.bound).await?))
    }

    /// Runs it and reads the first row.
    pub async fn one<M: FromQueryResult>(self) -> Result<Option<M>, WallError> {
        Ok(self.all().await?.into_iter().next())
    }
}

fn is_set<A: ActiveModelTrait>(row: &A, column: <A::Entity as EntityTrait>::Column) -> bool {
    !matches!(row.get(column), ActiveValue::NotSet)
}

fn cells<A: ActiveModelTrait>(
    row: &A,
    columns: &[<A::Entity as EntityTrait>::Column],
) -> Result<Vec<Value>, WallError> {
    columns
        .iter()
        .map(|column| match row.get(*column) {
            ActiveValue::Set(value) | ActiveValue::Unchanged(value) => Ok(value),
            ActiveValue::NotSet => Err(WallError::Row(format!("no value for column {}", column.unquoted()))),
        })
        .collect()
}

/// A conjunction that starts with the tenant predicate.
#[derive(Debug)]
struct Filter<E> {
    condition: Cond,
    entity: PhantomData<E>,
}

impl<E: EntityTrait> Filter<E> {
    fn new<S: Space>(space: &S) -> Self
    where
        E: Belongs<S>,
    {
        let mut condition = Cond::all();
        if let (Some(column), Some(tenant)) = (E::TENANT, space.tenant())
            && !seeded_bugs::on("predicate_forgotten")
        {
            condition = condition.add(Expr::col((E::default(), column)).eq(tenant.0));
        }
        Self { condition, entity: PhantomData }
    }

    fn add(&mut self, part: impl IntoCondition) {
        let condition = std::mem::replace(&mut self.condition, Cond::all());
        self.condition = condition.add(part.into_condition());
    }
}

/// The comparisons every query has; each names a column and values, never an expression.
macro_rules! comparisons {
    ($($query:ident),*) => {$(
        impl<S: Space, E: Belongs<S>> $query<'_, S, E> {
            /// `column = value`.
            #[must_use]
            pub fn eq(mut self, column: E::Column, value: impl Into<Value>) -> Self {
                self.filter.add(Expr::col((E::default(), column)).eq(value.into()));
                self
            }

            /// `column <> value`.
            #[must_use]
            pub fn ne(mut self, column: E::Column, value: impl Into<Value>) -> Self {
                self.filter.add(Expr::col((E::default(), column)).ne(value.into()));
                self
            }

            /// `column < value`.
            #[must_use]
            pub fn lt(mut self, column: E::Column, value: impl Into<Value>) -> Self {
                self.filter.add(Expr::col((E::default(), column)).lt(value.into()));
                self
            }

            /// `column > value`.
            #[must_use]
            pub fn gt(mut self, column: E::Column, value: impl Into<Value>) -> Self {
                self.filter.add(Expr::col((E::default(), column)).gt(value.into()));
                self
            }

            /// `column >= value`.
            #[must_use]
            pub fn gte(mut self, column: E::Column, value: impl Into<Value>) -> Self {
                self.filter.add(Expr::col((E::default(), column)).gte(value.into()));
                self
            }

            /// `column IN (values)`; no values select nothing.
            #[must_use]
            pub fn is_in<V: Into<Value>>(mut self, column: E::Column, values: impl IntoIterator<Item = V>) -> Self {
                let values = values.into_iter().map(Into::into);
                self.filter.add(Expr::col((E::default(), column)).is_in::<Value, _>(values));
                self
            }

            /// `column IS NULL`.
            #[must_use]
            pub fn is_null(mut self, column: E::Column) -> Self {
                self.filter.add(Expr::col((E::default(), column)).is_null());
                self
            }

            /// `column IS NOT NULL`.
            #[must_use]
            pub fn is_not_null(mut self, column: E::Column) -> Self {
                self.filter.add(Expr::col((E::default(), column)).is_not_null());
                self
            }

            /// Text that starts with `prefix`, as a range so that an index serves it through row security.
            #[must_use]
            pub fn starts_with(mut self, column: E::Column, prefix: &str) -> Self {
                let end = format!("{prefix}\u{10FFFF}");
                self.filter.add(Expr::col((E::default(), column)).gte(prefix).and(Expr::col((E::default(), column)).lt(end)));
                self
            }

            /// Rows whose key lies after `(value, id)` in the order of both columns: keyset paging.
            #[must_use]
            pub fn after(mut self, first: (E::Column, Value), then: (E::Column, Value)) -> Self {
                let column = |column| Expr::col((E::default(), column));
                let tied = column(first.0).eq(first.1.clone()).and(column(then.0).gt(then.1));
                self.filter.add(column(first.0).gt(first.1).or(tied));
                self
            }

            /// Rows whose key lies before `(value, id)` in the order of both columns.
            #[must_use]
            pub fn before(mut self, first: (E::Column, Value), then: (E::Column, Value)) -> Self {
                let column = |column| Expr::col((E::default(), column));
                let tied = column(first.0).eq(first.1.clone()).and(column(then.0).lt(then.1));
                self.filter.add(column(first.0).lt(first.1).or(tied));
                self
            }
        }
    )*};
}
comparisons!(Select, Update, Delete);

/// A read of one entity.
#[derive(Debug)]
pub struct Select<'a, S, E: EntityTrait> {
    tx: &'a mut Tx<S>,
    filter: Filter<E>,
    order: Vec<(E::Column, Order)>,
    limit: Option<u64>,
    lock: bool,
}

impl<S: Space, E: Belongs<S>> Select<'_, S, E> {
    /// Orders by a column, ascending.
    #[must_use]
    pub fn order_by(mut self, column: E::Column) -> Self {
        self.order.push((column, Order::Asc));
        self
    }

    /// Orders by a column, descending.
    #[must_use]
    pub fn order_by_desc(mut self, column: E::Column) -> Self {
        self.order.push((column, Order::Desc));
        self
    }

    /// At most so many rows.
    #[must_use]
    pub fn limit(mut self, rows: u64) -> Self {
        self.limit = Some(rows);
        self
    }

    /// Locks the rows for update until the transaction ends.
    #[must_use]
    pub fn for_update(mut self) -> Self {
        self.lock = true;
        self
    }

    fn statement(&self) -> SelectStatement {
        let mut select = sea_orm::sea_query::Query::select();
        select.from(E::default()).cond_where(self.filter.condition.clone());
        for (column, order) in &self.order {
            select.order_by((E::default(), *column), order.clone());
        }
        if let Some(limit) = self.limit {
            select.limit(limit);
        }
        if self.lock && self.tx.link.backend() == DbBackend::Postgres {
            select.lock_exclusive();
        }
        select
    }

    /// All rows.
    pub async fn all(self) -> Result<Vec<E::Model>, WallError> {
        let mut statement = self.statement();
        for column in E::Column::iter() {
            statement.column((E::default(), column));
        }
        let rows = self.tx.run(&statement).await?;
        rows.iter().map(|row| E::Model::from_query_result(row, "").map_err(WallError::from)).collect()
    }

    /// The first row.
    pub async fn one(self) -> Result<Option<E::Model>, WallError> {
        Ok(self.limit(1).all().await?.into_iter().next())
    }

    /// How many rows there are.
    pub async fn count(self) -> Result<i64, WallError> {
        let mut statement = self.statement();
        statement.expr_as(Expr::col(ColumnRef::Asterisk(None)).count(), "rows");
        let rows = self.tx.run(&statement).await?;
        rows.first().map_or(Ok(0), |row| row.try_get("", "rows").map_err(WallError::from))
    }
}

/// A change of rows of one entity.
#[derive(Debug)]
pub struct Update<'a, S, E: EntityTrait> {
    tx: &'a mut Tx<S>,
    filter: Filter<E>,
    values: Vec<(E::Column, Value)>,
    /// The tenant column is among the values: the row would move to another tenant.
    moves: bool,
}

impl<S: Space, E: Belongs<S>> Update<'_, S, E> {
    /// Sets a column; an update that sets the tenant column fails.
    #[must_use]
    pub fn set(mut self, column: E::Column, value: impl Into<Value>) -> Self {
        self.moves |= E::TENANT.is_some_and(|tenant| tenant.unquoted() == column.unquoted());
        self.values.push((column, value.into()));
        self
    }

    /// Runs it and returns how many rows changed.
    pub async fn execute(self) -> Result<u64, WallError> {
        if self.moves {
            return Err(WallError::Row("a row cannot move to another tenant".to_owned()));
        }
        let mut update = sea_orm::sea_query::Query::update();
        update.table(E::default()).cond_where(self.filter.condition);
        for (column, value) in self.values {
            update.value(column, Expr::val(value));
        }
        let statement = self.tx.build(&update);
        self.tx.link.begun().await?.execute(statement).await
    }
}

/// A deletion of rows of one entity.
#[derive(Debug)]
pub struct Delete<'a, S, E: EntityTrait> {
    tx: &'a mut Tx<S>,
    filter: Filter<E>,
}

impl<S: Space, E: Belongs<S>> Delete<'_, S, E> {
    /// Runs it and returns how many rows went.
    pub async fn execute(self) -> Result<u64, WallError> {
        let mut delete = sea_orm::sea_query::Query::delete();
        delete.from_table(E::default()).cond_where(self.filter.condition);
        let statement = self.tx.build(&delete);
        self.tx.link.begun().await?.execute(statement).await
    }
}
