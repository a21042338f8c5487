//! How a site's backend proves who it is over TLS: one client configuration a site, built
//! when the configuration is loaded, so that sessions are resumed from one connection to
//! the next.
//!
//! HTTP/1.1 is the only protocol offered: what is forwarded is never anything else.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// A site's side of TLS to its backend.
#[derive(Clone)]
pub struct Tls {
    client: Arc<ClientConfig>,
    /// None: any certificate will do.
    roots: Option<Arc<RootCertStore>>,
}

impl Tls {
    /// A backend must have a certificate of one of these authorities, for the host of its
    /// URL. Without any, whoever answers is the backend.
    ///
    /// # Errors
    /// The cryptographic library knows no version of TLS; never in practice.
    pub fn new(roots: Option<Arc<RootCertStore>>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let client =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let client = match &roots {
            Some(roots) => client.with_root_certificates(roots.clone()),
            None => client
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody { algorithms })),
        };
        let mut client = client.with_no_client_auth();
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { client: Arc::new(client), roots })
    }

    /// What shakes hands.
    pub fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }
}

/// Two are equal that trust the same authorities, whatever sessions they remember.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        match (&self.roots, &other.roots) {
            (Some(ours), Some(theirs)) => ours.roots == theirs.roots,
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for Tls {}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roots = self.roots.as_ref().map(|roots| roots.len());
        f.debug_struct("Tls").field("roots", &roots).finish()
    }
}

/// `verify: false`: the handshake is checked, the certificate's owner is not.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
