//! Reads the code blocks of a page of the book, and the comments that say what to do with them.
//!
//! A comment is a line of its own and stands before the block:
//!
//! * `<!-- before: COMMAND -->` runs a command that readers do not see, to prepare the project.
//! * `<!-- set: KEY=VALUE ... -->` adds `--set` to all commands that follow, to keep them short.
//! * `<!-- file: PATH -->` writes the next block to this file.
//! * `<!-- merge: PATH -->` writes `pipeline.yaml` to this file, with the sections of the next block in place of its own.
//! * `<!-- not run: REASON -->`: the next block is not run.

/// What a page does to its project.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Runs lines of shell.
    Run(String),
    /// Sets these keys from here on.
    Set(&'a str),
    /// Writes a file.
    File(&'a str, String),
    /// Writes `pipeline.yaml` with other sections to a file.
    Merge(&'a str, String),
}

/// Returns the steps of a page, each with its line, counted from 1.
///
/// # Errors
/// Returns the line of a code block without a language, of an indented block, and of a comment that no block follows.
pub fn steps(text: &str) -> Result<Vec<(usize, Step<'_>)>, String> {
    let mut steps = Vec::new();
    let mut pending: Option<(&str, &str)> = None;
    let mut lines = text.lines().enumerate();
    let mut above = "";
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if let Some(language) = line.strip_prefix("```") {
            let block: String = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .flat_map(|line| [line, "\n"])
                .collect();
            match (language, pending.take()) {
                ("", _) => return Err(format!("line {number}: the code block has no language")),
                (_, Some(("not run", _))) => {}
                (_, Some(("file", path))) => steps.push((number, Step::File(path, block))),
                (_, Some(("merge", path))) => steps.push((number, Step::Merge(path, block))),
                ("sh", _) => steps.push((number, Step::Run(block))),
                _ => {}
            }
        } else if let Some((what, value)) = comment(line) {
            match what {
                "before" => steps.push((number, Step::Run(value.to_owned()))),
                "set" => steps.push((number, Step::Set(value))),
                _ => pending = Some((what, value)),
            }
        } else if line.starts_with("    ") && above.is_empty() {
            return Err(format!("line {number}: the code block has no fence"));
        } else if let (Some(_), false) = (pending, line.is_empty()) {
            return Err(format!("line {number}: a code block was expected after the comment"));
        }
        above = line;
    }
    Ok(steps)
}

/// Returns the two parts of a comment that concerns the test.
fn comment(line: &str) -> Option<(&str, &str)> {
    let (what, value) = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")?;
    ["before", "set", "file", "merge", "not run"].contains(&what).then_some((what, value))
}

/// Replaces the top-level sections of a configuration that another one has. Each section of `base` is one line.
pub fn merge(base: &str, sections: &str) -> String {
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> =
        sections.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase())).map(name).collect();
    let kept = base.lines().filter(|line| !replaced.contains(&name(line)));
    kept.chain(sections.lines()).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn blocks_and_comments_become_steps() {
    let page = "\
# Page

<!-- before: mkdir a -->
<!-- set: seed=1 -->
```sh
ls a
```

<!-- a comment for readers of the source -->
<!-- not run: needs a cluster -->
```sh
sbatch
```

<!-- merge: b.yaml -->
```yaml
seed: 2
```
";
    let expected = vec![
        (3, Step::Run("mkdir a".to_owned())),
        (4, Step::Set("seed=1")),
        (5, Step::Run("ls a\n".to_owned())),
        (16, Step::Merge("b.yaml", "seed: 2\n".to_owned())),
    ];
    assert_eq!(steps(page).unwrap(), expected);
    assert_eq!(steps("```\ntext\n```\n"), Err("line 1: the code block has no language".to_owned()));
    assert_eq!(steps("\n    ls\n"), Err("line 2: the code block has no fence".to_owned()));
    assert!(steps("<!-- not run: no -->\ntext\n").is_err());
    assert_eq!(
        merge("data: {root: a}\nseed: 1\n", "seed: 2\nmatrix:\n  a: [1]\n"),
        "data: {root: a}\nseed: 2\nmatrix:\n  a: [1]\n"
    );
}
