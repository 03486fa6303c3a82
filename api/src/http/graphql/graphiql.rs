//! GraphiQL, out of the executable: its page lies on the origin that shows caught mail, so nothing on it comes from
//! elsewhere, and it needs no network. Embedded mode only.

use actix_web::http::header;
use actix_web::{HttpResponse, web};

use crate::http::{Gateway, Problem};

/// What the page may do: run and show what comes from here, and ask this gateway.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Carillon</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="graphiql/graphiql.min.css">
<style>body { margin: 0 } #graphiql { height: 100vh }</style>
</head>
<body>
<div id="graphiql">GraphiQL needs JavaScript.</div>
<script src="graphiql/react.production.min.js"></script>
<script src="graphiql/react-dom.production.min.js"></script>
<script src="graphiql/graphiql.min.js"></script>
<script src="graphiql/start.js"></script>
</body>
</html>
"#;

const START: &str = r#"ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, { fetcher: GraphiQL.createFetcher({ url: "graphql" }), defaultEditorToolsVisibility: true })
);
"#;

/// Published files as they are, zipped; `graphiql/README.md` says where they come from.
const FILES: [(&str, &str, &[u8]); 4] = [
    ("graphiql.min.css", "text/css", include_bytes!("graphiql/graphiql.min.css.gz")),
    ("graphiql.min.js", "text/javascript", include_bytes!("graphiql/graphiql.min.js.gz")),
    ("react.production.min.js", "text/javascript", include_bytes!("graphiql/react.production.min.js.gz")),
    ("react-dom.production.min.js", "text/javascript", include_bytes!("graphiql/react-dom.production.min.js.gz")),
];

pub(super) fn configure(routes: &mut web::ServiceConfig) {
    routes.route("/graphiql/{file}", web::get().to(file));
}

/// The page to try queries in.
pub(in crate::http) async fn graphiql() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

async fn file(gateway: web::Data<Gateway>, name: web::Path<String>) -> HttpResponse {
    if !gateway.process.ports.settings.embedded {
        return Problem::NotFound.response();
    }
    if *name == "start.js" {
        return HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(START);
    }
    let Some((_, kind, zipped)) = FILES.into_iter().find(|(known, ..)| *known == name.as_str()) else {
        return Problem::NotFound.response();
    };
    HttpResponse::Ok()
        .content_type(format!("{kind}; charset=utf-8"))
        .insert_header((header::CONTENT_ENCODING, "gzip"))
        .body(zipped)
}
