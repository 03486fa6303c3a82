//! TLS to relays: rustls over aws-lc, certificates always verified.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::outcome::Obstacle;

/// A connection in the clear or under TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The file holds no certificate, or one that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not certificates in PEM form")]
pub struct InvalidAuthorities;

/// Whom the channel trusts.
#[derive(Clone)]
pub struct TlsTrust(TlsConnector);

impl std::fmt::Debug for TlsTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsTrust(..)")
    }
}

impl TlsTrust {
    /// Trusts the certificate authorities of the public web.
    pub fn public() -> Self {
        Self::roots(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
    }

    /// Trusts the public web's authorities and those of a PEM file: for a relay inside the operator's own network.
    pub fn with_authorities(pem: &[u8]) -> Result<Self, InvalidAuthorities> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let public = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
            added.ok_or(InvalidAuthorities)?;
        }
        if roots.len() == public {
            return Err(InvalidAuthorities);
        }
        Ok(Self::roots(roots))
    }

    /// Trusts these roots only, for a relay with a private authority.
    pub fn roots(roots: RootCertStore) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("aws-lc offers the default TLS versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Does the handshake as a client of `host`.
    pub(super) async fn wrap(&self, host: &str, wire: Box<dyn Wire>) -> Result<Box<dyn Wire>, Obstacle> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| Obstacle::Tls)?;
        let wire = self.0.connect(name, wire).await.map_err(|_| Obstacle::Tls)?;
        Ok(Box::new(wire))
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A relay inside, with a certificate of its own authority, and that authority as PEM.
    fn relay() -> (TlsAcceptor, String) {
        let made = rcgen::generate_simple_self_signed(vec!["relay.internal".to_owned()]).unwrap();
        let certificate = CertificateDer::from(made.cert.der().to_vec());
        let pem =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&certificate));
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        (TlsAcceptor::from(Arc::new(config)), pem)
    }

    async fn greet(acceptor: &TlsAcceptor, trust: &TlsTrust) -> Result<(), Obstacle> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (wrapped, _) = tokio::join!(trust.wrap("relay.internal", Box::new(ours)), acceptor.accept(theirs));
        wrapped.map(drop)
    }

    #[tokio::test]
    async fn c041_a_relay_of_a_private_authority_is_trusted_when_the_operator_says_so() {
        let (acceptor, pem) = relay();
        let (_, another) = relay();
        assert_eq!(greet(&acceptor, &TlsTrust::public()).await, Err(Obstacle::Tls));
        assert_eq!(
            greet(&acceptor, &TlsTrust::with_authorities(another.as_bytes()).unwrap()).await,
            Err(Obstacle::Tls)
        );
        let both = format!("# two authorities\n{another}{pem}");
        assert_eq!(greet(&acceptor, &TlsTrust::with_authorities(both.as_bytes()).unwrap()).await, Ok(()));
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for pem in ["", "hello", broken, "-----BEGIN CERTIFICATE-----\n"] {
            assert!(TlsTrust::with_authorities(pem.as_bytes()).is_err(), "{pem:?}");
        }
    }
}
