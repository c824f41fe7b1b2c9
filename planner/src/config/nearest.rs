/// Returns the candidate that is most similar to `word`, or `None` if none is similar enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
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
    fn a_word_unlike_all_candidates_lists_all_of_them() {
        assert_eq!(suggestion("banana", ["split", "lookup"]), "known: split, lookup");
    }
}
