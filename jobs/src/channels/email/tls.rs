//! TLS to relays: rustls over aws-lc, certificates always verified.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::outcome::Obstacle;

/// A connection in the clear or under TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

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
