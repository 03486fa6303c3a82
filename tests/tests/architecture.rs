//! The house keeps its shape: which room may name which, where the database and the queue may be named, how long a
//! file may be. Reads the sources; comments and texts do not count.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each room may name of the others.
const ARROWS: &[(&str, &[&str])] = &[
    ("entities", &[]),
    ("migration", &[]),
    ("domain", &["entities"]),
    ("jobs", &["domain"]),
    ("api", &["domain"]),
    ("tests", &["entities", "migration", "domain", "jobs", "api"]),
];
/// The composition root, which may name every room.
const ROOT: &[&str] = &["api/src/app.rs", "api/src/app/", "api/src/commands", "api/src/main.rs"];
/// No file is longer.
const LONGEST: usize = 500;

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every source file: its path from the house, and its text.
fn sources(room: &str) -> Vec<(String, String)> {
    let (mut folders, mut files) = (vec![house().join(room)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let name = entry.strip_prefix(house()).expect("in the house").to_string_lossy().into_owned();
                files.push((name, std::fs::read_to_string(&entry).expect("text")));
            }
        }
    }
    files.sort();
    files
}

/// The words of the code, without line comments, documentation and plain texts.
fn words(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut in_text = false;
    for line in text.lines() {
        let mut code = String::new();
        let mut characters = line.chars().peekable();
        while let Some(character) = characters.next() {
            match character {
                '\\' if in_text => drop(characters.next()),
                '\'' if !in_text && characters.peek() == Some(&'"') => drop(characters.next()),
                '"' => {
                    in_text = !in_text;
                    code.push(' ');
                }
                '/' if !in_text && characters.peek() == Some(&'/') => break,
                character if !in_text => code.push(character),
                _ => {}
            }
        }
        words.extend(code.split(|c: char| !c.is_alphanumeric() && c != '_').map(str::to_owned));
    }
    words
}

fn crate_of(room: &str) -> String {
    if room == "api" { "carillon".to_owned() } else { format!("carillon_{room}") }
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let mut faults = Vec::new();
    for (room, below) in ARROWS {
        for (file, text) in sources(room) {
            // A room's own tests may build what its composition root would.
            if ROOT.iter().any(|root| file.starts_with(root)) || file.ends_with("tests.rs") {
                continue;
            }
            let words = words(&text);
            for (other, _) in ARROWS.iter().filter(|(other, _)| other != room && !below.contains(other)) {
                // The library of `api` has the product's own name, which other things have, too.
                let named = match *other {
                    "api" => text.lines().any(|line| line.trim_start().starts_with("use carillon::")),
                    other => words.contains(&crate_of(other)),
                };
                if named {
                    faults.push(format!("{file} names {other}"));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn manifests_depend_only_downwards() {
    let mut faults = Vec::new();
    for (room, below) in ARROWS.iter().filter(|(room, _)| *room != "api") {
        let manifest = std::fs::read_to_string(house().join(room).join("Cargo.toml")).expect("a manifest");
        for (other, _) in ARROWS.iter().filter(|(other, _)| other != room && !below.contains(other)) {
            let name = crate_of(other).replace('_', "-");
            if manifest.lines().any(|line| line.split([' ', '=', '.']).next() == Some(name.as_str())) {
                faults.push(format!("{room}/Cargo.toml depends on {name}"));
            }
        }
    }
    assert_none(&faults);
}

/// L1: rows and SQL stay in the stores.
#[test]
fn only_stores_name_the_database() {
    let mut faults = Vec::new();
    for room in ["domain", "jobs", "api"] {
        for (file, text) in sources(room) {
            let words = words(&text);
            for library in ["sea_orm", "sea_query", "sqlx"] {
                let store = room == "domain" && (file.ends_with("/store.rs") || file.contains("/store/"));
                if words.contains(library) && !(store && library == "sea_orm") {
                    faults.push(format!("{file} names {library}"));
                }
            }
        }
    }
    assert_none(&faults);
}

/// L4: the queue's library can be replaced in one folder.
#[test]
fn only_the_queue_names_apalis() {
    let mut faults = Vec::new();
    for (room, _) in ARROWS {
        for (file, text) in sources(room).into_iter().filter(|(file, _)| !file.starts_with("jobs/src/queue")) {
            if words(&text).iter().any(|word| word == "apalis" || word.starts_with("apalis_")) {
                faults.push(format!("{file} names apalis"));
            }
        }
    }
    assert_none(&faults);
}

/// L1: the door is opened in one file. Clippy bans the call; this holds where a lint is silenced, too.
#[test]
fn only_enter_opens_the_door() {
    let mut faults = Vec::new();
    for room in ["domain", "jobs", "api"] {
        for (file, text) in sources(room).into_iter().filter(|(file, _)| file != "domain/src/tenancy/enter.rs") {
            if words(&text).contains("assume_tenant") {
                faults.push(format!("{file} opens the tenant wall"));
            }
        }
    }
    assert_none(&faults);
}

/// Where Carillon works in a tenant of its own accord (C-209), and from where it has the tenant's id. Each of these must
/// have it from a row, a ticket or the operator, never from a request.
const OWN_WORK: &[(&str, &str)] = &[
    ("api/src/commands/admin.rs", "the operator names it"),
    ("domain/src/messaging/key_check.rs", "the system tenant"),
    ("domain/src/messaging/system_mail.rs", "the system tenant"),
    ("domain/src/tenancy/audit.rs", "the scope of a permission that was given, or the system tenant"),
    ("domain/src/tenancy/bootstrap.rs", "the system tenant, or the one that is being made"),
    ("domain/src/tenancy/enter.rs", "declares it"),
    ("domain/src/tenancy/mod.rs", "shows it"),
    ("jobs/src/handlers/advance_workflows.rs", "a ticket"),
    ("jobs/src/handlers/deliver_messages.rs", "a ticket"),
    ("jobs/src/handlers/deliver_webhooks.rs", "a ticket"),
    ("jobs/src/handlers/run_campaign.rs", "a ticket"),
    ("jobs/src/handlers/run_import.rs", "a ticket"),
    ("jobs/src/handlers/sweep.rs", "what the dispatch role found due"),
];

/// The ways into a tenant that take no more than its id, and the operator's.
fn ways_without_a_credential() -> Vec<String> {
    let enter = std::fs::read_to_string(house().join("domain/src/tenancy/enter.rs")).expect("the ways in");
    let signatures = enter.split("\npub").skip(1).filter_map(|rest| Some(rest.split_once("fn ")?.1.split_once('{')?.0));
    let takes_an_id = signatures.filter_map(|signature| {
        let (name, rest) = signature.split_once('(')?;
        let (arguments, _) = rest.split_once(") ->")?;
        arguments.contains("TenantId").then(|| name.to_owned())
    });
    takes_an_id.chain(["operate".to_owned()]).collect()
}

/// L1: whoever may enter any tenant is on a list.
#[test]
fn c209_only_carillons_own_work_enters_a_tenant_without_a_credential() {
    let ways = ways_without_a_credential();
    assert!(["enter_for_work", "enter_to_tell", "operate"].iter().all(|way| ways.iter().any(|w| w == way)), "{ways:?}");
    let mut found = Vec::new();
    for room in ["domain", "jobs", "api"] {
        let sources = sources(room).into_iter().filter(|(_, text)| {
            let words = words(text);
            ways.iter().any(|name| words.contains(name))
        });
        found.extend(sources.map(|(file, _)| file));
    }
    found.sort();
    let listed: Vec<&str> = OWN_WORK.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, listed, "files that enter tenants of their own accord");
}

/// What opens connections, and who says where they lead. A tenant's word is not enough: its address must be public.
const CONNECTS: &[(&str, &str)] = &[
    ("api/src/commands/demo/client.rs", "the demo, to itself"),
    ("api/src/commands/demo/recipients.rs", "the demo, to itself"),
    ("api/src/traces/client.rs", "the operator's collector"),
    ("domain/src/files/blobs.rs", "the operator's bucket"),
    ("domain/src/files/bucket.rs", "the operator's bucket"),
    ("domain/src/files/receive.rs", "the operator's bucket"),
    ("jobs/src/catcher/mod.rs", "it is connected to"),
    ("jobs/src/channels/email/connect.rs", "a relay, a tenant's only where it is public"),
    ("jobs/src/channels/webhook/guard.rs", "an endpoint's name, of which only public addresses are let through"),
    ("jobs/src/channels/webhook/mod.rs", "a tenant's endpoint, only where it is public"),
    ("jobs/src/inbound/session.rs", "it is connected to"),
];

/// Whatever begins to fetch comes here first (C-227).
#[test]
fn c227_what_connects_to_somewhere_is_on_a_list() {
    let mut found = Vec::new();
    for room in ["entities", "migration", "domain", "jobs", "api"] {
        let sources = sources(room).into_iter().filter(|(file, text)| {
            let words = words(text);
            let ways = ["TcpStream", "UdpSocket", "lookup_host", "ToSocketAddrs", "reqwest", "object_store", "awc"];
            !file.contains("tests") && ways.iter().any(|way| words.contains(*way))
        });
        found.extend(sources.map(|(file, _)| file));
    }
    found.sort();
    let listed: Vec<&str> = CONNECTS.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, listed, "files that connect to somewhere");
}

/// True for a source that calls a function, and not a method of the same name.
fn calls(text: &str, name: &str) -> bool {
    let call = format!("{name}(");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.match_indices(&call).map(move |(at, _)| &line[..at])).any(|before| {
        let is_other = before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '.');
        !is_other && !before.ends_with("fn ")
    })
}

/// L2: steps within a use case take no permission of their own. Tests may take them apart; nobody else who is not in the
/// domain takes one, so that there is a permission in front of each.
#[test]
fn l2_what_takes_no_permission_is_called_by_the_domain_alone() {
    let is_store = |file: &str| file.ends_with("/store.rs") || file.contains("/store/");
    let mut steps = BTreeSet::new();
    for (_, text) in sources("domain/src").iter().filter(|(file, _)| !is_store(file)) {
        // Functions of their own: methods are those of what the domain keeps to itself.
        for rest in text.split("\npub async fn ").skip(1) {
            let signature = rest.split('{').next().unwrap_or_default();
            if signature.contains("&mut TenantTx") && !signature.contains("Grant") {
                steps.insert(signature.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
        }
    }
    assert!(["append", "seed_tenant"].iter().all(|name| steps.contains(*name)), "{steps:?}");
    let mut faults = Vec::new();
    for (file, text) in sources("api/src").into_iter().chain(sources("jobs/src")) {
        let called = steps.iter().filter(|name| calls(&text, name));
        faults.extend(called.map(|name| format!("{file} calls {name} without a permission")));
    }
    assert_none(&faults);
}

/// A statement that is not registered is run by no test.
#[test]
fn every_statement_of_the_other_roles_is_registered() {
    let identity = carillon_domain::identity_statements();
    let registered = identity.iter().chain(carillon_domain::dispatch::DISPATCH_STATEMENTS);
    let registered: Vec<&str> = registered.map(|sql| sql.name).collect();
    let declared = sources("domain");
    let declared = declared.iter().flat_map(|(_, text)| text.split(": IdentitySql =").skip(1));
    let names: Vec<&str> = declared.filter_map(|rest| rest.split("name: \"").nth(1)?.split('"').next()).collect();
    assert!(names.len() > 15, "only {} statements were found", names.len());
    let missing: Vec<_> = names.iter().filter(|name| !registered.contains(name)).collect();
    assert!(missing.is_empty(), "declared and registered nowhere: {missing:?}");
}

/// L1: a statement of a tenant's has a text that tests have run. The macro lists what it declares, and nothing else makes any.
#[test]
fn l1_only_registered_statements_have_texts() {
    let (mut faults, mut alone) = (Vec::new(), 0);
    for room in ["domain", "jobs", "api"] {
        for (file, text) in sources(room) {
            let is_made = text.match_indices("Sql {").any(|(at, _)| {
                let before = &text[..at];
                !before.ends_with("Identity") && !before.ends_with("&'static ")
            });
            if is_made || words(&text).contains("leak") {
                faults.push(format!("{file} makes a statement without registering it"));
            }
            alone += text.matches(": Alone =").count();
        }
    }
    assert_none(&faults);
    assert_eq!(alone, carillon_domain::statements_alone().len(), "statements that are transactions of their own");
}

/// Texts in capitals that are no codes for clients.
const NO_CODES: &[&str] = &["DENY", "FALSE", "GET", "NULL", "POST", "TRUE", "UTC"];

/// The plain texts of a source that look like a code, its own tests left out.
fn codes_in(text: &str) -> BTreeSet<&str> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let texts = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
    let is_code = |text: &&str| {
        text.len() > 2
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    texts.filter(is_code).filter(|text| !NO_CODES.contains(text)).collect()
}

/// What a client meets is in the contract, and what the contract has can be met (L9).
#[test]
fn l9_the_table_of_codes_has_what_is_raised_and_nothing_else() {
    let mut sources: Vec<_> = sources("domain/src").into_iter().chain(sources("api/src/graphql")).collect();
    sources.extend(self::sources("api/src/http"));
    // Names of statements look the same.
    let is_told = |file: &str| {
        let is_store = file.ends_with("/store.rs") || file.contains("/store/");
        !is_store && !file.ends_with("tests.rs") && file != "domain/src/codes.rs"
    };
    let told = sources.iter().filter(|(file, _)| is_told(file));
    let raised: BTreeSet<&str> = told.flat_map(|(_, text)| codes_in(text)).collect();
    let table: Vec<&str> = carillon_domain::codes::CODES.iter().map(|code| code.code).collect();
    assert!(table.is_sorted(), "domain/src/codes.rs is not in order");
    let table: BTreeSet<&str> = table.into_iter().collect();
    let unknown: Vec<_> = raised.difference(&table).collect();
    assert!(unknown.is_empty(), "raised, and not in domain/src/codes.rs: {unknown:?}");
    let gone: Vec<_> = table.difference(&raised).collect();
    assert!(gone.is_empty(), "in domain/src/codes.rs, and raised nowhere: {gone:?}");
}

#[test]
fn files_are_short_and_named_after_what_they_decide() {
    let mut faults = Vec::new();
    for (room, _) in ARROWS {
        for (file, text) in sources(room) {
            if text.lines().count() > LONGEST {
                faults.push(format!("{file} has {} lines", text.lines().count()));
            }
            let vague = ["util", "utils", "helper", "helpers", "common", "manager", "service", "services", "misc"];
            let parts = file.trim_end_matches(".rs").split('/').skip(2);
            // The aggregate of the tables that serve all others has this name in the design.
            let tables = ["entities/src/rows/service.rs", "migration/src/schema/service.rs"];
            if !tables.contains(&file.as_str()) && parts.into_iter().any(|part| vague.contains(&part)) {
                faults.push(format!("{file} has a name that says nothing"));
            }
        }
    }
    assert_none(&faults);
}

/// A bug that no test is named for would never be tried.
#[test]
fn every_seeded_bug_has_a_test_that_must_catch_it() {
    let selftest = std::fs::read_to_string(house().join("tests/src/bin/selftest.rs")).expect("the self-test");
    let selftest: String = selftest.chars().filter(|c| !c.is_whitespace()).collect();
    let (mut bugs, mut faults) = (0, Vec::new());
    for room in ["entities", "migration", "domain", "jobs", "api"] {
        for (file, text) in sources(room) {
            for name in text.split("seeded_bugs::on(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                bugs += 1;
                if !selftest.contains(&format!("bug(\"{name}\",")) {
                    faults.push(format!("{file} has the bug {name}, which make selftest does not try"));
                }
            }
        }
    }
    assert_none(&faults);
    assert!(bugs >= 10, "only {bugs} seeded bugs were found");
}

#[test]
fn the_reader_of_sources_tells_code_from_words_about_it() {
    let words = words("use a::b; // c\n/// d\nlet x = \"e \\\" f\"; g('\"', h); \"i\nj\" k");
    for code in ["a", "b", "g", "h", "k"] {
        assert!(words.contains(code), "{code}");
    }
    for prose in ["c", "d", "e", "f", "i", "j"] {
        assert!(!words.contains(prose), "{prose}");
    }
}
