//! The links of Carillon's own mails: prove an address, choose a password, take an invitation.
//!
//! A GET shows a page with a form and changes nothing, whoever opens it (L10); a POST of the form runs the use case of
//! the mutation of the same name, under the same limits (C-216). A link that opens nothing has one answer, whatever is
//! wrong with it. The token stands in the mail's link and in the form's body, never in an address that is left: pages
//! have no links, send no referrer and are not stored.

use std::net::IpAddr;

use actix_web::{FromRequest as _, HttpRequest, HttpResponse, web};
use carillon_domain::contacts::EmailAddress;
use carillon_domain::error::{Error, Refusal, Result};
use carillon_domain::tenancy::{
    INVITATION_PAGE, Name, NewPassword, RESET_PAGE, SecretKind, SignIn, SignUp, VERIFY_PAGE, accept_invitation,
    is_mailed_link_good, reset_password, sign_in, sign_out, sign_up, verify_email,
};
use serde::Deserialize;

use super::client::client_ip;
use super::pages::{self, FieldView, FormView};
use super::recipient::other_method;
use super::{Gateway, Problem};
use crate::graphql::scope::Process;

/// A page of ours that a mail leads to.
#[derive(Debug)]
struct Page {
    path: &'static str,
    kind: SecretKind,
    title: &'static str,
    forms: &'static [FormView],
    /// Title and text of the answer once it is done.
    done: (&'static str, &'static str),
}

const NEW_PASSWORD: FieldView =
    FieldView { name: "password", label: "New password", kind: "password", autocomplete: "new-password" };
const PASSWORD: FieldView =
    FieldView { name: "password", label: "Password", kind: "password", autocomplete: "current-password" };
const EMAIL: FieldView =
    FieldView { name: "email", label: "The address of the invitation", kind: "email", autocomplete: "username" };
const NAME: FieldView = FieldView { name: "name", label: "Your name", kind: "text", autocomplete: "name" };

static PAGES: [Page; 3] = [
    Page {
        path: VERIFY_PAGE,
        kind: SecretKind::EmailVerification,
        title: "Confirm your e-mail address",
        forms: &[FormView {
            text: "Somebody signed up with the address this link was mailed to. If it was you, give the password that \
                   you chose. If it was not you, close this page: then there is no account.",
            fields: &[PASSWORD],
            choice: "confirm",
            button: "Confirm my address",
        }],
        done: ("Your address is confirmed", "You can sign in now."),
    },
    Page {
        path: RESET_PAGE,
        kind: SecretKind::PasswordReset,
        title: "Choose a new password",
        forms: &[FormView {
            text: "At least 8 characters, better 15. Everybody who is signed in with the old one is signed out.",
            fields: &[NEW_PASSWORD],
            choice: "confirm",
            button: "Set the password",
        }],
        done: ("Your password is set", "You can sign in with it now."),
    },
    Page {
        path: INVITATION_PAGE,
        kind: SecretKind::Invitation,
        title: "You are invited",
        forms: &[
            FormView {
                text: "If you have no account here yet:",
                fields: &[EMAIL, NAME, NEW_PASSWORD],
                choice: "join",
                button: "Sign up and accept",
            },
            FormView {
                text: "If you have an account here:",
                fields: &[EMAIL, PASSWORD],
                choice: "confirm",
                button: "Accept",
            },
        ],
        // Whether the address had an account is told by mail alone (C-217).
        done: ("Thank you", "You can sign in now. If you signed up but had an account already, a mail says so."),
    },
];

/// The routes.
pub fn configure(config: &mut web::ServiceConfig) {
    for page in &PAGES {
        let show = move |request, gateway, query| show(page, request, gateway, query);
        let submit = move |request, gateway, body| submit(page, request, gateway, body);
        config.service(
            web::resource(format!("/{}", page.path))
                .route(web::post().to(submit))
                .route(web::get().to(show))
                .route(web::head().to(show))
                .default_service(web::to(other_method)),
        );
    }
}

#[derive(Deserialize)]
struct Query {
    token: String,
}

/// What the forms send.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Form {
    token: String,
    choice: String,
    email: String,
    name: String,
    password: String,
}

async fn show(
    page: &'static Page,
    request: HttpRequest,
    gateway: web::Data<Gateway>,
    query: Option<web::Query<Query>>,
) -> HttpResponse {
    let Some(query) = query else { return pages::dead_link() };
    form_page(page, &gateway, &request, (&query.token, None)).await
}

async fn submit(
    page: &'static Page,
    request: HttpRequest,
    gateway: web::Data<Gateway>,
    body: web::Payload,
) -> HttpResponse {
    let mut body = body.into_inner();
    let read = web::Form::<Form>::from_request(&request, &mut body);
    let form = match tokio::time::timeout(gateway.settings.body_timeout, read).await {
        Ok(Ok(form)) => form.into_inner(),
        Ok(Err(_)) => return pages::not_a_form(),
        Err(_) => return Problem::BodyTimeout.response(),
    };
    let address = client_ip(&request, &gateway.settings.trusted_proxies);
    match act(page.kind, &gateway.process, &form, address).await {
        Ok(()) => pages::done(page.done.0, page.done.1),
        // Who was refused may try again, as long as the link is good.
        Err(Error::Refused(refusals)) => form_page(page, &gateway, &request, (&form.token, refusals.first())).await,
        Err(error) => failed(&error),
    }
}

async fn form_page(
    page: &'static Page,
    gateway: &Gateway,
    request: &HttpRequest,
    (token, refusal): (&str, Option<&Refusal>),
) -> HttpResponse {
    let address = client_ip(request, &gateway.settings.trusted_proxies);
    let process = &gateway.process;
    match is_mailed_link_good(&process.ports, &process.desk, page.kind, token, address).await {
        // Relative, so that a path before ours in the public URL is kept.
        Ok(true) => {
            let said = refusal.map(|refusal| refusal.message.as_str());
            pages::forms(page.title, page.forms, (page.path, token), said)
        }
        Ok(false) => pages::dead_link(),
        Err(error) => failed(&error),
    }
}

/// Runs the use case of the page.
async fn act(kind: SecretKind, process: &Process, form: &Form, address: Option<IpAddr>) -> Result<()> {
    let (ports, desk) = (&process.ports, &process.desk);
    match kind {
        SecretKind::EmailVerification => verify_email(ports, desk, (&form.token, &form.password), address).await,
        SecretKind::PasswordReset => {
            let password = NewPassword::parse(&form.password, "password", &[])?;
            reset_password(ports, desk, &form.token, password, address).await
        }
        SecretKind::Invitation if form.choice == "join" => sign_up(ports, desk, form.sign_up(address)?).await,
        SecretKind::Invitation => accept(process, form, address).await,
        SecretKind::RefreshSession => Err(Error::fault("no mail holds a refresh token")),
    }
}

/// Accepts with an account that is there: in, accepted, and out again, for a page keeps no session.
async fn accept(process: &Process, form: &Form, address: Option<IpAddr>) -> Result<()> {
    let (ports, desk) = (&process.ports, &process.desk);
    let email = EmailAddress::parse(&form.email).map_err(Refusal::from)?;
    let session = sign_in(ports, desk, SignIn { email, password: form.password.clone(), address }).await?;
    let access = desk.tokens.verify(&session.access_token, ports.now()).ok_or(Error::Unauthenticated)?;
    let accepted = accept_invitation(ports, desk, &access, &form.token).await;
    sign_out(ports, &session.refresh_token).await?;
    accepted.map(drop)
}

impl Form {
    fn sign_up(&self, address: Option<IpAddr>) -> Result<SignUp> {
        let bad_name = |error: &dyn std::fmt::Display| Refusal::new("INVALID_NAME", "name", error.to_string());
        Ok(SignUp {
            email: EmailAddress::parse(&self.email).map_err(Refusal::from)?,
            password: NewPassword::parse(&self.password, "password", &[&self.email, &self.name])?,
            name: Name::parse(&self.name).map_err(|error| bad_name(&error))?,
            account_name: None,
            invitation: Some(self.token.clone()),
            address,
        })
    }
}

fn failed(error: &Error) -> HttpResponse {
    if let Error::TooMany { retry_after_s } = error {
        return pages::too_many(*retry_after_s);
    }
    tracing::error!(%error, "a link about access failed");
    pages::unavailable()
}
