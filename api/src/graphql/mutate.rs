//! The edge of a mutation: one transaction around one use case, with its answer stored beside the effect (C-186).

use std::marker::PhantomData;
use std::pin::Pin;

use async_graphql::{InputType, Value};
use carillon_domain::doorbell::{Doorbell, NoDoorbell};
use carillon_domain::error::{Error, Result, WallError};
use carillon_domain::idempotency::{self, Call, Reserved, Run};
use carillon_domain::ports::TenantTx;
use carillon_domain::reruns::Reruns;
use carillon_domain::tenancy::{Grant, WriteAction};
use carillon_domain::trace;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::scope::RequestScope;

/// One call of a mutation: its name, and the key and input that make it the same call again.
#[derive(Debug, Clone)]
pub struct Once {
    operation: &'static str,
    key: Option<String>,
    input: Vec<u8>,
    is_dry: bool,
}

impl Once {
    /// A call of `operation` with `input`, under the caller's key if it gave one.
    pub fn new(operation: &'static str, key: Option<&str>, input: &impl InputType) -> Self {
        let input = if key.is_some() { canonical(input) } else { Vec::new() };
        Self { operation, key: key.map(str::to_owned), input, is_dry: false }
    }

    /// The same call, as the dry run that it may have been asked to be.
    #[must_use]
    pub fn dry(self, dry_run: Option<bool>) -> Self {
        Self { is_dry: dry_run == Some(true), ..self }
    }

    /// What the call is known by, if it has a key.
    ///
    /// # Errors
    /// A refusal of a key that is none.
    pub fn call(&self, scope: &RequestScope) -> Result<Option<Call>> {
        let call = self.key.as_deref().map(|key| Call::new(self.operation, key, &self.input)).transpose()?;
        Ok(call.map(|call| call.raising(scope.replay())))
    }

    /// The run that it asks for, of what has transactions of its own.
    pub fn run<'a>(&self, call: Option<&'a Call>) -> Run<'a> {
        if self.is_dry { Run::Dry } else { Run::Real(call) }
    }
}

/// The input as text in which a field left out and a field given as null are the same, so that an optional field
/// added in a later version changes no hash.
fn canonical(input: &impl InputType) -> Vec<u8> {
    serde_json::to_vec(&without_nulls(input.to_value())).unwrap_or_default()
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().filter(|(_, value)| *value != Value::Null).collect();
            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(fields.into_iter().map(|(name, value)| (name, without_nulls(value))).collect())
        }
        Value::List(items) => Value::List(items.into_iter().map(without_nulls).collect()),
        value => value,
    }
}

/// The future of a use case.
pub type Work<'t, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 't>>;

/// Says to the compiler that the closure's environment outlives the transaction; the closure ignores it.
pub type Outlives<'t, 'env> = PhantomData<&'t &'env ()>;

impl RequestScope {
    /// Runs one use case in its own transaction and commits it.
    ///
    /// Under a key the answer is stored in the same transaction, and the same call again gives that answer without
    /// running the use case. A transaction that lost a race is run again up to three times, so the closure may run
    /// more than once. After a commit whose outcome is unknown, a call with a key reads the outcome back (C-187).
    ///
    /// A dry run does all of that but the commit, and leaves its key alone: the payload is read in its transaction, so
    /// it shows what would be, and the end of the mutation rolls it back.
    ///
    /// `scope.mutate(&grant, &once, |tx, _| Box::pin(create_contact(&grant, tx, scope.ports(), command.clone())))`
    pub async fn mutate<'env, A, T, F>(&'env self, grant: &'env Grant<A>, once: &Once, mut work: F) -> Result<T>
    where
        A: WriteAction,
        T: Serialize + DeserializeOwned + Sync,
        F: for<'t> FnMut(&'t mut TenantTx, Outlives<'t, 'env>) -> Work<'t, T>,
    {
        let call = once.call(self)?.filter(|_| !once.is_dry);
        self.end_reading().await;
        let mut reruns = Reruns::default();
        loop {
            // Entered by each of the steps in turn: one span from begin to commit.
            let span = tracing::info_span!(target: trace::PARTS, "transaction", operation = once.operation);
            let result = match self.start(grant, call.as_ref()).instrument(span.clone()).await {
                Ok(Started::Answered(answer)) => return Ok(answer),
                Ok(Started::Fresh(mut tx)) => match work(&mut tx, PhantomData).instrument(span.clone()).await {
                    Ok(outcome) if once.is_dry => {
                        self.read_in(tx).await;
                        Ok(outcome)
                    }
                    Ok(outcome) => self.finish(tx, call.as_ref(), &outcome).instrument(span).await.map(|()| outcome),
                    Err(error) => Err(error),
                },
                Err(error) => Err(error),
            };
            match result {
                Err(Error::Wall(WallError::CommitUnknown)) if call.is_some() && reruns.take() => {}
                Err(error) if reruns.after(&error) => {}
                result => return result,
            }
            tracing::warn!(operation = once.operation, run = reruns.taken(), "transaction is run again");
            self.pause(reruns.taken()).await;
        }
    }

    async fn start<A: WriteAction, T: DeserializeOwned>(
        &self,
        grant: &Grant<A>,
        call: Option<&Call>,
    ) -> Result<Started<T>> {
        let mut tx = grant.begin().await?;
        let Some(call) = call else { return Ok(Started::Fresh(tx)) };
        Ok(match idempotency::reserve(&mut tx, self.ports(), call).await? {
            Reserved::Fresh => Started::Fresh(tx),
            Reserved::Answered(answer) => {
                tx.rollback().await?;
                Started::Answered(answer)
            }
        })
    }

    async fn finish<T: Serialize + Sync>(&self, mut tx: TenantTx, call: Option<&Call>, outcome: &T) -> Result<()> {
        if let Some(call) = call {
            idempotency::answer(&mut tx, self.ports(), call, outcome).await?;
        }
        Ok(tx.commit().await?)
    }

    /// What to ring after a call that made work due; a dry run made none.
    pub fn doorbell(&self, once: &Once) -> &dyn Doorbell {
        if once.is_dry { &NoDoorbell } else { self.ports().doorbell.as_ref() }
    }

    /// A short pause of random length, longer after every loss.
    async fn pause(&self, attempt: u32) {
        let millis = self.ports().entropy.below(20 * u64::from(attempt)) + 1;
        tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
    }
}

enum Started<T> {
    Fresh(TenantTx),
    Answered(T),
}

#[cfg(test)]
mod tests {
    use async_graphql::InputObject;

    use super::*;

    #[derive(InputObject)]
    struct Narrow {
        b: Option<i32>,
        a: Vec<String>,
    }

    #[derive(InputObject)]
    struct Wide {
        a: Vec<String>,
        b: Option<i32>,
        c: Option<bool>,
    }

    struct Resolvers;

    /// Resolvers' futures must be Send: the schema is built so that the compiler looks at one.
    #[async_graphql::Object]
    impl Resolvers {
        async fn change(&self, ctx: &async_graphql::Context<'_>, input: Narrow) -> async_graphql::Result<Option<i32>> {
            let scope = RequestScope::of(ctx);
            let grant = scope.grant::<carillon_domain::tenancy::WriteContacts>()?;
            let once = Once::new("change", None, &input);
            let result = scope.mutate(&grant, &once, |tx, _| Box::pin(change(&grant, tx, scope.ports(), &input))).await;
            Ok(crate::graphql::error::payload(result)?.0)
        }
    }

    async fn change(
        grant: &Grant<carillon_domain::tenancy::WriteContacts>,
        tx: &mut TenantTx,
        _: &carillon_domain::ports::Ports,
        input: &Narrow,
    ) -> Result<i32> {
        assert_eq!(grant.tenant(), tx.tenant());
        tokio::task::yield_now().await;
        Ok(input.b.unwrap_or(0))
    }

    #[tokio::test]
    async fn a_resolver_can_mutate_with_a_closure_that_borrows() {
        let schema =
            async_graphql::Schema::new(Resolvers, async_graphql::EmptyMutation, async_graphql::EmptySubscription);
        assert!(schema.execute("{ change(input: { b: \"x\", a: [] }) }").await.is_err());
    }

    #[test]
    fn c186_a_field_added_later_changes_no_hash() {
        let narrow = Once::new("x", Some("k"), &Narrow { b: Some(1), a: vec!["t".into()] });
        let wide = Once::new("x", Some("k"), &Wide { a: vec!["t".into()], b: Some(1), c: None });
        assert_eq!(narrow.input, wide.input);
        let other = Once::new("x", Some("k"), &Wide { a: vec!["t".into()], b: Some(1), c: Some(false) });
        assert_ne!(narrow.input, other.input);
    }
}
