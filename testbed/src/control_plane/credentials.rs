//! Tokens, keys and kubeconfigs of one control plane.

use std::fs;
use std::path::{Path, PathBuf};

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

use crate::error::{Error, Result};
use crate::secret;

#[derive(Debug)]
pub(super) struct Credentials {
    pub admin_token: String,
    pub admin_kubeconfig: PathBuf,
    pub token_file: PathBuf,
    pub service_account_key: PathBuf,
    pub service_account_public_key: PathBuf,
}

impl Credentials {
    pub(super) fn create(directory: &Path) -> Result<Self> {
        let admin_token = secret::random();
        let token_file = directory.join("tokens.csv");
        fs::write(&token_file, format!("{admin_token},admin,admin,\"system:masters\"\n"))
            .map_err(Error::file("write", &token_file))?;
        let (private, public) = key_pair()?;
        let service_account_key = directory.join("service-accounts.key");
        fs::write(&service_account_key, private).map_err(Error::file("write", &service_account_key))?;
        let service_account_public_key = directory.join("service-accounts.pub");
        fs::write(&service_account_public_key, public).map_err(Error::file("write", &service_account_public_key))?;
        Ok(Self {
            admin_token,
            admin_kubeconfig: directory.join("admin.kubeconfig"),
            token_file,
            service_account_key,
            service_account_public_key,
        })
    }
}

/// A key that signs the tokens of service accounts, and the one that checks them, as PEM.
fn key_pair() -> Result<(String, String)> {
    let failed = |why: String| Error::Credentials { doing: "make the key of the service accounts", why };
    let private = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(|error| failed(error.to_string()))?;
    let public = rustls::crypto::ring::sign::any_ecdsa_type(&PrivatePkcs8KeyDer::from(private.as_ref()).into())
        .map_err(|error| failed(error.to_string()))?
        .public_key()
        .ok_or_else(|| failed("the key has no public half".to_owned()))?
        .to_vec();
    let encode = |label, content: &[u8]| pem::encode(&pem::Pem::new(label, content));
    Ok((encode("PRIVATE KEY", private.as_ref()), encode("PUBLIC KEY", &public)))
}

/// A kubeconfig with one context.
pub(super) fn kubeconfig(server: &str, ca: &Path, token: &str) -> String {
    // A plain HTTP proxy has no certificate to check.
    let ca = if server.starts_with("https:") {
        format!("\n    certificate-authority: {}", ca.display())
    } else {
        String::new()
    };
    format!(
        "apiVersion: v1
kind: Config
current-context: testbed
clusters:
- name: testbed
  cluster:
    server: {server}{ca}
users:
- name: testbed
  user:
    token: {token}
contexts:
- name: testbed
  context:
    cluster: testbed
    user: testbed
    namespace: default
"
    )
}
