//! STARTTLS, implicit TLS and AUTH.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};

use super::*;
use crate::catcher::{CatcherAuth, CatcherTls};

/// A certificate for localhost and who trusts it.
fn certificate() -> (Arc<ServerConfig>, TlsTrust) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    (Arc::new(config), TlsTrust::roots(roots))
}

async fn deliver(relay: &str, port: u16, trust: TlsTrust) -> HandOver {
    let relay = relay.replace("PORT", &port.to_string()).parse().unwrap();
    let channel = EmailChannel::new(PoolSettings::default(), trust);
    channel.hand_over(&relay, &prepared(&marketing("ann@example.org")), may_start).await
}

fn auth(login_only: bool) -> CatcherAuth {
    CatcherAuth { user: "relay user".to_owned(), password: "p:ss/w@rd".to_owned(), login_only }
}

#[tokio::test]
async fn c041_mail_goes_under_tls_in_both_ways_and_only_to_whom_we_trust() {
    for implicit in [false, true] {
        let (config, trust) = certificate();
        let tls = Some(CatcherTls { config, implicit });
        let (sink, _) = catcher(CatcherSettings { tls, ..CatcherSettings::default() }).await;
        let relay = if implicit { "smtps://localhost:PORT" } else { "smtp://localhost:PORT?tls=required" };
        let outcome = deliver(relay, sink.addr().port(), trust).await;
        assert!(matches!(outcome, HandOver::Accepted(_)), "{outcome:?}");
        let outcome = deliver(relay, sink.addr().port(), TlsTrust::public()).await;
        assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Tls));
        assert_eq!(sink.totals().stored, 1);
    }
}

#[tokio::test]
async fn c041_tls_that_is_required_and_not_offered_is_never_plaintext() {
    let (sink, _) = catcher(CatcherSettings::default()).await;
    let port = sink.addr().port();
    let outcome = deliver("smtp://localhost:PORT?tls=required", port, TlsTrust::public()).await;
    assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Tls));
    let outcome = deliver("smtp://localhost:PORT?tls=starttls", port, TlsTrust::public()).await;
    assert!(matches!(outcome, HandOver::Accepted(_)), "{outcome:?}");
    let outcome = deliver("smtps://localhost:PORT", port, TlsTrust::public()).await;
    assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::Tls));
}

#[tokio::test]
async fn credentials_are_given_by_plain_or_login_and_wrong_ones_are_refused() {
    for login_only in [false, true] {
        let (config, trust) = certificate();
        let tls = Some(CatcherTls { config, implicit: false });
        let (sink, _) =
            catcher(CatcherSettings { auth: Some(auth(login_only)), tls, ..CatcherSettings::default() }).await;
        let port = sink.addr().port();
        let right = "smtp://relay%20user:p%3Ass%2Fw%40rd@localhost:PORT?tls=required";
        let outcome = deliver(right, port, trust.clone()).await;
        assert!(matches!(outcome, HandOver::Accepted(_)), "{outcome:?}");
        let outcome = deliver("smtp://relay%20user:wrong@localhost:PORT", port, trust.clone()).await;
        assert!(
            matches!(outcome, HandOver::NotHandedOver(Obstacle::Refused(ref reply)) if reply.code == 535),
            "{outcome:?}"
        );
        assert!(!format!("{outcome:?}").contains("wrong@"));
        let outcome = deliver("smtp://localhost:PORT", port, trust).await;
        assert!(matches!(outcome, HandOver::Rejected(ref reply) if reply.code == 530), "{outcome:?}");
        assert_eq!(sink.totals().stored, 1);
    }
}

#[tokio::test]
async fn a_relay_without_auth_cannot_be_given_credentials() {
    let (sink, _) = catcher(CatcherSettings::default()).await;
    let outcome = deliver("smtp://u:p@localhost:PORT?tls=none", sink.addr().port(), TlsTrust::public()).await;
    assert_eq!(outcome, HandOver::NotHandedOver(Obstacle::AuthUnsafe));
}
