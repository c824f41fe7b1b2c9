/// Returns the candidate that is most similar to `word`, or `None` if none is similar enough.
/// Upper and lower case, hyphens and underscores are the same.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Lists names of which one is meant: "`a`", "`a` or `b`", "`a`, `b` or `c`".
pub fn alternatives(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Returns a hint for an unknown `word`: the most similar candidate, or all candidates.
pub fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => {
            let all: Vec<_> = candidates.into_iter().collect();
            if all.is_empty() {
                "there are none yet: `run all` first".to_owned()
            } else {
                format!("known: {}", all.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_word_suggests_the_nearest_candidate() {
        assert_eq!(nearest("serach", ["split", "search", "parse"]), Some("search"));
        assert_eq!(nearest("target_lat", ["epochs", "target_lat_ms"]), Some("target_lat_ms"));
    }

    #[test]
    fn case_and_hyphens_make_no_difference() {
        assert_eq!(nearest("TARGET-LAT-MS", ["epochs", "target_lat_ms"]), Some("target_lat_ms"));
        assert_eq!(nearest("IMAGENET100", ["imagenet100"]), Some("imagenet100"));
    }

    #[test]
    fn names_are_listed_with_an_or() {
        let list = |names: &[&str]| alternatives(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!([list(&[]), list(&["a"])], ["", "`a`"]);
        assert_eq!([list(&["a", "b"]), list(&["a", "b", "c"])], ["`a` or `b`", "`a`, `b` or `c`"]);
    }

    #[test]
    fn a_word_unlike_all_candidates_lists_all_of_them() {
        assert_eq!(suggestion("banana", ["split", "lookup"]), "known: split, lookup");
    }
}
