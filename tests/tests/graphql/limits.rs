//! Each limit on documents, attacked through a served listener by somebody signed in: refused before anything runs (C-221).
//! How long that takes, and how much memory, asks `make bench` (`refusals`).

use carillon_tests::attacks::{Attack, attacks};

use crate::served::Served;
use crate::setup::{Api, code};

#[actix_web::test]
async fn c221_whatever_is_too_much_is_refused_before_anything_runs() {
    let api = Api::new().await;
    let served = Served::new(&api).await;
    for Attack { limit, query, variables } in attacks() {
        // The second time it would be known, if it had been kept.
        for _ in 0..2 {
            let asked = served.ask(&query, variables.clone());
            let (answer, statements) = api.world.statements_of(asked).await;
            assert_eq!(code(&answer), "DOCUMENT_TOO_LARGE", "{limit}: {answer}");
            let message = answer["errors"][0]["message"].as_str().unwrap();
            assert!(message.contains(limit), "{limit}: {message}");
            assert_eq!((answer.get("data"), statements), (None, 0), "{limit}: {answer}");
        }
    }
    served.lives().await;
    served.stop().await;
}
