//! The name of the object of an organization.
//!
//! A name depends on nothing but its own row: the text of one column and the key. So the same row has the same name whatever other
//! rows there are, and in every version of the command. What makes two names differ is the key, never an order.

use sha2::{Digest as _, Sha256};

/// The longest name: labels hold no longer ones, and they often hold names.
const LONGEST: usize = 63;
/// Length of a suffix.
const SUFFIX: usize = 10;
/// Characters of a suffix, as Kubernetes has them in generated names: they make no words, and are not taken for each other.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// The name of an organization whose text has no letter and no digit.
const NAMELESS: &str = "organization";
/// Names that no file of a directory of manifests may have.
const FILES: [&str; 1] = ["kustomization"];

/// How objects are named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    /// With what every name begins.
    pub(super) prefix: String,
    /// No two rows have the same text. Then a text that is a name already stays as it is.
    pub(super) unique: bool,
}

impl Naming {
    /// The name of the object for the organization with this key and this text.
    pub(super) fn name(&self, text: &str, key: &str) -> String {
        let wanted = format!("{}{text}", self.prefix);
        if self.unique && stays(&wanted) {
            return wanted;
        }
        let mut name = slug(&wanted);
        name.truncate(LONGEST - SUFFIX - 1);
        let name = name.trim_end_matches('-');
        format!("{}-{}", if name.is_empty() { NAMELESS } else { name }, suffix(key))
    }
}

/// Whether names can begin with this text: lower-case letters, digits and hyphens, and no hyphen first.
pub(super) fn can_begin(prefix: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    prefix.chars().all(allowed) && !prefix.starts_with('-') && prefix.len() <= LONGEST / 2
}

/// Whether a text is the name of an object as it is, and cannot be one with a suffix.
fn stays(text: &str) -> bool {
    is_name(text) && !has_suffix(text) && !FILES.contains(&text)
}

/// RFC 1123, as the API server checks it, and short enough for a label.
fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let part = |part: &str| {
        edge(part.chars().next()) && edge(part.chars().next_back()) && part.chars().all(|c| edge(Some(c)) || c == '-')
    };
    text.len() <= LONGEST && text.split('.').all(part)
}

fn has_suffix(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(_, end)| end.len() == SUFFIX && end.bytes().all(|b| ALPHABET.contains(&b)))
}

/// Letters and digits of ASCII in lower case, with one hyphen for whatever is between them.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Ten characters from the digest of a key: 47 bits.
fn suffix(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let mut rest = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    let base = ALPHABET.len() as u64;
    (0..SUFFIX)
        .filter_map(|_| {
            let digit = usize::try_from(rest % base).ok()?;
            rest /= base;
            Some(char::from(*ALPHABET.get(digit)?))
        })
        .collect()
}

#[cfg(test)]
mod tests;
