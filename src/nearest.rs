//! "Did you mean": the known word that was probably meant. Rather none than an absurd one.

/// What a slip of the finger costs: two letters swapped, one left out, one too many.
const SLIP: usize = 2;
/// What another letter costs: it makes another word more easily.
const REPLACED: usize = 3;

/// The one of `known` that `word` was probably meant to be.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest_of(word, &mut known.into_iter())
}

/// The same, compiled once.
fn nearest_of<'a>(word: &str, known: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    for candidate in known {
        let distance = distance(word, candidate);
        if distance <= limit(word, candidate) && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How far away a word may be: the shorter it is, the sooner it is another.
fn limit(word: &str, candidate: &str) -> usize {
    let shorter = word.len().min(candidate.len());
    let is_another = shorter <= 3 && word.len() > candidate.len() && !has_doubled_letter(word, candidate);
    if is_another || shorter == 0 { 0 } else { (shorter / 2 + 1).min(8) }
}

/// Is `word` the short `candidate` with a letter hit twice? Any other letter makes a word of its own: `call` is not `all`.
fn has_doubled_letter(word: &str, candidate: &str) -> bool {
    let mut letters = word.to_ascii_lowercase().into_bytes();
    letters.dedup();
    let mut wanted = candidate.to_ascii_lowercase().into_bytes();
    wanted.dedup();
    letters == wanted
}

/// The cheapest way from `a` to `b` (optimal string alignment), upper case being the same as lower.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let is_same = |i: usize, j: usize| a[i].eq_ignore_ascii_case(&b[j]);
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).map(|length| length * SLIP).collect();
    for i in 1..=a.len() {
        let mut row = vec![i * SLIP; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + if is_same(i - 1, j - 1) { 0 } else { REPLACED };
            row[j] = replaced.min(last[j] + SLIP).min(row[j - 1] + SLIP);
            if i > 1 && j > 1 && is_same(i - 1, j - 2) && is_same(i - 2, j - 1) {
                row[j] = row[j].min(before[j - 2] + SLIP);
            }
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_finds_its_word() {
        let known = ["worker", "scheduler", "all"];
        for (word, expected) in [
            ("wroker", Some("worker")),
            ("workers", Some("worker")),
            ("Wrker", Some("worker")),
            ("wokrers", Some("worker")),
            ("schedular", Some("scheduler")),
            ("shceduler", Some("scheduler")),
            ("al", Some("all")),
            ("alll", Some("all")),
        ] {
            assert_eq!(nearest(word, known), expected, "{word}");
        }
    }

    #[test]
    fn another_word_is_no_slip() {
        let known = ["worker", "scheduler", "all", "run", "get"];
        for word in [
            "",
            "my",
            "heartbeat",
            "docker",
            "broker",
            "walker",
            "marker",
            "call",
            "wall",
            "ally",
            "alt",
            "alloc",
            "small",
            "schema",
            "runs",
            "pet",
            "gun",
            "x",
            "order",
        ] {
            assert_eq!(nearest(word, known), None, "{word}");
        }
    }

    #[test]
    fn long_names_may_be_joined_otherwise() {
        let known = ["runtime_plugin_locations", "plugin_locations"];
        for (word, expected) in [
            ("runtime-plugin-locations", known[0]),
            ("runtimePluginLocations", known[0]),
            ("plugin_location", known[1]),
            ("plugins_locations", known[1]),
            ("pluginLocations", known[1]),
        ] {
            assert_eq!(nearest(word, known), Some(expected), "{word}");
        }
        assert_eq!(nearest("storage_plugins", known), None);
    }
}
