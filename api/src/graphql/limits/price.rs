//! What a field costs, in points (the formula is in frontend-contract/INTEGRATION.md). Prices are read off the schema, so that a
//! new field has one by its type.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use async_graphql::parser::types::{BaseType, Type};

use super::DEFAULT_PAGE;
use crate::graphql::types::TYPES;

/// A mutation, its payload included; each item of its longest list costs a point more.
pub(super) const MUTATION: u64 = 10;
/// The schema's description.
pub(super) const SCHEMA: u64 = 5_000;
/// One type of it.
pub(super) const TYPE: u64 = 200;
/// What is counted over many rows.
const AGGREGATE: u64 = 500;
/// Rows of a list that is no page.
const LIST_ROWS: u64 = 10;

/// Fields that cost this instead of their objects: what they compute is not what they show.
const OWN: [(&str, &str, u64); 15] = [
    ("Campaign", "counts", 100),
    ("Campaign", "variantCounts", 100),
    ("ContactList", "memberCount", 20),
    ("MatchingContacts", "totalCount", AGGREGATE),
    // No object, but a look at the database: without a price anybody could ask for it without end.
    ("Query", "allWorkflowsPaused", 1),
    ("Query", "messageStats", AGGREGATE),
    ("Query", "previewTemplate", 1_000),
    ("Query", "rateLimit", 0),
    ("Query", "trackingCounts", AGGREGATE),
    ("RateLimit", "buckets", 0),
    ("Subscription", "messageProgress", AGGREGATE),
    ("Tenant", "messageStats", 100),
    ("Workflow", "findings", 20),
    ("WorkflowVersion", "nodes", 100),
    ("WorkflowVersion", "variants", 100),
];

/// Prices of an object's fields.
pub(super) type Prices = HashMap<String, Price>;

/// What a field costs each time it is asked for.
#[derive(Debug)]
pub(super) struct Price {
    points: Points,
    /// How many rows it gives unless it is told.
    rows: Rows,
    /// The object that it is of.
    of: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Points {
    /// So many, however many rows there are.
    Whole(u64),
    /// So many for each row.
    Each(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    One,
    Page,
    List,
}

static PRICES: LazyLock<HashMap<String, Prices>> = LazyLock::new(|| {
    let objects: HashSet<&str> = TYPES.all_fields().map(|(object, _)| object).collect();
    let mut prices = HashMap::<String, Prices>::new();
    for (object, field) in TYPES.all_fields() {
        let name = field.name.node.as_str();
        let price = Price::of(object, name, &field.ty.node, &objects);
        prices.entry(object.to_owned()).or_default().insert(name.to_owned(), price);
    }
    prices
});

/// Reads the prices off the schema.
pub(super) fn learn() {
    LazyLock::force(&PRICES);
}

/// The prices of an object's fields, or of an interface's.
pub(super) fn of_object(name: &str) -> Option<&'static Prices> {
    PRICES.get(name)
}

impl Price {
    fn of(object: &str, field: &str, kind: &Type, objects: &HashSet<&str>) -> Self {
        let (name, is_list) = named(kind);
        let of = objects.contains(name).then(|| name.to_owned());
        let rows = if name.ends_with("Connection") {
            Rows::Page
        } else if is_list && of.is_some() && !object.ends_with("Connection") {
            Rows::List
        } else {
            // The rows of a page are counted where it is asked for.
            Rows::One
        };
        // An edge is its node, and errors are no fault of whoever reads them.
        let is_free = of.is_none() || name.ends_with("Edge") || matches!(name, "PageInfo" | "UserError");
        let own = OWN.iter().find(|(of, name, _)| *of == object && *name == field);
        let points = own.map_or(Points::Each(u64::from(!is_free)), |(_, _, points)| Points::Whole(*points));
        Self { points, rows, of }
    }

    /// Points for so many rows.
    pub fn points(&self, rows: u64) -> u64 {
        match self.points {
            Points::Whole(points) => points,
            // Its rows are counted where they are asked for.
            Points::Each(points) if self.is_page() => points,
            Points::Each(points) => points.saturating_mul(rows),
        }
    }

    /// How many rows there are where nothing tells: in a mutation's payload as many as there were items.
    pub fn rows(&self, items: Option<u64>) -> u64 {
        match self.rows {
            Rows::One => 1,
            Rows::Page => DEFAULT_PAGE,
            Rows::List => items.unwrap_or(LIST_ROWS),
        }
    }

    /// True for a page of a list.
    pub fn is_page(&self) -> bool {
        self.rows == Rows::Page
    }

    /// The prices of what it gives.
    pub fn inner(&self) -> Option<&'static Prices> {
        of_object(self.of.as_deref()?)
    }
}

/// The name of a type, and whether it is a list of those.
fn named(kind: &Type) -> (&str, bool) {
    match &kind.base {
        BaseType::Named(name) => (name.as_str(), false),
        BaseType::List(of) => (named(of).0, true),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Variables;
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::super::{COST, Cost, check_document};
    use super::*;

    fn cost_of(query: &str, variables: serde_json::Value, name: Option<&str>) -> Result<u64, String> {
        let document = parse_query(query).unwrap();
        let cost = check_document(&document, &Variables::from_json(variables), name);
        cost.map(|Cost(points)| points).map_err(|error| error.message)
    }

    fn cost(query: &str) -> u64 {
        cost_of(query, json!({}), None).unwrap()
    }

    #[test]
    fn c234_objects_pages_and_aggregates_have_their_price() {
        for (query, points) in [
            ("{ __typename }", 0),
            ("{ serverTime }", 0),
            ("{ allWorkflowsPaused }", 1),
            ("{ rateLimit { cost buckets { limit remaining } } }", 0),
            ("{ contact(id: 1) { id tags attributes } }", 1),
            ("{ node(id: 1) { id ... on Message { contact { id } } } }", 2),
            ("{ contacts { nodes { id } } }", 51),
            ("{ contacts(first: 10) { nodes { id tags } pageInfo { endCursor } } }", 11),
            ("{ contacts(last: 10) { edges { cursor node { id } } } }", 11),
            ("{ contacts(first: 10) { edges { node { id } } nodes { id } } }", 21),
            ("{ contacts(first: 9999) { nodes { id } } }", 101),
            ("{ contacts(first: 10) { pageInfo { hasNextPage } } }", 1),
            ("{ contacts(first: 10) { nodes { messages(first: 5) { nodes { id } } } } }", 1 + 10 * (1 + 1 + 5)),
            ("{ message(id: 1) { attempts { state } } }", 1 + 10),
            ("{ nodes(ids: [1, 2, 3]) { id } }", 3),
            ("{ messageStats { byState { count } } }", 500 + 10),
            ("{ trackingCounts { opens } }", 500),
            ("{ matchingContacts(condition: {}) { totalCount } }", 501),
            ("{ matchingContacts(condition: {}) { contacts(first: 10) { nodes { id } } } }", 12),
            (
                "{ workflow(id: 1) { findings { code } liveVersion { nodes { node mails { mails } } } } }",
                1 + 20 + 1 + 100 + 100,
            ),
            ("{ __schema { types { name fields { name } } } }", 5_000),
            ("{ __type(name: \"Contact\") { fields { name } } }", 200),
            ("subscription { messageProgress { byState { count } } }", 510),
            ("subscription { importProgress(id: 1) { id } }", 1),
            ("{ nothing { of { the(first: 100) { kind } } } }", 0),
        ] {
            assert_eq!(cost(query), points, "{query}");
        }
    }

    #[test]
    fn c234_mutations_cost_by_what_they_are_given() {
        for (query, points) in [
            ("mutation { createContact(input: {}) { contact { id } userErrors { code field message } } }", 11),
            (
                "mutation { a: archiveContact(input: {}) { __typename } b: archiveContact(input: {}) { __typename } }",
                20,
            ),
            ("mutation { tagContacts(input: { ids: [1, 2, 3], tags: [1] }) { contacts { id } } }", 10 + 3 + 3),
        ] {
            assert_eq!(cost(query), points, "{query}");
        }
        let query =
            "mutation($input: X!) { upsertContacts(input: $input) { results { contact { id } userErrors { code } } } }";
        let input = json!({ "input": { "contacts": vec![json!({ "tags": [1, 2, 3, 4, 5, 6] }); 5], "source": "x" } });
        assert_eq!(cost_of(query, input, None), Ok(10 + 5 + 5 + 5), "lists within items are theirs");
    }

    #[test]
    fn c234_variables_fragments_and_conditions_count_as_they_run() {
        let page = "query($n: Int = 20) { contacts(first: $n) { nodes { id } } }";
        assert_eq!(cost_of(page, json!({}), None), Ok(21));
        assert_eq!(cost_of(page, json!({ "n": 3 }), None), Ok(4));

        let conditional = "query($on: Boolean!) { serverTime ...F @include(if: $on) \
            contact(id: 1) @skip(if: $on) { id } } fragment F on Query { contacts(first: 5) { nodes { id } } }";
        assert_eq!(cost_of(conditional, json!({ "on": true }), None), Ok(6));
        assert_eq!(cost_of(conditional, json!({ "on": false }), None), Ok(1));
        assert_eq!(
            cost("{ contact(id: 1) @skip(if: true) { id } ... @include(if: false) { contact(id: 1) { id } } }"),
            0
        );

        let two = "query A { contact(id: 1) { id } } query B { contacts(first: 5) { nodes { id } } }";
        assert_eq!(cost_of(two, json!({}), Some("A")), Ok(1));
        assert_eq!(cost_of(two, json!({}), Some("B")), Ok(6));
        assert_eq!(cost_of(two, json!({}), Some("C")), Ok(0), "which runs nothing");

        // What is not folded is run twice, and the answers are merged.
        let twice = "{ contact(id: 1) { id } ...F } fragment F on Query { contact(id: 1) { state } }";
        assert_eq!(cost(twice), 2);
    }

    #[test]
    fn c221_a_document_reads_a_bounded_number_of_tenants() {
        let page = |alias: &str| format!("{alias}: tenants(first: 100) {{ nodes {{ messageStats {{ total }} }} }}");
        let one = format!("{{ viewer {{ {} }} }}", page("a"));
        assert_eq!(cost(&one), 1 + 1 + 100 * (1 + 100));
        let two = format!("{{ viewer {{ {} {} }} }}", page("a"), page("b"));
        assert!(cost_of(&two, json!({}), None).is_err());
    }

    #[test]
    fn c221_a_flood_of_aliases_has_its_price() {
        let flood =
            (0..20).map(|n| format!("a{n}: contacts(first: 100) {{ nodes {{ id }} }} ")).collect::<Vec<_>>().concat();
        assert_eq!(cost(&format!("{{ {flood} }}")), 20 * 101);
        let counts =
            (0..20).map(|n| format!("a{n}: messageStats {{ byState {{ count }} }} ")).collect::<Vec<_>>().concat();
        assert_eq!(cost(&format!("{{ {counts} }}")), 20 * 510);
        let query = "{ workflows(first: 100) { nodes { versions(first: 20) { nodes { nodes { node } } } } } }";
        let refused = format!("The document costs more than {COST} points; ask for less.");
        assert_eq!(cost_of(query, json!({}), None), Err(refused));
    }

    #[test]
    fn what_has_a_price_of_its_own_is_there() {
        for (object, field, _) in OWN {
            assert!(of_object(object).is_some_and(|fields| fields.contains_key(field)), "{object}.{field}");
        }
    }
}
