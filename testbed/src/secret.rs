//! Passwords and tokens.

/// A random word of letters and digits, long enough for any password rule.
pub(crate) fn random() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(32).collect()
}
