//! Names are valid, unique, and depend on nothing but their row.

use std::collections::HashSet;

use super::*;

fn unique(unique: bool) -> Naming {
    Naming { prefix: String::new(), unique }
}

/// As `NameIsDNSSubdomain` of the API server checks it.
fn assert_valid(name: &str) {
    assert!((1..=63).contains(&name.len()), "{name}");
    for part in name.split('.') {
        assert!(part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(!part.is_empty() && !part.starts_with('-') && !part.ends_with('-'), "{name}");
    }
}

#[test]
fn a_name_is_what_a_person_expects() {
    let long = "x".repeat(80);
    let cut = format!("{}-8b8bdf67s7", "x".repeat(52));
    for (text, plain) in [
        ("acme", true),
        ("4711", true),
        ("acme.example.com", true),
        ("ac3e0000-0000-4000-8000-000000000001", true),
        ("a", true),
        ("team-production", true),
        ("Acme", false),
        ("acme corp", false),
        ("-acme", false),
        ("acme..com", false),
        ("kustomization", false),
        ("", false),
        (&long, false),
    ] {
        assert_eq!(unique(true).name(text, "1") == text, plain, "{text}");
        assert_ne!(unique(false).name(text, "1"), text, "another row may have the same text");
    }
    // These names are in people's repositories: another version must not change them.
    for (text, name) in [
        ("Acme Corp.", "acme-corp-8b8bdf67s7"),
        ("Müller & Söhne", "m-ller-s-hne-8b8bdf67s7"),
        ("株式会社", "organization-8b8bdf67s7"),
        ("", "organization-8b8bdf67s7"),
        ("../../etc/passwd", "etc-passwd-8b8bdf67s7"),
        (&long, &cut),
    ] {
        assert_eq!(unique(true).name(text, "1"), name);
        assert_eq!(unique(false).name(text, "1"), name);
    }
    let prefixed = Naming { prefix: "eu-".to_owned(), unique: true };
    assert_eq!(prefixed.name("acme", "1"), "eu-acme");
    assert_eq!(prefixed.name("", "1"), "eu-8b8bdf67s7");
}

#[test]
fn a_text_that_looks_like_another_rows_name_does_not_take_it() {
    let naming = unique(true);
    let other = naming.name("Acme", "1");
    assert_ne!(naming.name(&other, "2"), other);
    assert_valid(&naming.name(&other, "2"));
}

#[test]
fn only_a_text_that_begins_a_name_is_a_prefix() {
    for (prefix, good) in [("", true), ("eu-", true), ("eu", true), ("-eu", false), ("EU-", false), ("e_", false)] {
        assert_eq!(can_begin(prefix), good, "{prefix}");
    }
    assert!(!can_begin(&"x".repeat(40)));
}

/// Random texts of characters that make trouble, often the same or almost the same.
fn text(random: &mut fastrand::Rng) -> String {
    let characters: Vec<char> = "aAbB01-._ äß\u{0}\u{85}\u{2028}'\"\\/:#%é株🎉".chars().collect();
    let length = if random.u8(..) < 20 { random.usize(60..300) } else { random.usize(..6) };
    (0..length).filter_map(|_| random.choice(&characters).copied()).collect()
}

#[test]
fn names_are_valid_unique_and_independent_of_other_rows() {
    let mut random = fastrand::Rng::with_seed(11);
    for unique in [true, false] {
        for prefix in ["", "eu-"] {
            let naming = Naming { prefix: prefix.to_owned(), unique };
            let (mut texts, mut names) = (HashSet::new(), HashSet::new());
            for key in 0..20_000 {
                let text = text(&mut random);
                if unique && !texts.insert(text.clone()) {
                    continue;
                }
                let key = key.to_string();
                let name = naming.name(&text, &key);
                assert_valid(&name);
                assert!(name.starts_with(prefix.trim_end_matches('-')), "{name}");
                assert!(!name.starts_with("kustomization.") && name != "kustomization");
                assert!(names.insert(name.clone()), "{name} twice");
            }
        }
    }
}

#[test]
fn keys_are_names_where_they_can_be() {
    let mut names = HashSet::new();
    for key in 0..100_000 {
        let key = key.to_string();
        assert_eq!(unique(true).name(&key, &key), key);
        assert!(names.insert(unique(false).name("Acme", &key)), "the suffix of {key} is another key's, too");
    }
}
