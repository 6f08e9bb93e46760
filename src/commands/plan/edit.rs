//! Adds tables to a configuration file and leaves everything else in it byte for byte, comments included. Lines are inserted
//! into the text; the result counts only if YAML reads it as the old file with the new entries.

use serde_yaml::Value;

use super::additions::{Additions, List};

/// The file with the additions. Returns `None` if they cannot be inserted safely into a file of this form.
pub(super) fn add(text: &str, additions: &Additions) -> Option<String> {
    let mut edited = text.to_owned();
    for list in List::ALL {
        if !additions.is_empty(list) {
            edited = insert(&edited, list, additions)?;
        }
    }
    (serde_yaml::from_str::<Value>(&edited).ok()? == expected(text, additions)?).then_some(edited)
}

/// What YAML must read in the edited file.
fn expected(text: &str, additions: &Additions) -> Option<Value> {
    let mut value: Value = serde_yaml::from_str(text).ok()?;
    let cascade = value.get_mut("cascade")?.as_mapping_mut()?;
    for list in List::ALL {
        if additions.is_empty(list) {
            continue;
        }
        let added = additions.entries(list).into_iter().map(serde_yaml::from_str);
        let added: Vec<Value> = added.collect::<Result<_, _>>().ok()?;
        let old = cascade.entry(list.name().into()).or_insert(Value::Null);
        if old.is_null() {
            *old = Value::Sequence(Vec::new());
        }
        old.as_sequence_mut()?.extend(added);
    }
    Some(value)
}

/// A line of the file.
struct Line<'a> {
    /// Where it begins.
    start: usize,
    text: &'a str,
}

impl Line<'_> {
    fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start_matches(' ').len()
    }

    fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    /// Whether it is neither empty nor a comment.
    fn counts(&self) -> bool {
        !self.text.trim().is_empty() && !self.is_comment()
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    fn is_element(&self) -> bool {
        let text = self.text.trim();
        text == "-" || text.starts_with("- ")
    }
}

/// The file with the new elements of one list.
fn insert(text: &str, list: List, additions: &Additions) -> Option<String> {
    let mut start = 0;
    let lines: Vec<Line<'_>> = text
        .split_inclusive('\n')
        .map(|line| {
            let line = Line { start, text: line };
            start = line.end();
            line
        })
        .collect();
    let is_cascade = |l: &Line<'_>| l.text.strip_prefix("cascade:").is_some_and(is_blank);
    let cascade = lines.iter().position(is_cascade)? + 1;
    let after = lines[cascade..].iter().position(|l| l.counts() && l.indent() == 0);
    let block = &lines[cascade..after.map_or(lines.len(), |n| cascade + n)];
    let indent = block.iter().find(|l| l.counts())?.indent();
    let value = |l: &Line<'_>| {
        let rest = l.text.get(l.indent()..)?.strip_prefix(list.name())?.strip_prefix(':')?;
        (l.indent() == indent).then_some(l.end() - rest.len())
    };
    let named = block.iter().enumerate().find_map(|(i, l)| Some((i, value(l)?)));
    let (at, added) = match named {
        None => (end_of(block, |_| true, indent)?, additions.block(list, indent, false)),
        Some((i, at)) if is_blank(text.get(at..block[i].end())?) => {
            let below = &block[i + 1..];
            let next = below.iter().find(|l| l.counts());
            let of_value = |l: &&Line<'_>| l.indent() > indent || l.is_element();
            let Some(first) = next.filter(of_value) else {
                // Somebody emptied the list, and left its name.
                return spliced(text, block[i].end(), &additions.block(list, indent + 2, true));
            };
            if !first.is_element() {
                return None;
            }
            let inner = first.indent();
            let of_list = |l: &Line<'_>| l.indent() > inner || (l.indent() == inner && l.is_element());
            (end_of(below, of_list, indent + 1)?, additions.block(list, inner, true))
        }
        Some((_, at)) => {
            let (at, before) = closing_bracket(text, at)?;
            let comma = if before == '[' || before == ',' { "" } else { "," };
            let space = if list == List::Global && before != '[' { " " } else { "" };
            (at, format!("{comma}{space}{}", additions.elements(list, indent)))
        }
    };
    spliced(text, at, &added)
}

/// The text with the additions, which get its line breaks.
fn spliced(text: &str, at: usize, added: &str) -> Option<String> {
    let (head, tail) = (text.get(..at)?, text.get(at..)?);
    let break_first =
        if head.ends_with('\n') || !added.ends_with('\n') || named_in_brackets(added) { "" } else { "\n" };
    let added = format!("{break_first}{added}");
    let added = if text.contains("\r\n") { added.replace('\n', "\r\n") } else { added };
    Some(format!("{head}{added}{tail}"))
}

/// Elements for brackets begin with a line break or a comma of their own.
fn named_in_brackets(added: &str) -> bool {
    added.starts_with(['\n', ','])
}

/// Whether there is nothing but a comment.
fn is_blank(text: &str) -> bool {
    text.trim().is_empty() || (text.starts_with([' ', '\t']) && text.trim_start().starts_with('#'))
}

/// Where the last of the lines ends that belongs to the block, with the comments directly below it that are indented enough.
fn end_of(lines: &[Line<'_>], belongs: impl Fn(&Line<'_>) -> bool, indent: usize) -> Option<usize> {
    let until = lines.iter().position(|l| l.counts() && !belongs(l)).unwrap_or(lines.len());
    let last = lines[..until].iter().rposition(Line::counts)?;
    let comments = lines[last + 1..].iter().take_while(|l| l.is_comment() && l.indent() >= indent).count();
    Some(lines[last + comments].end())
}

/// Where the list in brackets that begins at `from` ends, and the last character in it that counts.
fn closing_bracket(text: &str, from: usize) -> Option<(usize, char)> {
    let mut depth = 0;
    let mut before = ' ';
    let mut gap = true;
    let mut quote = None;
    // Where a quoted string ended: inside single quotes, two quotes stand for one.
    let mut closed = None;
    let mut escaped = false;
    let mut comment = false;
    for (at, letter) in text.char_indices().skip_while(|(at, _)| *at < from) {
        if comment {
            comment = letter != '\n';
            continue;
        }
        if let Some(end) = quote {
            if escaped {
                escaped = false;
            } else if letter == '\\' && end == '"' {
                escaped = true;
            } else if letter == end {
                quote = None;
                closed = Some(at + 1);
            }
            continue;
        }
        match letter {
            ' ' | '\t' | '\r' | '\n' => {
                gap = true;
                continue;
            }
            '#' if gap => {
                comment = true;
                continue;
            }
            '[' | '{' => depth += 1,
            ']' | '}' if depth == 1 => return (letter == ']').then_some((at, before)),
            ']' | '}' => depth -= 1,
            '\'' if closed == Some(at) => quote = Some(letter),
            '\'' | '"' if gap || "[{,:".contains(before) => quote = Some(letter),
            _ if depth == 0 => return None,
            _ => {}
        }
        before = letter;
        gap = false;
    }
    None
}

#[cfg(test)]
mod tests;
