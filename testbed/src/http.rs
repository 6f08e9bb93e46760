//! HTTP clients with the workspace's one TLS provider.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::error::{Error, Result};

/// Makes `ring` the provider of everything that does not name one.
pub(crate) fn install_provider() {
    // An error says that a provider is installed already, which is all that is needed.
    let _ = ring::default_provider().install_default();
}

/// A client that trusts the certificates in the file `ca` and nothing else, for loopback.
pub(crate) fn client_trusting(ca: &Path) -> Result<reqwest::Client> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots.add(certificate).map_err(failed)?;
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        // A proxy for the internet has no business on loopback.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|source| Error::http("set up an HTTP client".to_owned(), source))
}

/// A client for plain HTTP on loopback.
pub(crate) fn client() -> Result<reqwest::Client> {
    install_provider();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|source| Error::http("set up an HTTP client".to_owned(), source))
}

/// Receives clients with the certificate and the key in these files.
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, PrivateKeyDer::from_pem_file(key).map_err(failed)?)
        .map_err(failed)?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<_, pem::Error> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    certificates.map_err(failed)
}

fn failed(error: impl Display) -> Error {
    Error::Credentials { doing: "use the API server's certificate", why: error.to_string() }
}
