//! A list that answers its plain fields at once says what the resolvers say.

use carillon_domain::tenancy::{Role, Scope};
use serde_json::{Value, json};

use crate::sdl::Sdl;
use crate::setup::{Api, entered};

/// The same question in forms that are answered at once, and one whose directive sends each row to its resolvers.
const FORMS: &[&str] = &[
    "{ contacts { nodes { __typename id mail: email firstName lastName state } } }",
    "{ contacts { nodes { ...Row state } } } \
     fragment Row on Contact { __typename id ... on Contact { mail: email firstName } ... { lastName } }",
    "{ contacts { nodes { __typename id @include(if: true) mail: email firstName lastName state } } }",
];

#[actix_web::test]
async fn rows_answer_at_once_what_their_resolvers_answer() {
    let api = Api::new().await;
    for n in 0..3 {
        api.row(n).await;
    }
    let nameless = json!({ "phone": "+43 1 5138600", "lastName": "Berger" });
    api.change("createContact", "contact { id }", nameless).await;
    let vic = api.world.invited(&api.ada, Scope::Tenant(api.tenant), "vic@example.org", Role::Viewer).await;
    let viewer = entered(&api.world, &vic, api.tenant).await;
    for caller in [&api.owner, &viewer] {
        let mut answers = Vec::new();
        for form in FORMS {
            answers.push(api.ask_as(caller, form, json!({})).await);
        }
        let nodes = |answer: &Value| answer["data"]["contacts"]["nodes"].clone();
        assert_eq!(nodes(&answers[0]).as_array().map(Vec::len), Some(4), "{}", answers[0]);
        for answer in &answers {
            assert_eq!(nodes(answer), nodes(&answers[0]));
            let count = |answer: &Value| answer["errors"].as_array().map_or(0, Vec::len);
            assert_eq!(count(answer), count(&answers[0]), "{answer}");
        }
    }
}

#[actix_web::test]
async fn a_list_reads_what_each_field_of_its_rows_needs() {
    let api = Api::new().await;
    api.row(0).await;
    let sdl = Sdl::of(&api.schema);
    let whole = sdl.fields("Contact").iter().map(|field| {
        let inner = match field.ty.node.to_string().trim_matches(['[', ']', '!']) {
            of if of.ends_with("Connection") => " { nodes { id } }",
            "ConsentState" => " { status }",
            _ => "",
        };
        (field.name.node.to_string(), inner)
    });
    for (name, inner) in whole {
        let contact = format!("{{ contacts {{ nodes {{ id }} edges {{ node {{ {name}{inner} }} }} }} }}");
        let rows = api.ask(&contact, json!({})).await;
        assert!(rows.get("errors").is_none(), "{name}: {rows}");
        let id = &rows["data"]["contacts"]["nodes"][0]["id"];
        let one =
            api.ask(&format!("query($id: ID!) {{ contact(id: $id) {{ {name}{inner} }} }}"), json!({ "id": id })).await;
        assert_eq!(rows["data"]["contacts"]["edges"][0]["node"][&name], one["data"]["contact"][&name], "{name}");
    }
}
