//! Prefixes that wrappers add to the names of a network's tensors.

use super::find::Wanted;

/// The prefix of `DataParallel` and `DistributedDataParallel`.
pub(super) const MODULE: &str = "module.";
/// The prefixes of wrappers: those two, `torch.compile`, and networks that are an attribute of another object.
const WRAPPERS: [&str; 6] = [MODULE, "_orig_mod.", "model.", "net.", "network.", "backbone."];
/// The counter of `torch.optim.swa_utils.AveragedModel` in addition to the network, whose names then begin with
/// `module.`.
const AVERAGED: &str = "n_averaged";

/// Returns the common prefix of all names that a wrapper added. If the network is known, it may also be the name of any
/// attribute that the network itself does not have. The counter of an averaged model is ignored.
pub(super) fn common<'n>(names: &[&'n str], wanted: &Wanted<'_>) -> &'n str {
    let is_counter = |name: &&str| *name == AVERAGED;
    let is_averaged = names.iter().filter(|name| is_counter(name)).count() == 1
        && names.iter().all(|name| is_counter(name) || name.starts_with(MODULE));
    let names: Vec<&str> = names.iter().copied().filter(|name| !(is_averaged && is_counter(name))).collect();
    let Some(first) = names.first() else { return "" };
    let mut length = 0;
    while let Some(dot) = first[length..].find('.') {
        let part = &first[length..=length + dot];
        let is_own = wanted.network.is_some_and(|network| network.iter().any(|tensor| tensor.name.starts_with(part)));
        let is_wrapper = WRAPPERS.contains(&part) || wanted.network.is_some();
        let has_part = |name: &&str| name[length..].strip_prefix(part).is_some_and(|rest| !rest.is_empty());
        if is_own || !is_wrapper || !names.iter().all(has_part) {
            break;
        }
        length += part.len();
    }
    &first[..length]
}

#[cfg(test)]
mod tests {
    use super::*;
    use tfnas::Dtype;
    use tfnas::state_shapes::TensorShape;

    #[test]
    fn repeated_prefixes_of_wrappers_are_found() {
        for (names, expected) in [
            (&["module.a.w", "module.b"][..], "module."),
            (&["_orig_mod.a", "_orig_mod.b"], "_orig_mod."),
            (&["module._orig_mod.a"], "module._orig_mod."),
            (&["_orig_mod.module.a", "_orig_mod.module.b"], "_orig_mod.module."),
            (&["module.module.net.a", "module.module.net.b"], "module.module.net."),
            (&["model.a", "model.b"], "model."),
            (&["n_averaged", "module.a", "module.b"], "module."),
            (&["module.a", "b"], ""),
            (&["module.model.a", "module.b"], "module."),
            (&["model.", "model.a"], ""),
            (&["stage.a", "stage.b"], ""),
            (&["n_averaged"], ""),
            (&[], ""),
        ] {
            assert_eq!(common(names, &Wanted::default()), expected, "{names:?}");
        }
    }

    #[test]
    fn known_network_allows_any_prefix_except_its_own_attributes() {
        let tensor = |name: &str| TensorShape { name: name.to_owned(), shape: Vec::new(), dtype: Dtype::F32 };
        let network = [tensor("net.a"), tensor("net.b")];
        let wanted = Wanted { network: Some(&network), key: None };
        assert_eq!(common(&["student.net.a", "student.net.b"], &wanted), "student.");
        assert_eq!(common(&["net.a", "net.b"], &wanted), "");
    }
}
