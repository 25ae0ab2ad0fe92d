//! The cause of an error: what a reader stumbles over is often the consequence of a slip on the same line or the one
//! above. Looks at the text alone, and only when it has been refused.

use super::super::Malformed;

/// The error at the place of its cause and with what to write there, or as it was found.
pub(super) fn of(text: &str, found: Malformed) -> Malformed {
    let line = Line::around(text, found.offset);
    let cause = template(&line)
        .or_else(|| quote(text, &found))
        .or_else(|| missing_space(text, &line, &found))
        .or_else(|| indentation(text, &line, &found));
    match cause {
        Some((offset, message)) => Malformed::at(text.as_bytes(), offset, &message),
        None => found,
    }
}

/// An offset, and what is wrong there.
type Cause = (usize, String);

/// A line without its break, and where it begins.
struct Line<'a> {
    start: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn around(text: &'a str, offset: usize) -> Line<'a> {
        let offset = offset.min(text.len());
        let start = text[..offset].rfind('\n').map_or(0, |index| index + 1);
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        Line { start, text: text[start..end].trim_end_matches('\r') }
    }

    /// The nearest line above that says something.
    fn above(text: &'a str, below: &Line<'_>) -> Option<Line<'a>> {
        let mut start = below.start;
        while start > 0 {
            let line = Line::around(text, start - 1);
            if !line.content().is_empty() && !line.content().starts_with('#') {
                return Some(line);
            }
            start = line.start;
        }
        None
    }

    fn content(&self) -> &'a str {
        self.text.trim_start()
    }

    /// Bytes before the content.
    fn indentation(&self) -> usize {
        self.text.len() - self.content().len()
    }

    /// The content behind the signs of a list, and where it begins.
    fn entry(&self) -> (usize, &'a str) {
        let mut content = self.content();
        while let Some(rest) = content.strip_prefix("- ") {
            content = rest.trim_start();
        }
        (self.start + self.text.len() - content.len(), content)
    }
}

fn template(line: &Line<'_>) -> Option<Cause> {
    let (start, content) = line.entry();
    let value = content.as_bytes().windows(2).position(|pair| pair == b": ").map_or(0, |index| index + 2);
    let value = content.len() - content[value..].trim_start().len();
    let is_it = |place: &usize| content[*place..].starts_with("{{") || content[*place..].starts_with("{%");
    let place = [0, value].into_iter().find(is_it)?;
    let sign = &content[place..place + 2];
    Some((start + place, format!("`{sign}` is a template's: render the template first, or write the text in quotes")))
}

/// `'it's'`: what follows the quote that was meant to be inside.
fn quote(text: &str, found: &Malformed) -> Option<Cause> {
    let is_behind = found.message.ends_with("found a scalar");
    match text[..found.offset].chars().next_back().filter(|_| is_behind)? {
        '\'' => Some((found.offset, "text behind a closing `'`: inside of '...' that sign is written twice".into())),
        '"' => Some((found.offset, "text behind a closing `\"`: inside of \"...\" that sign is written `\\\"`".into())),
        _ => None,
    }
}

/// `key:value`, on the line that has no key for that, or above the one that would go on with it.
fn missing_space(text: &str, line: &Line<'_>, found: &Malformed) -> Option<Cause> {
    let above = Line::above(text, line).filter(|_| found.message.contains("`:`"));
    [above.as_ref(), Some(line)].into_iter().flatten().find_map(|line| {
        let (start, content) = line.entry();
        let colon = content.find(|char: char| !char.is_ascii_alphanumeric() && !"_-.".contains(char))?;
        let rest = content[colon..].strip_prefix(':')?;
        let is_it = colon > 0 && !rest.starts_with([' ', '\t', '/', ':']) && !rest.is_empty() && !rest.contains(": ");
        is_it.then(|| (start + colon, "a space is missing behind this `:`: write `key: value`".into()))
    })
}

fn indentation(text: &str, line: &Line<'_>, found: &Malformed) -> Option<Cause> {
    let start = line.start + line.indentation();
    if line.text[..line.indentation()].contains('\t') && !found.message.starts_with("a tab") {
        let tab = line.start + line.text.find('\t')?;
        return Some((tab, "a tab cannot indent or precede a value: expected spaces".into()));
    }
    let above = Line::above(text, line)?;
    let is_between = found.message.contains("found an indented");
    let is_value_too = found.message.contains("cannot be inside a value") && line.content().contains(':');
    if line.indentation() > above.indentation() && (is_between || is_value_too) {
        let column = above.indentation() + 1;
        let message = format!(
            "indented more than the line above, whose value it would continue: begin it at column {column}, or leave \
             that value out"
        );
        return Some((start, message));
    }
    is_between.then(|| {
        let columns: Vec<String> = columns_above(text, line).iter().map(|column| (column + 1).to_string()).collect();
        (start, format!("indented as no line above: begin it at column {}", columns.join(" or ")))
    })
}

/// The indentations at which this line could go on: the nearest of more than its own, and the nearest of less.
fn columns_above(text: &str, line: &Line<'_>) -> Vec<usize> {
    let mut columns = Vec::new();
    let mut least = usize::MAX;
    let mut next = Line::above(text, line);
    while let Some(above) = next {
        if above.indentation() < least {
            least = above.indentation();
            columns.insert(0, least);
        }
        if least < line.indentation() {
            break;
        }
        next = Line::above(text, &above);
    }
    columns.truncate(2);
    columns
}
