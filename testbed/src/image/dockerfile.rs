//! What is read from the Dockerfile.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// The images that a Dockerfile begins with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dockerfile {
    /// The image of the stage that compiles.
    pub build_base: String,
    /// The image on which the program is put.
    pub final_base: String,
    /// The version of Rust, with two numbers.
    pub rust: String,
}

impl Dockerfile {
    /// Reads the Dockerfile in a directory.
    pub(super) fn read(context: &Path) -> Result<Self> {
        let path = context.join("Dockerfile");
        let text = fs::read_to_string(&path).map_err(Error::file("read", &path))?;
        Self::parse(&text).ok_or_else(|| Error::ImageImpossible {
            why: format!("{} does not have two stages, the first FROM rust:VERSION", path.display()),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let images: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split_whitespace().next()).collect();
        let [build, last] = images[..] else { return None };
        let tag = build.strip_prefix("rust:")?;
        let rust = tag.split('-').next()?.to_owned();
        Some(Self { build_base: format!("docker.io/library/{build}"), final_base: last.to_owned(), rust })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_are_read() {
        let text =
            "# a comment\nFROM rust:1.95-bookworm AS build\nRUN x\n\nFROM gcr.io/distroless/cc:nonroot\nUSER 1\n";
        let expected = Dockerfile {
            build_base: "docker.io/library/rust:1.95-bookworm".to_owned(),
            final_base: "gcr.io/distroless/cc:nonroot".to_owned(),
            rust: "1.95".to_owned(),
        };
        assert_eq!(Dockerfile::parse(text), Some(expected));
        assert_eq!(Dockerfile::parse("FROM debian\n"), None);
        assert_eq!(Dockerfile::parse("FROM debian\nFROM scratch\n"), None);
    }
}
