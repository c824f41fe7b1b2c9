use std::path::{Path, PathBuf};

/// Resolves a path of the configuration: expands `~`, and takes relative paths as relative to `base`.
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    let expanded = match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(below), Some(home)) => home.join(below),
        _ => path.to_owned(),
    };
    if expanded.is_absolute() || base.as_os_str().is_empty() { expanded } else { base.join(expanded) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_relative_to_the_configuration() {
        assert_eq!(resolve(Path::new("project"), Path::new("data")), Path::new("project/data"));
        assert_eq!(resolve(Path::new("project"), Path::new("/data")), Path::new("/data"));
        assert_eq!(resolve(Path::new(""), Path::new("data")), Path::new("data"));
        assert_ne!(resolve(Path::new("project"), Path::new("~/data")), Path::new("project/~/data"));
        assert_eq!(resolve(Path::new("project"), Path::new("~other/data")), Path::new("project/~other/data"));
    }
}
