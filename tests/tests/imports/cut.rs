//! Files that cannot be read to their end: the import says so, whatever else is wrong with them.

use carillon_domain::contacts::import::{ImportOptions, ImportState, Progress, run_slice};
use carillon_domain::settings::Settings;
use carillon_tests::people::People;

use crate::setup::{errors, in_batches_of, under};

/// A good row, a bad one, and one with a quotation mark that swallows what comes behind it.
fn quoted() -> String {
    let rows: Vec<String> = (0..1000).map(|i| format!("p{i}@example.org,x\n")).collect();
    let rows = rows.concat();
    format!("email,first name\na@example.org,Ada\nnobody,x\nb@example.org,\"Bea\n{rows}")
}

async fn finished(people: &People, file: String) -> (ImportState, Option<String>, [i64; 4], bool) {
    let import = people.run(file, ImportOptions::default()).await.unwrap();
    let rows = [import.rows_seen, import.rows_created, import.rows_updated, import.rows_failed];
    (import.state, import.error_code, rows, import.done_bytes < import.total_bytes)
}

#[tokio::test]
async fn c231_a_file_that_a_quotation_mark_swallows_has_failed() {
    for rows in [1, 1000] {
        let people = in_batches_of(rows).await;
        let done = finished(&people, quoted()).await;
        assert_eq!(done, (ImportState::Failed, Some("ROW_QUOTE".to_owned()), [3, 1, 0, 2], true));
        assert_eq!(people.claim().await, None, "it is over");
        // At the very end of a file it swallows nothing but its own row.
        let done = finished(&people, "email,first name\na@example.org,Ada\nb@example.org,\"Bea".to_owned()).await;
        assert_eq!(done, (ImportState::Completed, None, [2, 1, 1, 0], false));
    }
}

#[tokio::test]
async fn a_file_that_was_cut_has_failed_though_its_list_of_errors_is_full() {
    let people = under(Settings { import_errors: 1, ..Settings::new("https://carillon.test") }).await;
    let (state, code, rows, _) = finished(&people, quoted()).await;
    assert_eq!((state, code.as_deref(), rows), (ImportState::Failed, Some("ROW_QUOTE"), [3, 1, 0, 2]));
}

#[tokio::test]
async fn so_many_errors_are_listed_and_all_are_counted() {
    for rows in [1, 2, 1000] {
        let settings = Settings { import_errors: 3, import_batch: rows, ..Settings::new("https://carillon.test") };
        let people = under(settings).await;
        let import = people.start("email\n1\n2\n3\n4\na@example.org\n5\n", ImportOptions::default()).await.unwrap();
        let ports = people.world.ports();
        // Slices whose time is over before they begin: what was listed before counts.
        while let Some(claim) = people.claim().await {
            let done = run_slice(&people.imports(), (ports, &people.files), claim, ports.now()).await.unwrap();
            assert!(matches!(done, Progress::More | Progress::Done));
        }
        let import = people.import(import.id).await;
        assert_eq!((import.state, import.rows_seen, import.rows_failed), (ImportState::Completed, 6, 5));
        let listed = errors(&people, &import).await;
        assert_eq!(listed, ["2 email INVALID_EMAIL", "3 email INVALID_EMAIL", "4 email INVALID_EMAIL"]);
    }
}
