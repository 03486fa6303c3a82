//! Who may change members and accounts, by where their role is and where the change (L2, C-198): a role reaches what lies
//! below it and nothing beside it, and an account is administered by its owners alone.

use carillon::graphql::scope::Caller;
use carillon_domain::tenancy::{Name, Role, Scope, VerifiedAccess, create_account, enter_account};
use serde_json::{Value, json};

use crate::setup::{Api, code};

/// What is tried at every place: the mutation, and whether it takes an account, a tenant, or either.
const DEEDS: &[(&str, &str)] = &[
    ("createAccount", "parentId"),
    ("createTenant", "accountId"),
    ("inviteMember", "either"),
    ("changeMemberRole", "membershipId"),
    ("removeMember", "membershipId"),
    ("leave", "either"),
    ("enterTenant", "tenantId"),
];

/// Somewhere to change something, and a viewer there.
struct Place {
    name: &'static str,
    scope: Scope,
    /// The owner of the tree.
    owner: VerifiedAccess,
    victim: String,
    victims: usize,
}

impl Place {
    async fn new(api: &Api, owner: VerifiedAccess, name: &'static str, scope: Scope) -> Self {
        let mut place = Self { name, scope, owner, victim: String::new(), victims: 0 };
        place.find_victim(api).await;
        place
    }

    async fn find_victim(&mut self, api: &Api) {
        self.victims += 1;
        let email = format!("{}{}@victims.example", self.name.replace(' ', "-"), self.victims);
        let access = api.world.invited(&self.owner, self.scope, &email, Role::Viewer).await;
        self.victim = api.world.own_membership(&access, self.scope).await.to_string();
    }

    /// The input of a deed here; none where the deed cannot be named.
    fn input(&self, deed: &str, takes: &str) -> Option<Value> {
        let (kind, id) = match self.scope {
            Scope::Account(id) => ("accountId", id.to_string()),
            Scope::Tenant(id) => ("tenantId", id.to_string()),
        };
        let mut input = match (takes, kind) {
            ("membershipId", _) => json!({ "membershipId": self.victim }),
            ("parentId", "accountId") => json!({ "parentId": id }),
            ("either", _) if deed == "leave" => json!({ "scope": { kind: id } }),
            ("either", _) => json!({ "to": { kind: id } }),
            (takes, kind) if takes == kind => json!({ kind: id }),
            _ => return None,
        };
        let more = match deed {
            "createAccount" => json!({ "name": "New" }),
            "createTenant" => {
                json!({ "name": "New", "defaultZone": "UTC", "defaultLocale": "de", "defaultCountry": "AT" })
            }
            "inviteMember" => json!({ "email": "new@example.org", "role": "VIEWER" }),
            // The role they have: what is judged is whether somebody may, and nothing changes.
            "changeMemberRole" => json!({ "role": "VIEWER" }),
            _ => json!({}),
        };
        let more = more.as_object().cloned().unwrap_or_default();
        input.as_object_mut().unwrap().extend(more);
        Some(input)
    }
}

async fn told(api: &Api, caller: &Caller, deed: &str, input: &Value) -> &'static str {
    let kind = format!("{}{}Input", deed[..1].to_uppercase(), &deed[1..]);
    let query = format!("mutation($input: {kind}!) {{ {deed}(input: $input) {{ userErrors {{ code }} }} }}");
    let answer = api.ask_as(caller, &query, json!({ "input": input })).await;
    match (code(&answer), answer["data"][deed]["userErrors"][0]["code"].as_str()) {
        ("UNAUTHENTICATED", _) => "sign in",
        ("FORBIDDEN", _) => "no",
        ("", Some("NOT_FOUND")) => "hidden",
        ("", Some("NOT_A_DIRECT_MEMBER")) => "above",
        ("" | "TOO_MANY", None | Some("LAST_OWNER" | "LIMIT_REACHED")) => "yes",
        (error, refusal) => panic!("{deed}: {error} {refusal:?}"),
    }
}

/// The account of the world, one below it, a tenant of each, and those of somebody else.
async fn places(api: &Api) -> Vec<Place> {
    let grant = enter_account(api.world.ports(), &api.ada, api.account, "").await.unwrap().grant().unwrap();
    let below = create_account(&grant, api.world.ports(), &Name::parse("Below").unwrap(), None).await.unwrap().id;
    let tenant = api.world.new_tenant(&api.ada, below, "Below").await;
    let (eve, other) = api.world.owner_and_account("eve@example.org").await;
    let others = api.world.new_tenant(&eve, other, "Other").await;
    let scopes = [
        ("account", api.ada, Scope::Account(api.account)),
        ("its tenant", api.ada, Scope::Tenant(api.tenant)),
        ("account below", api.ada, Scope::Account(below)),
        ("tenant below", api.ada, Scope::Tenant(tenant)),
        ("another's account", eve, Scope::Account(other)),
        ("another's tenant", eve, Scope::Tenant(others)),
    ];
    let mut places = Vec::new();
    for (name, owner, scope) in scopes {
        places.push(Place::new(api, owner, name, scope).await);
    }
    places
}

#[actix_web::test]
async fn c198_a_role_reaches_what_lies_below_it_and_nothing_beside_it() {
    let api = Api::new().await;
    let mut places = places(&api).await;
    let mut people = Vec::new();
    for (at, scope) in [("account", places[0].scope), ("tenant", places[1].scope), ("below", places[2].scope)] {
        for role in Role::ALL.iter().rev() {
            let email = format!("{role}@{at}.example");
            let access = api.world.invited(&api.ada, scope, &email, *role).await;
            people.push((format!("{role} of {at}"), Caller::User(access, None)));
        }
    }
    let mut lines = Vec::new();
    for (who, caller) in &people {
        for place in &mut places {
            let mut cells = Vec::new();
            for (deed, takes) in DEEDS.iter().filter(|(deed, _)| *deed != "leave") {
                let Some(input) = place.input(deed, takes) else { continue };
                let told = told(&api, caller, deed, &input).await;
                if (*deed, told) == ("removeMember", "yes") {
                    place.find_victim(&api).await;
                }
                cells.push(format!("{deed} {told}"));
            }
            lines.push(format!("{who:<20}{:<18}{}", place.name, cells.join(", ")));
        }
    }
    // Who leaves is nobody afterwards: last, and of the own place at the end.
    for (who, caller) in &people {
        let (mut cells, mut own) = (Vec::new(), None);
        for place in &places {
            let input = place.input("leave", "either").unwrap();
            if matches!(
                (place.name, who.rsplit(' ').next()),
                ("account", Some("account")) | ("its tenant", Some("tenant")) | ("account below", Some("below"))
            ) {
                own = Some((place.name, input));
            } else {
                cells.push(format!("{} {}", place.name, told(&api, caller, "leave", &input).await));
            }
        }
        let (name, input) = own.unwrap();
        cells.push(format!("{name} {}", told(&api, caller, "leave", &input).await));
        lines.push(format!("{who:<20}leaves            {}", cells.join(", ")));
    }
    insta::assert_snapshot!(lines.join("\n"));
}
