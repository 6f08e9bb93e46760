//! Words that several sentences have in common.

use std::fmt::Display;

/// So many of something, in words: `1 row`, `2 rows`.
#[must_use]
pub fn quantity<N: Copy + Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {one}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!([0_i64, 1, 2].map(|rows| quantity(rows, "row")), ["0 rows", "1 row", "2 rows"]);
    }
}
