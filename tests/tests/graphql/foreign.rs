//! Whatever takes an id answers for another tenant's as for one that nothing has (C-204), over the whole schema.

use serde_json::{Value, json};

use crate::places::{Side, places};
use crate::sdl::Sdl;
use crate::setup::Api;

fn missing(kind: &str) -> Value {
    json!(format!("{kind}_00000000000000000000000000"))
}

#[actix_web::test]
async fn c204_another_tenants_id_is_answered_like_the_id_of_nothing_everywhere() {
    let theirs = Box::pin(Side::new(Api::new().await, 0)).await;
    let (schema, foreign) = (theirs.api.schema.clone(), theirs.ids);
    let own = Box::pin(Side::new(Api::within(theirs.api.world, "eve@example.org").await, 1)).await;
    let sdl = Sdl::of(&schema);
    let places = places(&sdl, &["ID"]);
    assert!(places.len() > 40, "only {}: the search is wrong", places.len());
    let mut faults = Vec::new();
    for place in &places {
        for (kind, id) in &foreign {
            let (found, none) = (own.told(&sdl, place, id).await, own.told(&sdl, place, &missing(kind)).await);
            if found != none {
                let at = place.name();
                faults.push(format!("{at}: another's {kind} is answered by {found}, and that of nothing by {none}"));
            }
        }
    }
    // And what is their own is found, or nothing was shown.
    for place in &places {
        let mut is_found = false;
        for (kind, id) in &own.ids {
            is_found |= own.told(&sdl, place, id).await != own.told(&sdl, place, &missing(kind)).await;
        }
        if !is_found {
            let told = own.told(&sdl, place, &missing("contact")).await;
            faults.push(format!("{} finds nothing: {told}", place.name()));
        }
    }
    assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
}
